"""Drift as it stands: each version's accuracy and silence, and each device of each alert."""

from __future__ import annotations

from typing import Any

from edgeops.control.alerts import alert_rows
from edgeops.control.fleet_report import current_health
from edgeops.control.workspace import Workspace
from edgeops.reports.figures import Figure
from edgeops.reports.standing import standings


def drift_status(workspace: Workspace) -> dict[str, Any]:
    """``models``, one row a version in use, ``alerts``, one a device and alert, and ``notes`` about silence."""
    found = standings(current_health(workspace).rows)
    return {
        "models": [standing.as_dict() for standing in found],
        "alerts": alert_rows(workspace),
        "notes": [words for standing in found if (words := standing.words) is not None],
    }


def interval_words(figure: dict[str, Any]) -> str:
    """``0.962 (0.950 to 0.971)`` of a figure as plain data; a dash where nothing is known."""
    known = Figure(**figure)
    if known.value is None or known.low is None or known.high is None:
        return "-"
    return f"{known.value:.3f} ({known.low:.3f} to {known.high:.3f})"
