"""What follows from a retrain: its version is rolled out, and the alert that asked for it ends."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session, col, select

from edgeops.control.capture_ends import stop_capture
from edgeops.control.retrain_ledger import ledger_of
from edgeops.control.retrain_policies import PolicyShelf
from edgeops.control.rollout_orders import plan_of
from edgeops.control.workspace import Workspace
from edgeops.core.errors import ConfigError, EdgeOpsError, StorageError, UnreachableError, UsageError
from edgeops.core.lifecycle import RETRAIN
from edgeops.drift.delays import push_delay
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.membership import selection_of
from edgeops.fleet.rollouts import start_rollout
from edgeops.registry.tables import Alert, DeviceModel, ModelVersion, Retrain, Rollout, Run

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
        if session.exec(select(Rollout).where(Rollout.model_version_id == version.id)).first() is not None:
            _deployed(session, writer, retrain, alert)  # by hand
        elif workspace.settings.retrain.automatic:
            try:
                why = _waits(session, policies, version, now)
                if why is None:
                    with session.begin_nested():
                        rollout = _roll_out(session, workspace, retrain, alert, version, now)
                    _deployed(session, writer, retrain, alert)
                    yield f"rollout {rollout}: {version.model}@{version.version} started by retrain {retrain.id}"
                    continue
            except (StorageError, UnreachableError):
                raise
            except EdgeOpsError as error:  # one that cannot start must not keep the others waiting
                why = error.message
            words = f"its rollout waits: {why}"
            if retrain.reason != words:
                yield f"retrain {retrain.id}: {words}"
            retrain.reason = words
            session.add(retrain)
    for alert in session.exec(select(Alert).where(Alert.state == "answered")).all():
        if _is_over(session, alert):
            alert.state, alert.closed_at = "closed", now


def _roll_out(
    session: Session, workspace: Workspace, retrain: Retrain, alert: Alert, version: ModelVersion, now: float
) -> int:
    """Start the rollout to those who had the old version; of them only those for whom the new one was made.

    Raises ``UsageError`` where devices run a newer version since: a person decides then.
    """
    whom = [selection_of(session, alert.model_version_id), version.selector or ""]
    moved_on = _moved_on(session, alert, version)
    if moved_on:
        raise UsageError(
            f"{len(moved_on)} devices run a newer version since",
            fix=f"edgeops rollout start {version.model}@{version.version} --to SELECTOR",
        )
    plan = plan_of(workspace, to=" and ".join(f"({text})" for text in whom if text))
    return start_rollout(session, version, plan, f"retrain {retrain.id}", now).id or 0


def _moved_on(session: Session, alert: Alert, version: ModelVersion) -> set[str]:
    """The devices that run a newer version than the one that the alert is about: it would be taken from them."""
    old = session.get_one(ModelVersion, alert.model_version_id)
    newer = (
        select(DeviceModel.device_id)
        .join(ModelVersion, col(ModelVersion.manifest_sha256) == col(DeviceModel.confirmed))
        .where(
            ModelVersion.model == old.model, ModelVersion.version > old.version, ModelVersion.id != version.id
        )
    )
    return set(session.exec(newer))


def _deployed(session: Session, writer: DesiredWriter, retrain: Retrain, alert: Alert) -> None:
    retrain.state = RETRAIN.next(retrain.state, "rollout_started")
    alert.state = "answered"
    session.add(retrain)
    session.add(alert)
    stop_capture(session, writer, alert)


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
