"""What is said about a dataset version: facts for the terminal, and the page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeops.control.datasets import load_dataset
from edgeops.control.workspace import Workspace
from edgeops.data.describe import column_names, describe
from edgeops.data.diff import compare
from edgeops.files import write_atomic
from edgeops.registry.tables import DatasetVersion

_PER_CLASS = 6


def dataset_facts(workspace: Workspace, text: str) -> tuple[DatasetVersion, dict[str, Any]]:
    """A version's row, and what ``describe`` says of its content."""
    dataset, row = load_dataset(workspace, text)
    return row, describe(dataset)


def dataset_difference(workspace: Workspace, before: str, after: str) -> dict[str, Any]:
    """What ``compare`` says of two versions, called ``before`` and ``after``."""
    (a, old), (b, new) = load_dataset(workspace, before), load_dataset(workspace, after)
    names = {"before": f"{old.name}@{old.version}", "after": f"{new.name}@{new.version}"}
    return {**names, "same": a.sha256 == b.sha256, **compare(a.index, b.index)}


def write_dataset_report(workspace: Workspace, text: str, path: Path, per_class: int = _PER_CLASS) -> None:
    """Write the self-contained HTML page of a version."""
    from edgeops.data.histograms import histograms
    from edgeops.data.samples import samples  # what draws is loaded when something is drawn
    from edgeops.reports.dataset_page import DatasetPage, Shown, render_dataset
    from edgeops.reports.histograms import Distribution

    dataset, row = load_dataset(workspace, text)
    facts = describe(dataset)
    table = histograms(dataset)  # whose rows have no shape to look at
    shown = [
        Shown(s.label, s.part, s.name, s.pixels, s.low, s.high)
        for s in ([] if table else samples(dataset, per_class))
    ]
    page = DatasetPage(
        title=f"{row.name}@{row.version}",
        sha256=row.sha256,
        facts=_tiles(row, facts),
        balance=facts["class_balance_by_part"],
        tables=_tables(row, facts, column_names(dataset)),
        notes=row.notes,
        samples=shown,
        distributions=[Distribution(h.feature, h.low, h.high, h.labels, h.counts) for h in table],
    )
    write_atomic(path, render_dataset(page, time.time()).encode())


def _tiles(row: DatasetVersion, facts: dict[str, Any]) -> list[tuple[str, str, str]]:
    parts = ", ".join(f"{count:,} {part}" for part, count in row.parts.items() if count)
    shape = " × ".join(map(str, facts["shape"])) or "one value"
    tiles = [
        ("Items", f"{facts['items']:,}", parts),
        ("Classes", str(len(row.labels)), _shares(row)),
        ("Kind", row.kind, f"{shape}, {facts['dtype']}"),
        (
            "Values",
            f"{facts['values']['minimum']:,.5g} to {facts['values']['maximum']:,.5g}",
            f"mean {facts['values']['mean']:.4g}",
        ),
        (
            "Set aside",
            f"{len(row.quarantined):,}",
            "not used; see below" if row.quarantined else "all is used",
        ),
    ]
    if "durations" in facts:
        spans = facts["durations"]
        each = (
            f"{spans['minimum']:.3g} to {spans['maximum']:.3g}, median {spans['median']:.3g} {spans['unit']}"
        )
        rate = f"{facts['sample_rate_hz']:g} Hz; " if facts["sample_rate_hz"] else ""
        tiles.append(("Duration", f"{spans['total']:,.1f} {spans['unit']}", rate + each))
    return tiles


def _shares(row: DatasetVersion) -> str:
    shares = row.split.get("shares", {})
    said = "/".join(f"{100 * share:g}" for share in shares.values())
    group = f", by {row.split['group']}" if row.split.get("group") else ""
    return f"split {said}, stratified{group}" if shares else "split by content"


def _tables(
    row: DatasetVersion, facts: dict[str, Any], names: Sequence[str]
) -> list[tuple[str, list[str], list[list[str]]]]:
    tables: list[tuple[str, list[str], list[list[str]]]] = []
    slices = [
        [name, f"{len(v)}" if isinstance(v, dict) else f"{v:,}", _values(v)]
        for name, v in facts["slices"].items()
    ]
    if slices:
        tables.append(("Slices", ["Slice", "Values", "Items of each"], slices))
    columns = facts["values"].get("by_column", [])
    if columns:
        ranges = [
            [name, *(f"{column[key]:.4g}" for key in ("minimum", "mean", "maximum"))]
            for name, column in zip(names or map(str, range(len(columns))), columns, strict=True)
        ]
        head = ["Column" if names else "Number", "Minimum", "Mean", "Maximum"]
        tables.append(("Values by channel or feature", head, ranges))
    if row.quarantined:
        bad = [[str(file), str(reason)] for file, reason in row.quarantined]
        tables.append(("Set aside", ["File", "Why"], bad))
    return tables


def _values(counted: dict[str, int] | int) -> str:
    if isinstance(counted, int):
        return "too many to list"
    return ", ".join(f"{name or '(none)'} ({count:,})" for name, count in counted.items())
