"""Answering drift alerts: labels and capture on, then a retrain when the policy says so."""

from __future__ import annotations

from sqlmodel import Session, col, func, select

from edgeops.control.capture_orders import ordered_capture
from edgeops.control.drift_records import DRIFT
from edgeops.control.plans import PlanShelf
from edgeops.control.retrain_ledger import ledger_of, used_samples
from edgeops.control.retrain_policies import PolicyShelf
from edgeops.control.settings import CaptureSettings, RetrainSettings
from edgeops.core.errors import ConfigError
from edgeops.core.lifecycle import RETRAIN
from edgeops.drift.policy import AlarmFacts, Decision, Evidence, RetrainPolicy, decide, sustained
from edgeops.fleet.desired import DesiredWriter
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    CapturedSample,
    DesiredState,
    DeviceModel,
    LabelTruth,
    ModelVersion,
    ReportWindow,
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
        _stop_needless_capture(session, self._writer)
        for alert in session.exec(select(Alert).where(Alert.state == "open", Alert.kind == DRIFT)).all():
            latest = _latest(session, alert)
            if latest is not None and latest.state not in ENDED:
                continue
            version = session.get_one(ModelVersion, alert.model_version_id)
            decision = self._decide(session, alert, version, latest, now)
            if decision.kind == "collect":
                self._collect(session, alert, version)
            elif decision.kind == "retrain" and self._settings.automatic:
                self._want_retrain(session, alert, version, decision, now)
            if decision.kind != alert.decision:
                told.append(f"alert {alert.id}: {decision.kind}: {decision.reason}")
            alert.decision, alert.reason = decision.kind, decision.reason
            session.add(alert)
        return told

    def _decide(
        self, session: Session, alert: Alert, version: ModelVersion, latest: Retrain | None, now: float
    ) -> Decision:
        if latest is not None and alert.decision == "retrain" and latest.samples:
            # Its devices have sent what they were allowed to; without new samples the next retrain is this one again.
            stop_capture(session, self._writer, alert)
            for row in _devices(session, alert):
                row.capture_generation = None
                session.add(row)
            session.flush()
            return Decision("wait", f"Retrain {latest.id} ended as {latest.state}: new samples are needed.")
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
            if row.capture_generation is None:
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
            .where(DeviceModel.model == version.model, DeviceModel.confirmed == version.manifest_sha256)
        ).one()
        rows = _devices(session, alert)
        alarmed = {row.device_id: _facts(session, row, version, policy, now, self._silence_s) for row in rows}
        new = len(labelled_samples(session, version)) - used_samples(session, version)
        return Evidence(
            max(fleet, len(alarmed)), alarmed, max(new, 0), ledger_of(session, version.model, policy, now)
        )

    def _want_retrain(
        self, session: Session, alert: Alert, version: ModelVersion, decision: Decision, now: float
    ) -> None:
        policy = self._policies.of(session.get_one(Run, version.run_id))
        retrain = Retrain(
            alert_id=alert.id or 0,
            state=RETRAIN.next(RETRAIN.initial, "asked" if policy.approval else "samples_complete"),
            seed=self._settings.seed,
            samples=len(labelled_samples(session, version)),
            reason=decision.reason,
            created_at=now,
        )
        session.add(retrain)
        session.flush()


def stop_capture(session: Session, writer: DesiredWriter, alert: Alert) -> None:
    """The alert is answered: no device need send inputs any more."""
    version = session.get_one(ModelVersion, alert.model_version_id)
    for row in _devices(session, alert):
        if row.capture_generation is not None:
            writer.change(session, row.device_id, version.model, capture=None)


def _stop_needless_capture(session: Session, writer: DesiredWriter) -> None:
    """Devices that are quiet again, or whose alert is closed, send no more inputs; another alert may ask for them."""
    query = (
        select(AlertDevice, Alert, ModelVersion)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .join(ModelVersion, col(ModelVersion.id) == col(Alert.model_version_id))
        .where(col(AlertDevice.capture_generation).is_not(None))
    )
    rows = list(session.exec(query))
    needless = [row for row in rows if row[1].state == "closed" or row[0].cleared_at is not None]
    wanted = {
        (row.device_id, version.model)
        for row, alert, version in rows
        if (row, alert, version) not in needless
    }
    for row, _, version in needless:
        if (row.device_id, version.model) not in wanted:
            writer.change(session, row.device_id, version.model, capture=None)
        row.capture_generation = None
        session.add(row)
    if needless:
        session.flush()


