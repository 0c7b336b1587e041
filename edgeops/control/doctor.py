"""What ``edgeops doctor`` looks at."""

from __future__ import annotations

import importlib.util
import shutil
import time
from importlib import metadata
from pathlib import Path

from sqlmodel import select

from edgeops.control.broker import find_mosquitto
from edgeops.control.installation import install_line
from edgeops.control.listening import SILENT_S, command, listened_at
from edgeops.control.workspace import Workspace
from edgeops.core.errors import EdgeOpsError, NotFoundError
from edgeops.mqtt import MqttTransport
from edgeops.registry.tables import Device

EXTRAS = (
    ("tensorflow", "tensorflow", "train"),
    ("ai_edge_litert", "ai-edge-litert", "agent"),
    ("amqtt", "amqtt", "demo"),
    ("sklearn", "scikit-learn", "demo"),
)
MIN_FREE_BYTES = 500_000_000


def examine(root: Path) -> list[dict[str, str | None]]:
    """One row a check: ``check``, ``state`` (OK, WARN, FAIL), ``detail``, ``fix``."""
    rows = [_package(*extra) for extra in EXTRAS]
    mosquitto = find_mosquitto()
    rows.append(
        _row("mosquitto", "OK", mosquitto)
        if mosquitto
        else _row("mosquitto", "WARN", "not found: the embedded broker is used", "apt-get install mosquitto")
    )
    free = shutil.disk_usage(root if root.exists() else Path.cwd()).free
    state = "OK" if free > MIN_FREE_BYTES else "WARN"
    rows.append(
        _row("disk", state, f"{free // 1_000_000} MB free", None if state == "OK" else "free disk space")
    )
    return rows + _workspace(root)


def _workspace(root: Path) -> list[dict[str, str | None]]:
    try:
        workspace = Workspace(root)
    except NotFoundError as error:
        return [_row("workspace", "WARN", error.message, error.fix)]
    except EdgeOpsError as error:
        return [_row("workspace", "FAIL", error.message, error.fix)]
    rows = [_row("workspace", "OK", f"fleet {workspace.settings.fleet}")]
    for name, check in (("registry", lambda: workspace.registry), ("keys", lambda: workspace.trust)):
        try:
            check()
            rows.append(_row(name, "OK", "opened"))
        except EdgeOpsError as error:
            rows.append(_row(name, "FAIL", error.message, error.fix))
    return [*rows, _broker(workspace), *_serve(workspace)]


def _broker(workspace: Workspace) -> dict[str, str | None]:
    """A broker that does not answer fails where devices wait for it; training needs none."""
    url = workspace.settings.broker
    transport = MqttTransport(url, "edgeops-doctor")
    try:
        transport.connect(2.0)
    except EdgeOpsError as error:
        if _has_devices(workspace):
            return _row("broker", "FAIL", error.message, error.fix)
        return _row("broker", "WARN", f"{error.message}; training needs none", error.fix)
    finally:
        transport.close()
    return _row("broker", "OK", url)


def _serve(workspace: Workspace) -> list[dict[str, str | None]]:
    """Whether somebody listens to the devices; where the registry does not open, that is another row's matter."""
    try:
        at = listened_at(workspace)
    except EdgeOpsError:
        return []
    if at is not None and time.time() - at <= SILENT_S:
        return [_row("serve", "OK", "listening")]
    if not _has_devices(workspace):
        return [_row("serve", "OK", "not needed: no device is enrolled")]
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) if at is not None else None
    detail = f"not listening since {since}" if since else "has never listened to the devices"
    return [_row("serve", "WARN", detail, command(workspace, "serve"))]


def _has_devices(workspace: Workspace) -> bool:
    """Whether a device is enrolled; where the registry does not open, that is another row's matter."""
    try:
        with workspace.registry.reading() as session:
            return session.exec(select(Device)).first() is not None
    except EdgeOpsError:
        return True


def _package(module: str, distribution: str, extra: str) -> dict[str, str | None]:
    if importlib.util.find_spec(module) is None:
        return _row(distribution, "WARN", "not installed", install_line(extra))
    return _row(distribution, "OK", metadata.version(distribution))


def _row(check: str, state: str, detail: str, fix: str | None = None) -> dict[str, str | None]:
    return {"check": check, "state": state, "detail": detail, "fix": fix}
