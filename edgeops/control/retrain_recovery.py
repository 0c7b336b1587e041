"""A retrain that was cut off: one whose version was registered has come to its end, the others wait or are over."""

from __future__ import annotations

from sqlmodel import Session, col, select

from edgeops.core.lifecycle import RETRAIN
from edgeops.registry.names import split_version
from edgeops.registry.tables import DatasetVersion, ModelVersion, Retrain, Run


def settle(session: Session, retrain: Retrain) -> bool:
    """Give a retrain in ``TRAINING`` the outcome that its run recorded; False where there is none to give.

    What served only one world is tried again: what was to be proposed was not kept.
    """
    query = (
        select(Run, ModelVersion)
        .join(ModelVersion, col(ModelVersion.run_id) == col(Run.id))
        .where(Run.retrain_id == retrain.id)
        .order_by(col(Run.id).desc())
    )
    for run, version in session.exec(query):
        event = "better" if version.state == "registered" else run.record.get("outcome", "not_better")
        if event not in ("better", "not_better"):
            return False
        retrain.state = RETRAIN.next(retrain.state, event)
        retrain.model_version_id, retrain.gates = version.id, list(run.gates)
        retrain.attempts = list(run.record.get("attempts", []))
        retrain.dataset_id = _captured_in(session, run)
        retrain.finished_at = run.created_at
        session.add(retrain)
        return True
    return False


def cut_off(retrain: Retrain, now: float) -> None:
    """One in ``TRAINING`` that came to nothing is ready again; one by hand is over, as nobody else shall train it."""
    retrain.state = RETRAIN.next(retrain.state, "interrupted")
    if retrain.by_hand:
        abandon(retrain, now)


def abandon(retrain: Retrain, now: float) -> None:
    """End one in ``READY`` that was asked for by hand."""
    retrain.state = RETRAIN.next(retrain.state, "abandoned")
    retrain.reason, retrain.finished_at = "it was asked for by hand, and cut off", now


def _captured_in(session: Session, run: Run) -> int | None:
    name, number = split_version(run.record.get("captured_in", ""))
    query = select(DatasetVersion.id).where(DatasetVersion.name == name, DatasetVersion.version == number)
    return session.exec(query).first() or run.dataset_id
