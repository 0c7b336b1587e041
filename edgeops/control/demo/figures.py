"""The demo's figures: from the registry, and from the ledger that an omniscient observer of the world kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.drift_records import DRIFT, QUALITY
from edgeops.registry.counts import fact
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    Deployment,
    Device,
    ModelVersion,
    Retrain,
    Rollout,
    Run,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One window of one device as it really was; ``eval_*`` are images that never leave a device."""

    device: str
    site: str
    sequence: int
    boot: int
    version: int
    trial: bool
    drifted: bool
    frozen: bool
    n: int
    correct: int
    eval_n: int
    eval_correct: int


def read_ledger(folder: Path) -> list[Entry]:
    """Every whole line of every shard, by device and window."""
    entries = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # the last line may be on its way
                values = json.loads(line)
                entries.append(Entry(**{name: values[name] for name in Entry.__slots__}))
    return sorted(entries, key=lambda e: (e.device, e.boot, e.sequence))


def accuracy(entries: Iterable[Entry], wanted: Callable[[Entry], bool]) -> float | None:
    """The share of evaluation images that were right, over the windows that are wanted."""
    chosen = [entry for entry in entries if wanted(entry)]
    n = sum(entry.eval_n for entry in chosen)
    return sum(entry.eval_correct for entry in chosen) / n if n else None


def drift_starts(entries: Iterable[Entry]) -> dict[str, int]:
    """Per drifted device, the sequence of its first window in the changed world."""
    starts: dict[str, int] = {}
    for entry in entries:
        if entry.drifted:
            starts.setdefault(entry.device, entry.sequence)
    return starts


def detection(session: Session, version: ModelVersion, starts: dict[str, int]) -> tuple[dict[str, int], int]:
    """(windows from the change to the first alarm, per device; devices that alarmed before any change)."""
    rows = session.exec(
        select(AlertDevice)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .where(Alert.model_version_id == version.id, Alert.kind == DRIFT)
        .order_by(col(AlertDevice.alert_id))
    ).all()
    first = {row.device_id: row.sequence for row in reversed(rows)}
    waited = {
        device: sequence - starts[device] + 1
        for device, sequence in first.items()
        if device in starts and sequence >= starts[device]
    }
    return waited, len(first) - len(waited)


def sensor_faults(session: Session, entries: Iterable[Entry]) -> dict[str, int]:
    """Per device whose inputs were found at fault, the windows from when they were to the alarm."""
    began: dict[str, int] = {}
    for entry in entries:
        if entry.frozen:
            began.setdefault(entry.device, entry.sequence)
    rows = session.exec(
        select(AlertDevice)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .where(Alert.kind == QUALITY)
    ).all()
    return {row.device_id: row.sequence - began.get(row.device_id, row.sequence + 2) + 1 for row in rows}


def summarise(
    session: Session,
    entries: list[Entry],
    first: ModelVersion,
    second: ModelVersion,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The content of ``summary.json``, but for the seed."""
    starts = drift_starts(entries)
    waited, early = detection(session, first, starts)
    run = session.get_one(Run, first.run_id)
    retrain = session.exec(select(Retrain).where(Retrain.model_version_id == second.id)).one()

    def of(version: int, drifted: bool) -> float | None:
        return accuracy(
            entries,
            lambda e: e.device in starts and e.version == version and e.drifted is drifted and not e.trial,
        )

    others = accuracy(entries, lambda e: e.device not in starts and not e.trial and not e.frozen)
    before, during, after = of(first.version, False), of(first.version, True), of(second.version, True)
    return {
        "float_accuracy": run.metrics["float"]["accuracy"],
        "int8_accuracy": run.metrics["int8"]["accuracy"],
        "accuracy_before": _rounded(before),
        "accuracy_during": _rounded(during),
        "accuracy_after": _rounded(after),
        "accuracy_others": _rounded(others),
        "windows_to_detection": max(waited.values(), default=None),
        "windows_to_detection_by_device": waited,
        "sensor_faults": sensor_faults(session, entries),
        "devices_drifted": len(starts),
        "devices_detected": len(waited),
        "alarms_before_drift": early,
        "alarms_after_retrain": detection(session, second, {})[1],
        "devices_confirmed": {f"{v.model}@{v.version}": _confirmed(session, v) for v in (first, second)},
        "bytes_published": fact(session, "bytes_published").get("bytes", 0),
        "bytes_received": sum(session.exec(select(Device.received_bytes)).all()),
        "retrain_samples": retrain.samples,
        "retrain_gates": retrain.gates,
        "models": {f"{v.model}@{v.version}": v.artifact_sha256 for v in (first, second)},
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }


def _confirmed(session: Session, version: ModelVersion) -> int:
    query = (
        select(Deployment.device_id)
        .join(Rollout, col(Rollout.id) == col(Deployment.rollout_id))
        .where(Rollout.model_version_id == version.id, col(Deployment.confirmed_at).is_not(None))
    )
    return len(set(session.exec(query).all()))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
