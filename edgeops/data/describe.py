"""A dataset in figures: balance, durations, ranges, groups and slices. Plain data, read a block at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeops.data.dataset import Dataset
from edgeops.data.index import Index
from edgeops.data.readers.entry import counted
from edgeops.data.recordings import Recordings
from edgeops.data.splitting import Part

MOST_VALUES = 50
_BLOCK_BYTES = 1 << 24
_FAR = 0.05
_COLOURS = ("red", "green", "blue")
_PERCENTILES = {"minimum": 0, "median": 50, "maximum": 100}


def describe(dataset: Dataset) -> dict[str, Any]:
    """Class balance by part, durations, value ranges, shape, groups and slices.

    Durations are in seconds where a sample rate is known and otherwise in samples; they are there for
    recordings only. A slice of more than 50 values is given by their number.
    """
    shape = ["samples" if size == -1 else size for size in dataset.item_shape]
    used = [part for part in Part if (dataset.parts == part).any()]
    facts: dict[str, Any] = {
        "items": len(dataset),
        "shape": shape,
        "dtype": str(dataset.inputs.dtype),
        "sample_rate_hz": dataset.sample_rate_hz or None,
        "values": _ranges(dataset),
        "class_balance": dataset.class_balance(),
        "class_balance_by_part": {part.label: dataset.class_balance(part) for part in used},
    }
    if isinstance(dataset.inputs, Recordings):
        facts["durations"] = _durations(dataset, dataset.inputs)
    captured = sum(origin.startswith("captured:") for origin in dataset.origins)
    if captured:
        facts["captured"] = captured
    if dataset.groups:
        facts["groups"] = {
            part.label: len(
                {g for g, p in zip(dataset.groups, dataset.parts, strict=True) if p == part} - {""}
            )
            for part in used
        }
    facts["slices"] = {name: _counted(values) for name, values in dataset.slices.items()}
    return facts


def remarks(index: Index, shares: Mapping[Part, float]) -> list[str]:
    """What a person should know about a split: parts that are empty or far from their shares, classes that
    a part lacks.
    """
    said = []
    wanted = [part for part in shares if shares[part] > 0]
    sizes = {part: int((index.parts == part).sum()) for part in Part}
    total = sum(sizes[part] for part in shares) or 1
    if index.groups and max(abs(sizes[part] / total - shares[part]) for part in wanted) > _FAR:
        found = "/".join(f"{100 * sizes[part] / total:.0f}" for part in shares)
        asked = "/".join(f"{100 * shares[part]:.0f}" for part in shares)
        number = len(set(index.groups) - {""})
        said.append(f"{number:,} groups make parts of {found} percent instead of {asked}")
    empty = [part.label for part in wanted if not sizes[part]]
    if empty and not index.groups:
        most = int(np.bincount(index.targets).max())
        said.append(
            f"warning: nothing is in {' and '.join(empty)}: {len(wanted)} parts need as many items of a class, "
            f"and none has more than {most}; add more before training"
        )
    for target, label in enumerate(index.labels):
        mine = index.parts[index.targets == target]
        lacking = [part.label for part in wanted if sizes[part] and not (mine == part).any()]
        if lacking and len(mine):
            said.append(f"{label!r} ({counted(len(mine), 'item')}) is not in {', '.join(lacking)}")
    return said


def column_names(dataset: Dataset) -> tuple[str, ...]:
    """The names of channels or features, or empty: those of the source, and of an image its colours."""
    if dataset.kind == "image" and len(dataset.item_shape) == 3 and dataset.item_shape[-1] == len(_COLOURS):
        return _COLOURS
    return dataset.columns


def _counted(values: tuple[str, ...]) -> dict[str, int] | int:
    counts = Counter(values)
    return dict(sorted(counts.items())) if len(counts) <= MOST_VALUES else len(counts)


def _durations(dataset: Dataset, recordings: Recordings) -> dict[str, Any]:
    rate = dataset.sample_rate_hz or 1.0
    seconds = recordings.lengths / rate
    facts: dict[str, Any] = {name: float(np.percentile(seconds, p)) for name, p in _PERCENTILES.items()}
    facts["total"] = float(seconds.sum())
    facts["unit"] = "s" if dataset.sample_rate_hz else "samples"
    by_class = np.bincount(dataset.targets, weights=seconds, minlength=len(dataset.labels))
    facts["by_class"] = dict(zip(dataset.labels, by_class.tolist(), strict=True))
    return facts


def _ranges(dataset: Dataset) -> dict[str, Any]:
    """Minimum, maximum and mean of all values, and of each channel or feature where there are up to 50."""
    axis = dataset.item_shape[-1] if len(dataset.item_shape) > 1 or dataset.kind == "table" else 1
    columns = axis if 1 < axis <= MOST_VALUES and dataset.item_shape[-1] != -1 else 1
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    total, count = np.zeros(columns), 0
    ragged = isinstance(dataset.inputs, Recordings)
    size = math.prod(dataset.item_shape) * dataset.inputs.dtype.itemsize
    step = 1 if ragged else max(1, _BLOCK_BYTES // max(1, size))
    for start in range(0, len(dataset), step):
        block = dataset.inputs[start : start + step]
        for rows in block if ragged else [block]:
            flat = np.asarray(rows).reshape(-1, columns)
            low, high = np.minimum(low, flat.min(axis=0)), np.maximum(high, flat.max(axis=0))
            total, count = total + flat.sum(axis=0, dtype=np.float64), count + len(flat)
    facts: dict[str, Any] = {
        "minimum": float(low.min()),
        "maximum": float(high.max()),
        "mean": float(total.sum() / (count * columns)),
    }
    if columns > 1:
        names = column_names(dataset)
        facts["by_column"] = [
            {
                **({"name": name} if name else {}),
                "minimum": float(a),
                "maximum": float(b),
                "mean": float(s / count),
            }
            for name, a, b, s in zip(names or [""] * columns, low, high, total, strict=True)
        ]
    return facts
