"""Answering drift alerts: labels and capture on, then a retrain when the policy says so."""

from __future__ import annotations

from sqlmodel import Session, col, func, select

from edgeops.control.alarm_facts import facts_of
from edgeops.control.capture_ends import stop_capture, stop_needless_capture, stop_needless_labels
from edgeops.control.capture_orders import ordered_capture
from edgeops.control.drift_records import DRIFT
from edgeops.control.labelled_samples import fair_labelled, labelled, last_label, new_labelled
from edgeops.control.plans import PlanShelf
from edgeops.control.retrain_ledger import ledger_of
from edgeops.control.retrain_policies import PolicyShelf
from edgeops.control.settings import CaptureSettings, RetrainSettings
from edgeops.core.errors import ConfigError, EdgeOpsError, StorageError, UnreachableError
from edgeops.core.lifecycle import RETRAIN
from edgeops.drift.policy import Decision, Evidence, RetrainPolicy, decide
from edgeops.fleet.desired import DesiredWriter
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    DesiredState,
    DeviceModel,
    ModelVersion,
    Retrain,
    Run,
)

SILENCE_S = 600.0  # an alarmed device that reports no window for so long does not keep the others waiting
ENDED = ("REJECTED", "FAILED", "ABANDONED")
"""A retrain that ended so has answered nothing: its alert may ask for another."""


class DriftAnswer:
    """Looks at every open alert, decides (``edgeops.drift.policy``) and acts through desired states."""

    def __init__(
        self,
        writer: DesiredWriter,
        retrain: RetrainSettings,
        capture: CaptureSettings,
        silence_s: float = SILENCE_S,
        shelf: PlanShelf | None = None,
    ) -> None:
        self._writer = writer
        self._silence_s = silence_s
        self._settings = retrain
        self._capture = capture
        self._shelf = shelf
        self._policies = PolicyShelf(retrain)

    def tick(self, session: Session, now: float) -> list[str]:
        """Decide on each open alert; returns what is new, in words."""
        told = _abandon_answered(session, now)
        for alert in session.exec(select(Alert).where(Alert.state == "open", Alert.kind == DRIFT)).all():
            latest = _latest(session, alert)
            if latest is not None and latest.state not in ENDED:
                continue
            version = session.get_one(ModelVersion, alert.model_version_id)
            why = _over(session, alert, version)
            if why is not None:
                alert.state, alert.closed_at, alert.reason = "closed", now, why
                session.add(alert)
                told.append(f"alert {alert.id}: closed: {why}")
                continue
            before = alert.decision
            try:
                with (
                    session.begin_nested()
                ):  # one alert that cannot be answered must not keep the others waiting
                    decision = self._answer(session, alert, version, latest, now)
            except (StorageError, UnreachableError):
                raise
            except EdgeOpsError as error:
                decision = Decision("wait", f"It cannot be answered: {error.message}.")
            if decision.kind != before:
                told.append(f"alert {alert.id}: {decision.kind}: {decision.reason}")
            alert.decision, alert.reason = decision.kind, decision.reason
            session.add(alert)
        stop_needless_capture(session, self._writer)
        stop_needless_labels(session, self._writer)
        return told

    def _answer(
        self, session: Session, alert: Alert, version: ModelVersion, latest: Retrain | None, now: float
    ) -> Decision:
        if latest is not None and latest.samples and alert.renewed_for != latest.id:
            # Its devices have sent what they were allowed to; without new samples the next retrain is this one again.
            stop_capture(session, self._writer, alert)
            alert.renewed_for = latest.id
            session.add(alert)
            return Decision("wait", f"Retrain {latest.id} ended as {latest.state}: new samples are needed.")
        decision = self._decide(session, alert, version, now)
        if decision.kind in ("collect", "wait"):
            self._collect(session, alert, version)
        elif decision.kind == "retrain" and self._settings.automatic:
            self._want_retrain(session, alert, version, decision, now)
        return decision

    def _decide(self, session: Session, alert: Alert, version: ModelVersion, now: float) -> Decision:
        try:
            policy = self._policies.of(session.get_one(Run, version.run_id))
        except ConfigError as error:
            return Decision("wait", f"The policy cannot be read: {error.message}.")
        return decide(policy, self._evidence(session, alert, version, now, policy))

    def _collect(self, session: Session, alert: Alert, version: ModelVersion) -> None:
        labels = "device" in self._capture.labels
        for desired in session.exec(select(DesiredState)).all():
            if version.model in desired.models and labels:
                self._writer.change(session, desired.device_id, version.model, labels=labels)
        for row in _devices(session, alert):
            if row.capture_generation is None and row.cleared_at is None:
                capture = ordered_capture(session, self._capture, self._shelf, row, version)
                row.capture_generation = self._writer.change(
                    session, row.device_id, version.model, capture=capture, labels=labels
                )
                session.add(row)
        session.flush()

    def _evidence(
        self,
        session: Session,
        alert: Alert,
        version: ModelVersion,
        now: float,
        policy: RetrainPolicy | None = None,
    ) -> Evidence:
        policy = policy or self._settings.policy()
        fleet = session.exec(
            select(func.count())
            .select_from(DeviceModel)
            .where(DeviceModel.model == version.model, col(DeviceModel.confirmed).is_not(None))
        ).one()
        alarmed = facts_of(session, alert, version, policy, now, self._silence_s)
        return Evidence(
            max(fleet, len(alarmed)),
            alarmed,
            new_labelled(session, version),
            ledger_of(session, version.model, policy, now),
            fair_labelled(session, version),
        )

    def _want_retrain(
        self, session: Session, alert: Alert, version: ModelVersion, decision: Decision, now: float
    ) -> None:
        policy = self._policies.of(session.get_one(Run, version.run_id))
        retrain = Retrain(
            alert_id=alert.id or 0,
            state=RETRAIN.next(RETRAIN.initial, "asked" if policy.approval else "samples_complete"),
            seed=self._settings.seed,
            samples=labelled(session, version),
            labels_to=last_label(session, version),
            reason=decision.reason,
            created_at=now,
        )
        session.add(retrain)
        session.flush()


