"""Fleet health in a workspace: the numbers, the small table, and the page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeops.control.demo.figures import Entry
from edgeops.control.plans import PlanShelf
from edgeops.control.workspace import Workspace
from edgeops.files import write_atomic
from edgeops.reports.figures import Figure, pooled
from edgeops.reports.health import DeviceHealth, FleetHealth, fleet_health
from edgeops.reports.series import series

if TYPE_CHECKING:
    from edgeops.reports.extras import ObservedPoint


def current_health(workspace: Workspace) -> FleetHealth:
    """The fleet as it is now."""
    interval = max(workspace.settings.report.interval_ms / 1000, 1.0) or 60.0
    with workspace.registry.reading() as session:
        return fleet_health(session, PlanShelf(workspace.blobs).plan, time.time(), report_interval_s=interval)


def health_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """One row a site: devices, version, accuracy (measured or estimated), confidence, latency."""
    sites: dict[str, list[DeviceHealth]] = {}
    for row in current_health(workspace).rows:
        sites.setdefault(row.attributes.get("site", "-"), []).append(row)
    return [
        {
            "site": site,
            "devices": len(rows),
            "version": ", ".join(sorted({row.confirmed for row in rows if row.confirmed})),
            "accuracy": words(_accuracy(rows)),
            "confidence": words(pooled([row.confidence for row in rows], "estimated"), said=False),
            "latency": f"{max((row.latency_p95_us.value or 0 for row in rows), default=0):.0f} µs",
        }
        for site, rows in sorted(sites.items())
    ]


def _accuracy(rows: Sequence[DeviceHealth]) -> Figure:
    """What was measured where anything was, else what is estimated; never a mixture."""
    measured = [row.accuracy for row in rows if row.accuracy.basis == "measured"]
    if measured:
        return pooled(measured, "measured")
    return pooled([row.accuracy for row in rows], "estimated")


def words(figure: Figure, said: bool = True) -> str:
    """A share with the word that says where it is from."""
    if figure.value is None:
        return "-"
    return f"{figure.value:.3f}" + (f" {figure.basis}" if said and figure.basis else "")


def write_report(
    workspace: Workspace,
    path: Path,
    *,
    summary: dict[str, Any] | None = None,
    ledger: Sequence[Entry] = (),
) -> None:
    """Write the self-contained HTML page."""
    from edgeops.reports.extras import gather_extras  # what draws is loaded when something is drawn
    from edgeops.reports.html import render_report

    shelf = PlanShelf(workspace.blobs)
    health = current_health(workspace)
    models = sorted({row.model for row in health.rows if row.model})
    with workspace.registry.reading() as session:
        points = [point for model in models for point in series(session, shelf.plan, model)]
        extras = gather_extras(session, shelf.plan, summary=summary, observed_accuracy=_observed(ledger))
    write_atomic(path, render_report(health, points, extras, time.time()).encode())


def _observed(ledger: Sequence[Entry]) -> list[ObservedPoint]:
    from edgeops.reports.extras import ObservedPoint

    drifting = {entry.device for entry in ledger if entry.drifted}
    points, windows = [], dict.fromkeys((entry.device for entry in ledger), 0)
    for entry in ledger:
        windows[entry.device] += 1
        points.append(
            ObservedPoint(
                entry.device,
                entry.device in drifting,
                windows[entry.device],
                entry.version,
                entry.drifted,
                entry.eval_n,
                entry.eval_correct,
            )
        )
    return points
