"""What a person tells the control plane about a drift alert."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlmodel import col, select

from edgeops.control.capture_ends import stop_capture
from edgeops.control.drift_records import ACKNOWLEDGED
from edgeops.control.drift_views import find_alert
from edgeops.control.rollout_orders import BROKER, actor, desired_writer
from edgeops.control.workspace import Workspace
from edgeops.core.errors import UsageError
from edgeops.fleet import audit
from edgeops.registry.counts import fact
from edgeops.registry.tables import Retrain


def acknowledge(
    workspace: Workspace, alert_id: int, reason: str | None, clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Close an alert that needs no (more) answer: its devices stop to send inputs, and it asks for no retrain.

    Raises ``NotFoundError`` for an alert that is not there, ``UsageError`` for one that is closed or whose retrain is
    at work.
    """
    now = clock()
    with workspace.registry.session() as session:
        alert = find_alert(session, alert_id)
        if alert.state == "closed":
            raise UsageError(f"alert {alert_id} is closed already", fix="edgeops drift list")
        busy = select(Retrain).where(
            Retrain.alert_id == alert_id, col(Retrain.state).in_(("READY", "TRAINING", "REGISTERED"))
        )
        retrain = session.exec(busy).first()
        if retrain is not None:
            raise UsageError(
                f"retrain {retrain.id} answers alert {alert_id} and is {retrain.state}",
                fix="wait for its end, or stop edgeops serve first",
            )
        writer = desired_writer(workspace, fact(session, BROKER).get("packet_bytes"), clock)
        stop_capture(session, writer, alert)
        alert.state, alert.closed_at, alert.decision = "closed", now, ACKNOWLEDGED
        session.add(alert)
        audit.record(session, now, actor(), "acknowledge", f"alert {alert_id}", reason)
        return {"alert": alert.id, "state": alert.state}
