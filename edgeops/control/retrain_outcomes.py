"""What follows from a retrain: its version is rolled out, and the alert that asked for it ends."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session, col, select

from edgeops.control.capture_ends import stop_capture
from edgeops.control.retrain_ledger import ledger_of
from edgeops.control.retrain_policies import PolicyShelf
from edgeops.control.rollout_orders import plan_of
from edgeops.control.workspace import Workspace
from edgeops.core.errors import ConfigError
from edgeops.core.lifecycle import RETRAIN
from edgeops.drift.delays import push_delay
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.membership import selection_of
from edgeops.fleet.rollouts import start_rollout
from edgeops.registry.tables import Alert, ModelVersion, Retrain, Rollout, Run

ENDED = ("COMPLETED", "ABORTED", "ROLLED_BACK", "SUPERSEDED")


def after_retrains(
    session: Session, workspace: Workspace, writer: DesiredWriter, now: float
) -> Iterator[str]:
    """A better version is rolled out to those who had the old one; then the alert is closed. A line for what is new.

    So it is when that version was taken back: who drifts still shall be able to say so again. In quiet hours, and while
    the budget of bytes is used up, the rollout waits.
    """
    policies = PolicyShelf(workspace.settings.retrain)
    for retrain in session.exec(select(Retrain).where(Retrain.state == "REGISTERED")).all():
        version = session.get_one(ModelVersion, retrain.model_version_id)
        alert = session.get_one(Alert, retrain.alert_id)
        if workspace.settings.retrain.automatic:
            why = _waits(session, policies, version, now)
            if why is not None:
                words = f"its rollout waits: {why}"
                if retrain.reason != words:
                    yield f"retrain {retrain.id}: {words}"
                retrain.reason = words
                continue
            whom = [selection_of(session, alert.model_version_id), version.selector or ""]
            # a version that was made for those that drifted goes to them alone
            plan = plan_of(workspace, to=" and ".join(f"({text})" for text in whom if text))
            rollout = start_rollout(session, version, plan, f"retrain {retrain.id}", now)
            retrain.state = RETRAIN.next(retrain.state, "rollout_started")
            alert.state = "answered"
            stop_capture(session, writer, alert)
            yield f"rollout {rollout.id}: {version.model}@{version.version} started by retrain {retrain.id}"
    for alert in session.exec(select(Alert).where(Alert.state == "answered")).all():
        if _is_over(session, alert):
            alert.state, alert.closed_at = "closed", now


def _whom(session: Session, alert: Alert, version: ModelVersion) -> str:
    """Those who had the old version; of them only those for whom the new one was made."""
    texts = [text for text in (selection_of(session, alert.model_version_id), version.selector) if text]
    return " and ".join(f"({text})" for text in texts) if len(texts) > 1 else "".join(texts)


def _waits(session: Session, policies: PolicyShelf, version: ModelVersion, now: float) -> str | None:
    """Why a rollout must not start now; None when it may."""
    try:
        policy = policies.of(session.get_one(Run, version.run_id))
    except ConfigError as error:
        return error.message
    return push_delay(policy.bytes_a_month, ledger_of(session, version.model, policy, now))


def _is_over(session: Session, alert: Alert) -> bool:
    query = (
        select(Rollout)
        .join(Retrain, Retrain.model_version_id == Rollout.model_version_id)  # type: ignore[arg-type]
        .where(Retrain.alert_id == alert.id, col(Rollout.state).in_(ENDED))
    )
    return session.exec(query).first() is not None
