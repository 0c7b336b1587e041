"""Drift alerts as rows, one a device."""

from __future__ import annotations

from typing import Any

from sqlmodel import col, select

from edgeops.control.workspace import Workspace
from edgeops.registry.tables import Alert, AlertDevice, ModelVersion


def alert_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Every device of every alert, with what moved (largest shift first)."""
    with workspace.registry.reading() as session:
        query = (
            select(Alert, AlertDevice, ModelVersion)
            .join(AlertDevice, col(AlertDevice.alert_id) == col(Alert.id))
            .join(ModelVersion, col(ModelVersion.id) == col(Alert.model_version_id))
            .order_by(col(Alert.id), col(AlertDevice.device_id))
        )
        return [
            {
                "alert": alert.id,
                "model": f"{version.model}@{version.version}",
                "state": alert.state,
                "device": row.device_id,
                "window": row.sequence,
                "moved": ", ".join(
                    f"{s['signal']} {s['direction']} {s['distance']:.2f}" for s in row.shifts[:2]
                ),
                "decision": alert.decision,
                "reason": alert.reason,
                "boot": row.boot,
                "windows_seen": row.windows_seen,
                "shifts": row.shifts,
            }
            for alert, row, version in session.exec(query)
        ]
