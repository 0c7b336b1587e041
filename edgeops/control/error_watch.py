"""Watching errors: labels as they come, of all devices, against the error rate that a version was released with.

Labels of devices whose inputs drifted, or are at fault, are left out: their errors are explained, and what is looked
for is a world that looks as before and means something else. The judgement is ``edgeops.drift.concept``; its state
stands in the registry beside the cursor that says how far was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlmodel import Session, col, func, select

from edgeops.control.drift_records import DRIFT, alarmed_devices, clear_quiet, record_device
from edgeops.control.drift_references import labelled_reference
from edgeops.core.errors import DataError, NotFoundError, TrustError
from edgeops.drift.concept import RUN_LENGTH, ErrorStream, base_rate_of, erring
from edgeops.drift.rounds import FLEET, Shift
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import count, fact, state_fact
from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import Alert, AlertDevice, LabelTruth, ModelVersion, ReportWindow, Retrain

CURSOR = "error watch"
BATCH = 5_000
QUIET_LABELS = 500
"""After so many labels without another alarm, devices of which labels alone said that they drift do so no more."""
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
        drifted = _drifted_windows(session, version, labels)
        since = int(fact(session, name).get("since", 0))
        for label in labels:
            if label.device_id in explained or (label.device_id, label.boot, label.sequence) in drifted:
                continue
            since += 1
            stream = stream.take(label.predicted != label.truth)
            if stream.evidence >= self._run_length:
                yield from _raise(session, version, label, stream, explained, now)
                explained = alarmed_devices(session, version)
                stream, since = ErrorStream(stream.base_rate), 0
        if since >= QUIET_LABELS:
            erring_now = {label.device_id for label in labels}
            yield from clear_quiet(session, version, DRIFT, erring_now, now, errors=True)
        state_fact(
            session,
            name,
            {
                "base": stream.base_rate,
                "statistics": list(stream.statistics),
                "recent": stream.recent,
                "since": since,
            },
        )

    def _new_stream(self, session: Session, version: ModelVersion) -> ErrorStream | None:
        try:
            known = labelled_reference(self._blobs, session, version)
        except (DataError, NotFoundError, TrustError) as error:
            count(session, "version without a reference", "", error.message)
            return None
        if not known[1]:
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


def _drifted_windows(
    session: Session, version: ModelVersion, labels: Sequence[LabelTruth]
) -> set[tuple[str, int, int]]:
    """(device, boot, sequence) of the windows that these labels are about and that came while their device drifted, or
    was at fault: a label may come weeks later.
    """
    names = {label.device_id for label in labels}
    query = select(AlertDevice).join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
    query = query.where(Alert.model_version_id == version.id, col(AlertDevice.device_id).in_(names))
    found: set[tuple[str, int, int]] = set()
    for row in session.exec(query):
        if all(shift.get("kind") == "concept" for shift in row.shifts):
            continue
        of_device = [label.sequence for label in labels if label.device_id == row.device_id]
        windows = select(ReportWindow.boot, ReportWindow.sequence).where(
            ReportWindow.device_id == row.device_id,
            ReportWindow.manifest == version.manifest_sha256,
            ReportWindow.sequence >= min(of_device),
            ReportWindow.sequence <= max(of_device),
            ReportWindow.received_at >= row.raised_at,
        )
        if row.cleared_at is not None:
            windows = windows.where(ReportWindow.received_at <= row.cleared_at)
        found |= {(row.device_id, boot, sequence) for boot, sequence in session.exec(windows)}
    return found


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
        line = record_device(session, version, DRIFT, name, _window_of(session, one), [shift], now)
        if line is not None:
            yield line


def _window_of(session: Session, label: LabelTruth) -> tuple[int, int, int]:
    """(boot, sequence, number) of the device's latest window: what came before the alarm is not waited for again."""
    query = select(func.max(ReportWindow.id)).where(
        ReportWindow.device_id == label.device_id, ReportWindow.model == label.model
    )
    return label.boot, label.sequence, session.exec(query).one() or 0