def shift_answers(session: Session, jumped: float, now: float) -> None:
    """The clock was set by ``jumped`` seconds: what was waited for so far counts as waited. ``now`` is after it.

    With 0 it only mends what lies in the future: the clock was set back while nobody watched.
    """
    for row in session.exec(select(AlertDevice).where(col(AlertDevice.heard_at).is_not(None))):
        row.heard_at = min((row.heard_at or 0.0) + jumped, now)
        session.add(row)
    for retrain in session.exec(select(Retrain)):
        retrain.created_at = min(retrain.created_at + jumped, now)
        if retrain.finished_at is not None:
            retrain.finished_at = min(retrain.finished_at + jumped, now)
        session.add(retrain)


def _abandon_answered(session: Session, now: float) -> list[str]:
    """A retrain or a proposal that waits for a person is not wanted any more when its alert is closed."""
    query = (
        select(Retrain)
        .join(Alert, col(Alert.id) == col(Retrain.alert_id))
        .where(col(Retrain.state).in_(("WAITING", "PROPOSED")), Alert.state == "closed")
    )
    told = []
    for retrain in session.exec(query).all():
        event = "alert_closed" if retrain.state == "WAITING" else "declined"
        retrain.state = RETRAIN.next(retrain.state, event)
        retrain.reason, retrain.finished_at = "its alert was closed", now
        session.add(retrain)
        told.append(f"retrain {retrain.id}: not wanted any more: alert {retrain.alert_id} is closed")
    return told


def _over(session: Session, alert: Alert, version: ModelVersion) -> str | None:
    """Why an alert that no retrain is at work for asks for nothing more; None where it may."""
    rows = _devices(session, alert)
    if rows and all(row.cleared_at is not None for row in rows):
        return "It cleared by itself."
    names = [row.device_id for row in rows]
    running = select(DeviceModel.device_id).where(
        DeviceModel.model == version.model, DeviceModel.confirmed == version.manifest_sha256
    )
    if rows and not set(session.exec(running)) & set(names):
        return "None of its devices runs this version any more."
    return None


def _latest(session: Session, alert: Alert) -> Retrain | None:
    query = select(Retrain).where(Retrain.alert_id == alert.id).order_by(col(Retrain.id).desc())
    return session.exec(query).first()


def _devices(session: Session, alert: Alert) -> list[AlertDevice]:
    query = select(AlertDevice).where(AlertDevice.alert_id == alert.id).order_by(col(AlertDevice.device_id))
    return list(session.exec(query))
