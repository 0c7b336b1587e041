"""What the drift watch found, in the registry: alerts, their devices, and when these were quiet again."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlmodel import Session, col, select

from edgeops.drift.device_track import Track
from edgeops.drift.rounds import Finding, Shift
from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import Alert, AlertDevice, ModelVersion, Retrain

DRIFT, QUALITY = "drift", "quality"
_AT_WORK = ("READY", "TRAINING", "REGISTERED", "WAITING", "PROPOSED")
ACKNOWLEDGED = "acknowledged"


def record_findings(
    session: Session, version: ModelVersion, findings: Sequence[Finding], received: Mapping[int, float]
) -> Iterator[str]:
    """Note each finding; yields a line for every device that is new in an alert.

    ``received`` has the time at which each window came.
    """
    at_fault = {finding.window.device for finding in findings if finding.quality}
    at_fault |= {row.device_id for row, _ in _unclosed(session, version, QUALITY) if row.cleared_at is None}
    known = acknowledged_devices(session, version)
    answered = _answered_until(session, version)
    for finding in findings:
        window, kind = finding.window, QUALITY if finding.quality else DRIFT
        if kind == DRIFT and window.device in at_fault:
            continue  # what a broken sensor shows is no changed world
        if (kind, window.device) in known:
            continue  # a person has said that it needs no answer: it has to be quiet first
        if kind == DRIFT and received[window.id] <= answered.get(window.device, 0.0):
            continue  # it came before the answer did, and is judged after it
        line = record_device(
            session,
            version,
            kind,
            window.device,
            (*window.position, window.id),
            finding.shifts,
            received[window.id],
        )
        if line is not None:
            yield line


def record_device(
    session: Session,
    version: ModelVersion,
    kind: str,
    device_id: str,
    window: tuple[int, int, int],
    shifts: Sequence[Shift],
    at: float,
) -> str | None:
    """Note a device in the version's open alert, which is opened where there is none; a line where it is new in it.

    ``window`` is (boot, sequence, number in the registry) of the one that said so.
    """
    alert = _alert(session, version, kind, at)
    row = session.get(AlertDevice, (alert.id, device_id))
    if row is not None and row.cleared_at is None:
        if not _only_errors(row) or all(shift.kind == "concept" for shift in shifts):
            return None
        shifts = [*shifts, *(Shift(**shift) for shift in row.shifts)]  # now its inputs say so too
    row = row or AlertDevice(
        alert_id=alert.id or 0, device_id=device_id, boot=0, sequence=0, windows_seen=1, raised_at=0.0
    )
    row.boot, row.sequence, row.raised_id = window
    row.windows_seen = max(shift.merged for shift in shifts)
    row.shifts = [_stored(shift) for shift in shifts]
    row.raised_at, row.cleared_at = at, None
    session.add(row)
    session.flush()
    word = "sends faulty inputs" if kind == QUALITY else "drifted"
    return f"alert {alert.id}: {device_id} {word} in window {row.sequence}"


def note_flags(session: Session, version: ModelVersion, tracks: Mapping[str, Track]) -> None:
    """Keep what the latest windows of drifted devices said."""
    for row, _ in _unclosed(session, version, DRIFT):
        if row.device_id in tracks and not _only_errors(row):
            row.flags = [int(flag) for flag in tracks[row.device_id].flags]
            session.add(row)


def clear_quiet(
    session: Session,
    version: ModelVersion,
    kind: str,
    devices: Collection[str],
    at: float,
    errors: bool = False,
) -> Iterator[str]:
    """Note that these devices are quiet again; an alert that no retrain answers closes with its last one.

    ``errors``: those of whom only labels said that they drift, else the others.
    """
    touched: dict[int, Alert] = {}
    for row, _ in _acknowledged(session, version, kind) if devices else ():
        if row.device_id in devices and not _only_errors(row):
            row.cleared_at = at
            session.add(row)
    for row, alert in _unclosed(session, version, kind) if devices else ():
        if row.device_id in devices and row.cleared_at is None and _only_errors(row) is errors:
            row.cleared_at = at
            session.add(row)
            touched[alert.id or 0] = alert
    session.flush()
    for number, alert in touched.items():
        drifted = select(AlertDevice).where(
            AlertDevice.alert_id == number, col(AlertDevice.cleared_at).is_(None)
        )
        busy = select(Retrain).where(Retrain.alert_id == number, col(Retrain.state).in_(_AT_WORK))
        if alert.state != "open" or session.exec(drifted).first() or session.exec(busy).first():
            continue
        alert.state, alert.closed_at, alert.reason = "closed", at, "It cleared by itself."
        session.add(alert)
        yield f"alert {number}: cleared by itself"


def has_alarmed(session: Session, device_id: str, version_id: int | None) -> bool:
    """Whether a device ever drifted under a version."""
    query = (
        select(AlertDevice)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .where(Alert.model_version_id == version_id, Alert.kind == DRIFT, AlertDevice.device_id == device_id)
    )
    return session.exec(query).first() is not None


def acknowledged_devices(session: Session, version: ModelVersion) -> frozenset[tuple[str, str]]:
    """(kind, device) of those that still drift, or are at fault, in an alert that a person has closed."""
    return frozenset(
        (kind, row.device_id) for kind in (DRIFT, QUALITY) for row, _ in _acknowledged(session, version, kind)
    )


def _answered_until(session: Session, version: ModelVersion) -> dict[str, float]:
    """By device, when the last alert was closed in which it still drifted."""
    query = (
        select(AlertDevice.device_id, Alert.closed_at)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .where(
            Alert.model_version_id == version.id,
            Alert.kind == DRIFT,
            Alert.state == "closed",
            col(AlertDevice.cleared_at).is_(None),
        )
    )
    found: dict[str, float] = {}
    for device_id, closed_at in session.exec(query):
        found[device_id] = max(found.get(device_id, 0.0), closed_at or 0.0)
    return found


def _acknowledged(session: Session, version: ModelVersion, kind: str) -> list[tuple[AlertDevice, Alert]]:
    query = (
        select(AlertDevice, Alert)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .where(
            Alert.model_version_id == version.id,
            Alert.kind == kind,
            Alert.state == "closed",
            Alert.decision == ACKNOWLEDGED,
            col(AlertDevice.cleared_at).is_(None),
        )
    )
    return [(row, alert) for row, alert in session.exec(query)]


def alarmed_devices(session: Session, version: ModelVersion) -> frozenset[str]:
    """The devices whose inputs drift, or are at fault, under a version just now, as their windows say it."""
    return frozenset(
        row.device_id
        for kind in (DRIFT, QUALITY)
        for row, _ in _unclosed(session, version, kind)
        if row.cleared_at is None and not _only_errors(row)
    )


def recorded(session: Session, device_id: str, manifest: str) -> tuple[bool, bool, tuple[bool, ...]]:
    """(drifted, faulty, flags) of a device as the registry has it."""
    version = model_of_manifest(session, manifest)
    if version is None:
        return False, False, ()
    found = {
        kind: [row for row, _ in _unclosed(session, version, kind, device_id)] for kind in (DRIFT, QUALITY)
    }
    # errors alone: the labels said so, not its windows
    drifted = [row for row in found[DRIFT] if row.cleared_at is None and not _only_errors(row)]
    faulty = any(row.cleared_at is None for row in found[QUALITY])
    known = acknowledged_devices(session, version)
    return (
        bool(drifted) or (DRIFT, device_id) in known,
        faulty or (QUALITY, device_id) in known,
        tuple(bool(flag) for row in drifted for flag in row.flags),
    )


def _alert(session: Session, version: ModelVersion, kind: str, at: float) -> Alert:
    query = select(Alert).where(
        Alert.model_version_id == version.id, Alert.kind == kind, Alert.state != "closed"
    )
    alert = session.exec(query).first()
    if alert is None:
        alert = Alert(model_version_id=version.id or 0, kind=kind, state="open", opened_at=at)
        if kind == QUALITY:
            alert.decision, alert.reason = "sensor_fault", "The inputs are at fault: look at the sensor."
        session.add(alert)
        session.flush()
    return alert


def _unclosed(
    session: Session, version: ModelVersion, kind: str, device_id: str | None = None
) -> list[tuple[AlertDevice, Alert]]:
    query = (
        select(AlertDevice, Alert)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .where(Alert.model_version_id == version.id, Alert.kind == kind, Alert.state != "closed")
    )
    if device_id is not None:
        query = query.where(AlertDevice.device_id == device_id)
    return [(row, alert) for row, alert in session.exec(query)]


def _only_errors(row: AlertDevice) -> bool:
    return all(shift.get("kind") == "concept" for shift in row.shifts)


def _stored(shift: Shift) -> dict[str, object]:
    return {
        "kind": shift.kind,
        "signal": shift.signal,
        "scope": shift.scope,
        "distance": round(shift.distance, 4),
        "p_value": shift.p_value if math.isfinite(shift.p_value) else 1.0,
        "direction": shift.direction,
        "n": shift.n,
        "merged": shift.merged,
    }
