"""Answering drift alerts: labels and capture on, then a retrain when the policy says so."""

from __future__ import annotations

from sqlmodel import Session, col, func, select

from edgeops.control.settings import CaptureSettings, RetrainSettings
from edgeops.core.lifecycle import RETRAIN
from edgeops.drift.policy import AlarmFacts, Decision, Evidence, RetrainPolicy, decide
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
)

SILENCE_S = 600.0  # an alarmed device that reports no window for so long does not keep the others waiting


class DriftAnswer:
    """Looks at every open alert, decides (``edgeops.drift.policy``) and acts through desired states."""

    def __init__(
        self,
        writer: DesiredWriter,
        retrain: RetrainSettings,
        capture: CaptureSettings,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._writer = writer
        self._silence_s = silence_s
        self._settings = retrain
        self._capture = capture
        self._policy = RetrainPolicy(
            retrain.min_devices,
            retrain.min_share,
            retrain.settle_windows,
            retrain.capture_windows,
            retrain.min_samples,
        )

    def tick(self, session: Session, now: float) -> list[str]:
        """Decide on each open alert; returns what is new, in words."""
        told = []
        for alert in session.exec(select(Alert).where(Alert.state == "open")).all():
            version = session.get_one(ModelVersion, alert.model_version_id)
            if session.exec(select(Retrain).where(Retrain.alert_id == alert.id)).first() is not None:
                continue
            decision = decide(self._policy, self._evidence(session, alert, version, now))
            if decision.kind == "collect":
                self._collect(session, alert, version)
            elif decision.kind == "retrain" and self._settings.automatic:
                self._want_retrain(session, alert, version, decision, now)
            if decision.kind != alert.decision:
                told.append(f"alert {alert.id}: {decision.kind}: {decision.reason}")
            alert.decision, alert.reason = decision.kind, decision.reason
            session.add(alert)
        return told

    def _collect(self, session: Session, alert: Alert, version: ModelVersion) -> None:
        for desired in session.exec(select(DesiredState)).all():
            if version.model in desired.models:
                self._writer.change(session, desired.device_id, version.model, labels=True)
        capture = [self._capture.permille, self._capture.budget]
        for row in _devices(session, alert):
            if row.capture_generation is None:
                row.capture_generation = self._writer.change(
                    session, row.device_id, version.model, capture=capture, labels=True
                )
                session.add(row)
        session.flush()

    def _evidence(self, session: Session, alert: Alert, version: ModelVersion, now: float) -> Evidence:
        fleet = session.exec(
            select(func.count())
            .select_from(DeviceModel)
            .where(DeviceModel.model == version.model, DeviceModel.confirmed == version.manifest_sha256)
        ).one()
        rows = _devices(session, alert)
        alarmed = {row.device_id: _facts(session, row, version, now - self._silence_s) for row in rows}
        return Evidence(max(fleet, len(alarmed)), alarmed, len(labelled_samples(session, version)))

    def _want_retrain(
        self, session: Session, alert: Alert, version: ModelVersion, decision: Decision, now: float
    ) -> None:
        retrain = Retrain(
            alert_id=alert.id or 0,
            state=RETRAIN.next(RETRAIN.initial, "samples_complete"),
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


def _devices(session: Session, alert: Alert) -> list[AlertDevice]:
    query = select(AlertDevice).where(AlertDevice.alert_id == alert.id).order_by(col(AlertDevice.device_id))
    return list(session.exec(query))


def _facts(session: Session, row: AlertDevice, version: ModelVersion, silent_since: float) -> AlarmFacts:
    of_device = (
        select(func.count())
        .select_from(ReportWindow)
        .where(ReportWindow.device_id == row.device_id, ReportWindow.manifest == version.manifest_sha256)
    )
    # Boots have no order that could be relied on: they begin anew where a disk was wiped.
    later = ((ReportWindow.boot != row.boot) & (ReportWindow.received_at > row.raised_at)) | (
        (ReportWindow.boot == row.boot) & (ReportWindow.sequence > row.sequence)
    )
    since = session.exec(of_device.where(later)).one()
    under = 0
    if row.capture_generation is not None:
        under = session.exec(of_device.where(ReportWindow.generation >= row.capture_generation)).one()
    latest = session.exec(
        select(func.max(ReportWindow.received_at)).where(
            ReportWindow.device_id == row.device_id, ReportWindow.manifest == version.manifest_sha256
        )
    ).one()
    return AlarmFacts(since, under, silent=latest is None or latest < silent_since)
