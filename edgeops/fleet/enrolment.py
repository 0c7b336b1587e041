"""Enrolling devices: a row in the registry, and the two files that the device needs."""

from __future__ import annotations

import json  # a JSON string is a TOML basic string too
from pathlib import Path

from sqlmodel import Session

from edgeops.core.errors import UsageError
from edgeops.core.topics import check_name
from edgeops.files import write_atomic
from edgeops.registry.tables import Device


def enroll(session: Session, device_id: str, attributes: dict[str, str], now: float) -> Device:
    """Add a device; raises ``UsageError`` for a bad name or one that is taken."""
    check_name(device_id, "device")
    if session.get(Device, device_id) is not None:
        raise UsageError(
            f"device {device_id!r} is enrolled already",
            fix=f"edgeops device show {device_id}",
            name=device_id,
        )
    device = Device(id=device_id, attributes=attributes, enrolled_at=now)
    session.add(device)
    session.flush()
    return device


def write_agent_files(
    folder: Path,
    *,
    fleet: str,
    device_id: str,
    broker: str,
    trust: bytes,
    source: str | None,
    interval_ms: int,
) -> Path:
    """Write ``agent.toml`` and ``trust.cose``; returns the path of the former."""
    write_atomic(folder / "trust.cose", trust)
    lines = [
        f"fleet = {json.dumps(fleet)}",
        f"device = {json.dumps(device_id)}",
        f"broker = {json.dumps(broker)}",
        'data = "data"',
        'trust = "trust.cose"',
    ]
    if source is not None:
        lines += [f"source = {json.dumps(source)}", f"interval_ms = {interval_ms}"]
    path = folder / "agent.toml"
    write_atomic(path, ("\n".join(lines) + "\n").encode())
    return path
