"""What differs between two versions of a dataset, or between two datasets: by content, not by name."""

from __future__ import annotations

from typing import Any

from edgeops.data.index import Index
from edgeops.data.splitting import Part


def compare(before: Index, after: Index) -> dict[str, Any]:
    """Items that came, went, moved to another part, were relabelled, or are described anew.

    Each is a list of ``{"item", "label", ...}``; an item is called by its file, or by the beginning of its
    digest where it has none. ``schema`` names what else differs, as pairs (before, after). Items are compared
    by their values, whatever type they are stored as.
    """
    old = {digest: row for row, digest in enumerate(before.digests)}
    new = {digest: row for row, digest in enumerate(after.digests)}
    facts: dict[str, Any] = {
        "came": [_item(after, new[digest]) for digest in new if digest not in old],
        "went": [_item(before, old[digest]) for digest in old if digest not in new],
        "moved": [],
        "relabelled": [],
        "redescribed": [],
        "kept": 0,
    }
    for digest in (digest for digest in new if digest in old):
        a, b = _item(before, old[digest]), _item(after, new[digest])
        facts["kept"] += 1
        named = {"item": b["item"], "label": b["label"]}
        if a["part"] != b["part"]:
            facts["moved"].append({**named, "from": a["part"], "to": b["part"]})
        if a["label"] != b["label"]:
            facts["relabelled"].append({"item": b["item"], "from": a["label"], "to": b["label"]})
        if _description(before, old[digest]) != _description(after, new[digest]):
            facts["redescribed"].append(named)
    for name in ("came", "went", "moved", "relabelled", "redescribed"):
        facts[name].sort(key=lambda entry: str(entry["item"]))
    facts["schema"] = {
        name: [a, b] for name, a, b in zip(_SCHEMA, _schema(before), _schema(after), strict=True) if a != b
    }
    return facts


_SCHEMA = ("kind", "labels", "dtype", "shape", "sample_rate_hz", "slices")


def _schema(index: Index) -> tuple[Any, ...]:
    shape = ["samples" if size == -1 else size for size in index.item_shape]
    return (
        index.kind, list(index.labels), index.dtype, shape, index.sample_rate_hz, sorted(index.slices)
    )  # fmt: skip


def _item(index: Index, row: int) -> dict[str, str]:
    return {
        "item": (index.files[row] if index.files else "") or index.digests[row].hex()[:12],
        "label": index.labels[index.targets[row]],
        "part": Part(int(index.parts[row])).label,
    }


def _description(index: Index, row: int) -> dict[str, str]:
    """Group and slices; those that are blank are as good as not there."""
    facts = {name: values[row] for name, values in index.slices.items() if values[row]}
    return facts | ({"(group)": index.groups[row]} if index.groups else {})
