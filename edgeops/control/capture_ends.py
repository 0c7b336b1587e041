"""When devices need send inputs and truths no more; another alert of the same model may still ask them to."""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import Session, col, select

from edgeops.control.drift_records import DRIFT
from edgeops.fleet.desired import DesiredWriter
from edgeops.registry.tables import Alert, AlertDevice, DesiredState, ModelVersion, Retrain

Needless = Callable[[AlertDevice, Alert], bool]


def stop_capture(session: Session, writer: DesiredWriter, alert: Alert) -> None:
    """An alert is answered, or begins anew: what it asked for is asked for no more."""
    _stop(session, writer, lambda row, of: of.id == alert.id)


def stop_needless_capture(session: Session, writer: DesiredWriter) -> None:
    """The same for devices that are quiet again, and for those of closed alerts."""
    _stop(session, writer, lambda row, of: of.state == "closed" or row.cleared_at is not None)


def stop_needless_labels(session: Session, writer: DesiredWriter) -> None:
    """Devices that send truths only because an alert asked for them do so no more once it has what it needs."""
    at_work = select(Retrain.alert_id).where(col(Retrain.state).not_in(("REJECTED", "FAILED", "ABANDONED")))
    asking = (
        select(ModelVersion.model)
        .join(Alert, col(Alert.model_version_id) == col(ModelVersion.id))
        .where(Alert.kind == DRIFT, Alert.state == "open", col(Alert.id).not_in(at_work))
    )
    wanted = set(session.exec(asking))
    for desired in session.exec(select(DesiredState)).all():
        for model, of_model in desired.models.items():
            if of_model.get("labels") and model not in wanted:
                writer.change(session, desired.device_id, model, labels=False)


def _stop(session: Session, writer: DesiredWriter, needless: Needless) -> None:
    query = (
        select(AlertDevice, Alert, ModelVersion.model)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .join(ModelVersion, col(ModelVersion.id) == col(Alert.model_version_id))
        .where(col(AlertDevice.capture_generation).is_not(None))
    )
    rows = list(session.exec(query))
    wanted = {(row.device_id, model) for row, alert, model in rows if not needless(row, alert)}
    ended = [(row, model) for row, alert, model in rows if needless(row, alert)]
    for row, model in ended:
        if (row.device_id, model) not in wanted:
            writer.change(session, row.device_id, model, capture=None)
        row.capture_generation = None
        session.add(row)
    if ended:
        session.flush()
