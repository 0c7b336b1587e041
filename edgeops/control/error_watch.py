"""Watching errors: labels as they come, of all devices, against the error rate that a version was released with.

Labels of devices whose inputs drifted, or are at fault, are left out: their errors are explained, and what is looked
for is a world that looks as before and means something else. The judgement is ``edgeops.drift.concept``; its state
stands in the registry beside the cursor that says how far was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlmodel import Session, col, select

from edgeops.control.drift_records import DRIFT, alarmed_devices, record_device
from edgeops.control.drift_references import labelled_reference
from edgeops.core.errors import NotFoundError
from edgeops.drift.concept import RUN_LENGTH, ErrorStream, base_rate_of, erring
from edgeops.drift.rounds import FLEET, Shift
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import count, fact, state_fact
from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import LabelTruth, ModelVersion, Retrain

CURSOR = "error watch"
BATCH = 5_000
LOOKED_BACK = 500
"""Whose errors raised an alarm: devices with one among so many latest labels."""
_CAPTURED = "beats_old_on_captured"


class ErrorWatch:
    """One stream of errors for each version."""

    def __init__(self, blobs: BlobStore, run_length: float = RUN_LENGTH) -> None:
        self._blobs = blobs
        self._run_length = run_length

    def tick(self, session: Session, now: float) -> list[str]:
        """Take the labels that came since the last time; returns what is new, in words."""
        cursor = int(fact(session, CURSOR).get("cursor", 0))
        fair = select(LabelTruth).where(col(LabelTruth.id) > cursor, col(LabelTruth.representative))
        query = fair.order_by(col(LabelTruth.id))
        labels = session.exec(query.limit(BATCH)).all()
        if not labels:
            return []
        told: list[str] = []
        for prefix in dict.fromkeys(label.manifest_prefix for label in labels):
            version = model_of_manifest(session, prefix)
            if version is not None:
                part = [label for label in labels if label.manifest_prefix == prefix]
                told += self._take(session, version, part, now)
        state_fact(session, CURSOR, {"cursor": labels[-1].id})
        return told

    def _take(
        self, session: Session, version: ModelVersion, labels: Sequence[LabelTruth], now: float
    ) -> Iterator[str]:
        name = f"errors of version {version.id}"
        stream = _stream(fact(session, name)) or self._new_stream(session, version)
        if stream is None:
            return
        explained = alarmed_devices(session, version)
        for label in labels:
            if label.device_id in explained:
                continue
            stream = stream.take(label.predicted != label.truth)
            if stream.evidence >= self._run_length:
                yield from _raise(session, version, label, stream, explained, now)
                explained = alarmed_devices(session, version)
                stream = ErrorStream(stream.base_rate)
        state_fact(
            session,
            name,
            {"base": stream.base_rate, "statistics": list(stream.statistics), "recent": stream.recent},
        )

    def _new_stream(self, session: Session, version: ModelVersion) -> ErrorStream | None:
        try:
            known = labelled_reference(self._blobs, session, version)
        except NotFoundError as error:
            count(session, "version without a reference", "", error.message)
            return None
        if known is None or not known[1]:
            return None
        rate, error_of_rate = base_rate_of(*known)
        # a rate that is thought too low costs false alarms, one too high a little delay
        return ErrorStream(max(rate + error_of_rate, _captured_error(session, version)))


def _stream(stored: dict[str, object]) -> ErrorStream | None:
    if not stored:
        return None
    base, statistics, recent = stored["base"], stored["statistics"], stored["recent"]
    assert isinstance(base, float) and isinstance(statistics, list)
    assert recent is None or isinstance(recent, float)
    return ErrorStream(base, tuple(statistics), recent)


def _captured_error(session: Session, version: ModelVersion) -> float:
    """What a retrained version erred on what was captured of the changed world, which it now lives in."""
    retrain = session.exec(select(Retrain).where(Retrain.model_version_id == version.id)).first()
    gates = retrain.gates if retrain is not None else []
    return max((1.0 - float(gate["value"]) for gate in gates if gate.get("name") == _CAPTURED), default=0.0)


def _raise(
    session: Session,
    version: ModelVersion,
    label: LabelTruth,
    stream: ErrorStream,
    explained: frozenset[str],
    now: float,
) -> Iterator[str]:
    query = select(LabelTruth).where(
        LabelTruth.manifest_prefix == label.manifest_prefix,
        col(LabelTruth.id) <= label.id,
        col(LabelTruth.representative),
        col(LabelTruth.device_id).not_in(explained),
    )
    latest = session.exec(query.order_by(col(LabelTruth.id).desc()).limit(LOOKED_BACK)).all()
    by_device: dict[str, list[LabelTruth]] = {}
    for one in latest:
        by_device.setdefault(one.device_id, []).append(one)
    counts = {
        name: (sum(one.predicted != one.truth for one in mine), len(mine)) for name, mine in by_device.items()
    }
    shift = Shift(
        "concept",
        "errors",
        1 / stream.evidence,
        max(stream.rate - stream.base_rate, 0.0),
        "up",
        len(latest),
        scope=FLEET,
    )
    for name in sorted(erring(counts, stream.base_rate)):
        one = by_device[name][0]
        line = record_device(session, version, DRIFT, name, (one.boot, one.sequence), [shift], now)
        if line is not None:
            yield line
