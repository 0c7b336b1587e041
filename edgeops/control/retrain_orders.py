"""What a person says of retrains: which there are, and whether one that asks may go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.retrain_proposals import decline, specialise
from edgeops.control.rollout_orders import actor
from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.core.lifecycle import RETRAIN
from edgeops.fleet import audit
from edgeops.registry.tables import Alert, ModelVersion, Retrain


def retrain_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Every retrain, oldest first: what it answers, where it stands, and what came of it."""
    with workspace.registry.reading() as session:
        query = (
            select(Retrain, ModelVersion)
            .join(Alert, col(Alert.id) == col(Retrain.alert_id))
            .join(ModelVersion, col(ModelVersion.id) == col(Alert.model_version_id))
            .order_by(col(Retrain.id))
        )
        return [_row(session, retrain, old) for retrain, old in session.exec(query)]


def approve(
    workspace: Workspace, retrain_id: int, reason: str | None, clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Let a retrain that waits begin; of one that proposes a version for some devices alone, register that.

    Raises ``NotFoundError`` for one that is not there, ``UsageError`` for one that asks nothing.
    """
    if _asking(workspace, retrain_id) == "PROPOSED":
        specialise(workspace, retrain_id)
        return _noted(workspace, retrain_id, "approve", reason, clock())
    return _answered(workspace, retrain_id, "approve", reason, clock())


def reject(
    workspace: Workspace, retrain_id: int, reason: str | None, clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Do without a retrain that waits, or without the version that it proposes; its alert stays open.

    It asks again when as many labelled samples as the policy wants have come anew. Raises as ``approve`` does.
    """
    if _asking(workspace, retrain_id) == "PROPOSED":
        decline(workspace, retrain_id)
        return _noted(workspace, retrain_id, "reject", reason, clock())
    return _answered(workspace, retrain_id, "reject", reason, clock())


def _asking(workspace: Workspace, retrain_id: int) -> str:
    with workspace.registry.reading() as session:
        return _find(session, retrain_id).state


def _find(session: Session, retrain_id: int) -> Retrain:
    retrain = session.get(Retrain, retrain_id)
    if retrain is None:
        raise NotFoundError(f"no retrain {retrain_id}", fix="edgeops retrain list shows what there is")
    if retrain.state not in ("WAITING", "PROPOSED"):
        raise UsageError(
            f"retrain {retrain_id} is {retrain.state} and waits for nobody", fix="edgeops retrain list"
        )
    return retrain


def _answered(
    workspace: Workspace, retrain_id: int, event: str, reason: str | None, now: float
) -> dict[str, Any]:
    with workspace.registry.session() as session:
        retrain = _find(session, retrain_id)
        retrain.state = RETRAIN.next(retrain.state, event)
        if event == "reject":
            retrain.reason, retrain.finished_at = reason or retrain.reason, now
        session.add(retrain)
    return _noted(workspace, retrain_id, event, reason, now)


def _noted(
    workspace: Workspace, retrain_id: int, action: str, reason: str | None, now: float
) -> dict[str, Any]:
    with workspace.registry.session() as session:
        audit.record(session, now, actor(), action, f"retrain {retrain_id}", reason)
        return {"retrain": retrain_id, "state": session.get_one(Retrain, retrain_id).state}


def _row(session: Session, retrain: Retrain, old: ModelVersion) -> dict[str, Any]:
    new = session.get(ModelVersion, retrain.model_version_id) if retrain.model_version_id else None
    return {
        "retrain": retrain.id,
        "alert": retrain.alert_id,
        "of": f"{old.model}@{old.version}",
        "state": retrain.state,
        "samples": retrain.samples,
        "made": f"{new.model}@{new.version}" if new else None,
        "created": retrain.created_at,
        "reason": retrain.reason,
        "attempts": retrain.attempts,
        "proposal": retrain.proposal,
    }