def labelled_samples(session: Session, version: ModelVersion) -> list[tuple[CapturedSample, int]]:
    """Captured inputs of a version whose truth came back, with it; in an order that does not depend on time."""
    query = (
        select(CapturedSample, LabelTruth.truth)
        .join(
            LabelTruth,
            (col(LabelTruth.prediction) == col(CapturedSample.prediction))
            & (col(LabelTruth.device_id) == col(CapturedSample.device_id)),
        )
        .where(CapturedSample.manifest == version.manifest_sha256)
        .order_by(col(CapturedSample.tensor), col(CapturedSample.device_id))
    )
    return [(sample, truth) for sample, truth in session.exec(query)]


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
    """A retrain that waits for a person is not wanted any more when its alert is closed."""
    query = (
        select(Retrain)
        .join(Alert, col(Alert.id) == col(Retrain.alert_id))
        .where(Retrain.state == "WAITING", Alert.state == "closed")
    )
    told = []
    for retrain in session.exec(query).all():
        retrain.state = RETRAIN.next(retrain.state, "alert_closed")
        retrain.reason, retrain.finished_at = "its alert was closed", now
        session.add(retrain)
        told.append(f"retrain {retrain.id}: not wanted any more: alert {retrain.alert_id} is closed")
    return told


def _latest(session: Session, alert: Alert) -> Retrain | None:
    query = select(Retrain).where(Retrain.alert_id == alert.id).order_by(col(Retrain.id).desc())
    return session.exec(query).first()


def _devices(session: Session, alert: Alert) -> list[AlertDevice]:
    query = select(AlertDevice).where(AlertDevice.alert_id == alert.id).order_by(col(AlertDevice.device_id))
    return list(session.exec(query))


def _facts(
    session: Session,
    row: AlertDevice,
    version: ModelVersion,
    policy: RetrainPolicy,
    now: float,
    silence_s: float,
) -> AlarmFacts:
    """What a device said since it alarmed, by the numbers of its windows: neither clock nor boots can be relied on."""
    of_device = (
        select(func.count())
        .select_from(ReportWindow)
        .where(ReportWindow.device_id == row.device_id, ReportWindow.manifest == version.manifest_sha256)
    )
    since = session.exec(of_device.where(col(ReportWindow.id) > _raised_by(session, row, version))).one()
    under = 0
    if row.capture_generation is not None:
        under = session.exec(of_device.where(ReportWindow.generation >= row.capture_generation)).one()
    flags = [bool(flag) for flag in row.flags]
    lasts = not flags or sustained(flags, policy.sustained, policy.sustained_of, policy.quiet_windows)
    return AlarmFacts(
        since,
        under,
        silent=not _heard(session, row, version, now) or now - (row.heard_at or 0.0) > silence_s,
        kinds=frozenset(shift.get("kind", "data") for shift in row.shifts) or frozenset({"data"}),
        cleared=row.cleared_at is not None or not lasts,
    )


def _raised_by(session: Session, row: AlertDevice, version: ModelVersion) -> int:
    """The number of the window that raised the alarm; 0 where it is not kept, and so all that are came later."""
    query = select(ReportWindow.id).where(
        ReportWindow.device_id == row.device_id,
        ReportWindow.model == version.model,
        ReportWindow.boot == row.boot,
        ReportWindow.sequence == row.sequence,
    )
    return session.exec(query).first() or 0


def _heard(session: Session, row: AlertDevice, version: ModelVersion, now: float) -> bool:
    """Note when its latest window came, by this clock; False where there is none."""
    query = (
        select(ReportWindow)
        .where(ReportWindow.device_id == row.device_id, ReportWindow.manifest == version.manifest_sha256)
        .order_by(col(ReportWindow.id).desc())
    )
    latest = session.exec(query).first()
    if latest is None:
        return False
    if latest.id != row.heard_id:
        row.heard_id, row.heard_at = latest.id, min(latest.received_at, now)
        session.add(row)
    return True
