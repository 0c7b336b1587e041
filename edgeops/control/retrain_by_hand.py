"""A retrain that a person asks for, carried out by the process that the person started and by no other."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlmodel import Session, col, select

from edgeops.control.drift_records import DRIFT
from edgeops.control.retrain_lock import retrain_lock
from edgeops.control.retraining import run_under_lock
from edgeops.control.training_jobs import Trained
from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.core.lifecycle import RETRAIN
from edgeops.registry.tables import Alert, Retrain
from edgeops.training.climbing import Climbing
from edgeops.training.fit import Progress
from edgeops.training.ladder import Say, climb


def retrain_by_hand(
    workspace: Workspace,
    alert_id: int | None,
    progress: Progress | None = None,
    say: Say = lambda line: None,
    climbing: Climbing = climb,
    clock: Callable[[], float] = time.time,
) -> Trained:
    """Answer a drift alert now; the newest open one by default. As ``run_retrain``, which see.

    Nothing is noted before the lock is held, and one that is cut off is ``ABANDONED``, unless the policy had asked for
    it already: then ``edgeops serve`` takes it up. Raises as ``find_retrain`` and ``run_retrain`` do.
    """
    with retrain_lock(workspace):
        retrain = find_retrain(workspace, alert_id, clock())
        return run_under_lock(workspace, retrain.id or 0, progress, say, climbing, clock)


def find_retrain(workspace: Workspace, alert_id: int | None, now: float) -> Retrain:
    """The retrain of an alert, made now if the policy has not made one; for who holds the lock.

    Raises ``NotFoundError`` when there is no such alert, ``UsageError`` for one that no retrain answers.
    """
    with workspace.registry.session() as session:
        alert = _alert(session, alert_id)
        pending = session.exec(
            select(Retrain).where(
                Retrain.alert_id == alert.id, col(Retrain.state).in_(("READY", "TRAINING", "WAITING"))
            )
        ).first()
        if pending is None:
            pending = Retrain(
                alert_id=alert.id or 0,
                state=RETRAIN.next(RETRAIN.initial, "samples_complete"),
                seed=workspace.settings.retrain.seed,
                reason="asked for by hand",
                by_hand=True,
                created_at=now,
            )
        elif pending.state == "WAITING":  # who asks for it by hand need not be asked
            pending.state, pending.by_hand = RETRAIN.next(pending.state, "approve"), True
        session.add(pending)
    return pending


def _alert(session: Session, alert_id: int | None) -> Alert:
    if alert_id is None:
        query = select(Alert).where(Alert.state == "open", Alert.kind == DRIFT)
        newest = session.exec(query.order_by(col(Alert.id).desc())).first()
        if newest is None:
            raise NotFoundError("no open drift alert to answer", fix="edgeops drift status shows the alerts")
        return newest
    alert = session.get(Alert, alert_id)
    if alert is None:
        raise NotFoundError(f"no alert {alert_id}", fix="edgeops drift list shows the alerts")
    if alert.kind != DRIFT:
        raise UsageError(
            f"alert {alert_id} says that inputs are at fault ({alert.kind}): a retrain would learn the fault",
            fix=f"mend the devices that edgeops drift explain {alert_id} names, then: edgeops drift ack {alert_id}",
        )
    if alert.state == "closed":
        raise UsageError(
            f"alert {alert_id} is closed: there is nothing to answer any more",
            fix="edgeops drift list shows which are open",
        )
    return alert
