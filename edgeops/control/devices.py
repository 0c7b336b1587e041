"""Devices in a workspace: enrolling one, and all that is known of one."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.core.topics import check_name
from edgeops.fleet.enrolment import enroll, write_agent_files
from edgeops.registry.artifacts import takes_of
from edgeops.registry.names import find_device
from edgeops.registry.tables import DesiredState, DeviceEvent, DeviceModel

EVENTS = 10
REPLAYED = "inputs.npy"


def enroll_device(
    workspace: Workspace, device_id: str, attributes: dict[str, str], source: str | None, interval_ms: int
) -> Path:
    """Enrol a device and write its files; returns the path of ``agent.toml``.

    The files are written inside the transaction: either both exist or neither does. Raises ``NotFoundError``
    for a source that replays a folder that is not there, and ``UsageError``.
    """
    check_name(device_id, "device")
    source = _anchored(source)
    folder = workspace.device_folder(device_id)
    _, trust = workspace.trust
    with workspace.registry.session() as session:
        enroll(session, device_id, attributes, time.time())
        try:
            return write_agent_files(
                folder,
                fleet=workspace.settings.fleet,
                device_id=device_id,
                broker=workspace.settings.broker,
                trust=trust,
                source=source,
                interval_ms=interval_ms,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def device_facts(workspace: Workspace, device_id: str) -> dict[str, Any]:
    """Everything known of a device, as plain data; raises ``NotFoundError``."""
    with workspace.registry.reading() as session:
        device = find_device(session, device_id)
        desired = session.get(DesiredState, device_id)
        models = session.exec(select(DeviceModel).where(DeviceModel.device_id == device_id)).all()
        events = session.exec(
            select(DeviceEvent)
            .where(DeviceEvent.device_id == device_id)
            .order_by(col(DeviceEvent.id).desc())
            .limit(EVENTS)
        ).all()
    return {
        "device": device.id,
        "connection": "online" if device.online else ("offline" if device.last_seen_at else "never"),
        "attributes": device.attributes,
        "agent": device.agent,
        "runtime": device.runtime,
        "target": device.target,
        "takes": takes_of(device) if device.target or device.takes else [],
        "free_bytes": device.free_bytes,
        "boot": device.boot,
        "received_bytes": device.received_bytes,
        "generation": desired.generation if desired else 0,
        "desired": desired.models if desired else {},
        "models": [row.model_dump(exclude={"device_id", "updated_at"}) for row in models],
        "events": [
            f"{e.model}: {e.source} -> {e.target} ({e.event}{f': {e.reason}' if e.reason else ''})"
            for e in reversed(events)
        ],
    }


def _anchored(source: str | None) -> str | None:
    """A replay folder is given relative to where the command runs; the agent runs elsewhere.

    Raises ``NotFoundError`` for a folder that is none to replay, ``UsageError`` for no known form of source.
    """
    if source is None or source == "stdin" or source.startswith("mqtt://"):
        return source
    form, colon, rest = source.partition(":")
    if form == "replay" and colon:
        folder = Path(rest).resolve()
        if not (folder / REPLAYED).is_file():
            raise NotFoundError(
                f"no replay folder at {rest}: it holds no {REPLAYED}",
                fix=f"edgeops data export DATASET {rest or 'FOLDER'} makes one",
                source=source,
            )
        return f"replay:{folder}"
    if colon and rest.isidentifier() and all(part.isidentifier() for part in form.split(".")):
        return source  # a callable, which only the device need have
    raise UsageError(
        f"--source {source!r} is no source of inputs",
        fix="write replay:FOLDER, stdin, mqtt://host:port/topic or module:callable",
        source=source,
    )
