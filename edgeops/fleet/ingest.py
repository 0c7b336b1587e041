"""Ingest: what devices say, into the registry. At least once in, exactly once counted, never a crash.

What cannot be used is counted by its reason and shown in ``fleet status``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, select

from edgeops.core.codec import decode
from edgeops.core.errors import WireError
from edgeops.core.messages import (
    MAX_MODELS,
    Event,
    Labels,
    ModelState,
    Presence,
    Receipt,
    Report,
    Sample,
    State,
)
from edgeops.core.topics import DeviceTopic, Kind, parse
from edgeops.core.transport import Received
from edgeops.fleet.labels import LABELS_DAYS, take_held, take_labels
from edgeops.fleet.manifests import Manifests
from edgeops.fleet.samples import take_sample
from edgeops.registry.counts import count
from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import (
    Device,
    DeviceEvent,
    DeviceModel,
    ReceiptState,
    ReportWindow,
)

# What SQLite's integers hold; the wire's go to 64 bits unsigned.
MAX_INTEGER = 2**63 - 1


@dataclass
class Taken:
    """What a batch brought: receipts to send, and new report windows for the drift watch, in order."""

    receipts: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    windows: list[tuple[str, Report]] = field(default_factory=list)

    def receipt_messages(self) -> list[tuple[str, Receipt]]:
        """One receipt per device and boot; of more models than a device may run, the first ones only."""
        return [
            (device, Receipt(boot, dict(list(models.items())[:MAX_MODELS])))
            for (device, boot), models in self.receipts.items()
        ]


def take_batch(
    session: Session,
    fleet: str,
    batch: list[Received],
    now: float,
    labels_days: int = LABELS_DAYS,
    manifests: Manifests | None = None,
) -> Taken:
    """Write a batch of messages to the session; the caller commits, then sends the receipts.

    A truth is taken for so many days after the window of its prediction came; 0 is for ever. Truths and captured
    inputs are judged by the version's manifest; without ``manifests`` by what the device itself says of it.
    """
    taken = Taken()
    for message in batch:
        try:
            topic = parse(message.topic)
            if not isinstance(topic, DeviceTopic) or topic.fleet != fleet:
                raise WireError("a topic that nobody asked for")
        except WireError as error:
            count(session, "unknown topic", detail=error.message)
            continue
        device = session.get(Device, topic.device)
        if device is None:
            count(session, "unknown device", detail=topic.device)
            continue
        try:
            with session.begin_nested():
                _take(session, device, topic.kind, message.payload, now, taken, labels_days, manifests)
        except WireError as error:
            count(session, f"undecodable {topic.kind.value}", device.id, error.message)
        # What the broker retained says nothing about when it was said.
        if topic.kind is not Kind.PRESENCE and not (message.retained and device.last_seen_at):
            device.last_seen_at = now
    return taken


def _take(
    session: Session,
    device: Device,
    kind: Kind,
    payload: bytes,
    now: float,
    taken: Taken,
    labels_days: int,
    manifests: Manifests | None,
) -> None:
    match kind:
        case Kind.PRESENCE:
            _presence(session, device, decode(Presence, payload), now)
        case Kind.STATE:
            _state(session, device, decode(State, payload), now)
        case Kind.EVENT:
            _event(session, device, decode(Event, payload), now)
        case Kind.REPORT:
            _report(session, device, decode(Report, payload), payload, now, taken, manifests)
        case Kind.LABEL:
            take_labels(session, device.id, decode(Labels, payload), now, labels_days, manifests)
        case Kind.SAMPLE:
            take_sample(session, device.id, decode(Sample, payload), now, manifests)
        case _:
            count(session, "unknown topic", device.id, kind.value)


def _presence(session: Session, device: Device, presence: Presence, now: float) -> None:
    # The will of an older session may come after the next one has begun.
    if presence.session >= device.session:
        device.session, device.online = presence.session, presence.online
        if presence.online:
            device.last_seen_at = now
        session.add(device)


def _state(session: Session, device: Device, state: State, now: float) -> None:
    if state.boot < device.boot:
        if _heard_boot(session, device.id, state.boot):
            count(session, "state of an older boot", device.id)
            return
        # Boots begin at a random number where a disk was wiped: a boot that was never heard of is a new one.
        count(session, "boot numbers that began anew", device.id, f"{state.boot} after {device.boot}")
        device.session, device.online = state.session, True
    device.boot, device.agent, device.runtime, device.target = (
        state.boot,
        state.agent,
        state.runtime,
        state.target,
    )
    device.free_bytes = min(state.free_bytes, MAX_INTEGER)
    device.received_bytes = min(state.received_bytes, MAX_INTEGER)
    device.spent_bytes = min(state.spent_bytes, MAX_INTEGER)
    device.takes = list(state.takes)
    session.add(device)
    for name, model in state.models.items():
        row = session.get(DeviceModel, (device.id, name)) or DeviceModel(
            device_id=device.id, model=name, lifecycle="IDLE", generation=0, updated_at=now
        )
        row.lifecycle, row.generation, row.reason, row.updated_at = (
            model.lifecycle,
            model.generation,
            model.reason,
            now,
        )
        row.confirmed = model.confirmed.hex() if model.confirmed else None
        row.previous = model.previous.hex() if model.previous else None
        row.candidate = model.candidate.hex() if model.candidate else None
        row.artifact = model.artifact.hex() if model.artifact else None
        row.security_counter, row.attempts = model.security_counter, model.attempts
        row.retry_in_ms = model.retry_in_ms
        row.shadow = _shadow(model, row.shadow)
        session.add(row)


def _shadow(model: ModelState, before: dict[str, Any]) -> dict[str, Any]:
    """What a candidate did beside the active model, with the manifest it is of; kept when it becomes active."""
    counts = model.shadow
    if counts is None:
        return before
    of = model.candidate or model.confirmed
    return {
        "manifest": of.hex() if of else None,
        "generation": model.generation,
        "inferences": counts.inferences,
        "disagreements": counts.disagreements,
        "errors": counts.errors,
        "active_us": min(counts.active_us, MAX_INTEGER),
        "candidate_us": min(counts.candidate_us, MAX_INTEGER),
    }


def _heard_boot(session: Session, device_id: str, boot: int) -> bool:
    reports = select(ReceiptState.boot).where(ReceiptState.device_id == device_id, ReceiptState.boot == boot)
    events = select(DeviceEvent.boot).where(DeviceEvent.device_id == device_id, DeviceEvent.boot == boot)
    return session.exec(reports).first() is not None or session.exec(events).first() is not None


def _event(session: Session, device: Device, event: Event, now: float) -> None:
    known = select(DeviceEvent).where(
        DeviceEvent.device_id == device.id, DeviceEvent.boot == event.boot, DeviceEvent.number == event.number
    )
    if session.exec(known).first() is not None:
        count(session, "duplicate event", device.id)
        return
    session.add(
        DeviceEvent(
            device_id=device.id,
            boot=event.boot,
            number=event.number,
            model=event.model,
            manifest=event.manifest.hex() if event.manifest else None,
            source=event.source,
            event=event.event,
            target=event.target,
            reason=event.reason,
            received_at=now,
        )
    )


def _report(
    session: Session,
    device: Device,
    report: Report,
    payload: bytes,
    now: float,
    taken: Taken,
    manifests: Manifests | None,
) -> None:
    same = select(ReportWindow.id).where(
        ReportWindow.device_id == device.id,
        ReportWindow.model == report.model,
        ReportWindow.boot == report.boot,
        ReportWindow.sequence == report.sequence,
    )
    if session.exec(same).first() is not None:
        count(session, "duplicate report", device.id)
    elif (version := model_of_manifest(session, report.manifest.hex())) is None:
        # Still receipted: the device can do nothing about it, and would keep it for ever.
        count(session, "report of an unknown model", device.id, report.manifest.hex())
    else:
        window = ReportWindow(
            device_id=device.id,
            model=report.model,
            manifest=version.manifest_sha256 or "",
            boot=report.boot,
            sequence=report.sequence,
            generation=report.generation,
            trial=report.trial,
            inferences=report.counters.inferences,
            errors=report.counters.errors,
            rejected_inputs=report.counters.rejected_inputs,
            dropped=report.dropped,
            counters=payload,
            received_at=now,
        )
        session.add(window)
        session.flush()
        take_held(session, window, manifests)
        taken.windows.append((device.id, report))
    committed = _commit_sequence(session, device.id, report)
    taken.receipts.setdefault((device.id, report.boot), {})[report.model] = committed


def _commit_sequence(session: Session, device_id: str, report: Report) -> int:
    """The highest contiguous sequence; what the device no longer keeps (below ``oldest``) is not waited for."""
    key = (device_id, report.model, report.boot)
    row = session.get(ReceiptState, key)
    if row is None:
        row = ReceiptState(device_id=device_id, model=report.model, boot=report.boot)
    highest = max(row.committed, min(report.oldest, report.sequence) - 1)
    if report.sequence == highest + 1:
        highest = report.sequence
        later = session.exec(
            select(ReportWindow.sequence)
            .where(
                ReportWindow.device_id == device_id,
                ReportWindow.model == report.model,
                ReportWindow.boot == report.boot,
                ReportWindow.sequence > highest,
            )
            .order_by(ReportWindow.sequence)  # type: ignore[arg-type]
        )
        for sequence in later:
            if sequence != highest + 1:
                break
            highest = sequence
    row.committed = highest
    session.add(row)
    session.flush()
    return highest
