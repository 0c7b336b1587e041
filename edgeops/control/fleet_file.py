"""``fleet.toml``: the fleet's desired state as a file, what differs from it, and making it so.

::

    [[rollout]]
    model = "digits@2"
    to = 'site = "berlin"'
    stages = ["1", "25%", "100%"]
    soak = "10m"
    gates = ["accuracy=0.02:roll_back"]

    [device.cam-01]
    site = "berlin"

Applying a file twice does nothing the second time.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.rollout_orders import actor, plan_of
from edgeops.control.workspace import Workspace
from edgeops.core.errors import CheckFailed, ConfigError, NotFoundError, UsageError
from edgeops.core.known_keys import refuse_unknown
from edgeops.core.lifecycle import ROLLOUT
from edgeops.fleet import audit
from edgeops.fleet.membership import CLAIMING
from edgeops.fleet.rollout.plan import Plan
from edgeops.fleet.rollouts import start_rollout, subject
from edgeops.registry.names import find_model
from edgeops.registry.tables import Device, ModelVersion, Rollout

_TEXTS = ("to", "soak", "patience", "window", "rate", "spread")
_KEYS = ("model", *_TEXTS, "stages", "approve", "gates", "shadow", "max_bytes")


@dataclass(frozen=True)
class WantedRollout:
    """A ``[[rollout]]`` of the file: the version as it is written there, and its plan."""

    model: str
    plan: Plan


@dataclass(frozen=True)
class FleetFile:
    """What a file asks for."""

    rollouts: tuple[WantedRollout, ...]
    devices: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Change:
    """One difference between the fleet and the file: ``start``, ``change plan`` or ``set attributes``."""

    what: str
    subject: str
    now: str
    wanted: str

    def to_dict(self) -> dict[str, str]:
        """Plain data."""
        return {"change": self.what, "of": self.subject, "now": self.now, "wanted": self.wanted}


def read_fleet_file(path: Path, workspace: Workspace) -> FleetFile:
    """Read a file; raises ``NotFoundError``, and ``ConfigError`` that names the entry and the key."""
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file", path=str(path)) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}", file=str(path)) from error
    refuse_unknown(table, ["rollout", "device"], str(path))
    entries = table.get("rollout", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{path}: write rollouts as [[rollout]]", file=str(path), key="rollout")
    rollouts = tuple(_rollout(entry, path, number, workspace) for number, entry in enumerate(entries, 1))
    devices = table.get("device", {})
    if not isinstance(devices, dict) or not all(
        isinstance(values, dict) and all(isinstance(value, str) for value in values.values())
        for values in devices.values()
    ):
        raise ConfigError(
            f'{path}: write devices as [device.NAME] with KEY = "VALUE"', file=str(path), key="device"
        )
    return FleetFile(rollouts, devices)


def differences(session: Session, wanted: FleetFile) -> list[Change]:
    """What would be changed, in the order in which it would be done.

    Raises ``NotFoundError`` for a device or a version that is not there, ``CheckFailed`` where the last rollout of a
    version to these devices was taken back: a file that is applied again and again does not start it again.
    """
    changes = []
    for device_id, attributes in sorted(wanted.devices.items()):
        device = session.get(Device, device_id)
        if device is None:
            raise NotFoundError(
                f"no device {device_id!r}", fix=f"edgeops device enroll {device_id}", name=device_id
            )
        if dict(device.attributes) != dict(attributes):
            changes.append(
                Change("set attributes", f"device {device_id}", _words(device.attributes), _words(attributes))
            )
    for entry in wanted.rollouts:
        change = _rollout_change(session, entry)
        if change is not None:
            changes.append(change)
    return changes


def apply_file(workspace: Workspace, wanted: FleetFile) -> list[Change]:
    """Make the fleet what the file says, in one transaction; returns what was changed."""
    now, who = time.time(), actor()
    with workspace.registry.session() as session:
        changes = differences(session, wanted)
        for device_id, attributes in wanted.devices.items():
            device = session.get_one(Device, device_id)
            if dict(device.attributes) != dict(attributes):
                device.attributes = dict(attributes)
                audit.record(
                    session, now, who, "set attributes", f"device {device_id}", None, {"to": dict(attributes)}
                )
        for entry in wanted.rollouts:
            change = _rollout_change(session, entry)
            if change is None:
                continue
            version = find_model(session, entry.model, registered=True)
            standing = _standing(session, version.model, entry.plan.selector_text)
            if change.what == "change plan" and standing is not None:
                standing.plan = entry.plan.to_dict()
                detail = {"plan": standing.plan}
                audit.record(session, now, who, "change plan", subject(standing), None, detail)
            else:
                start_rollout(session, version, entry.plan, who, now)
        return changes


def _rollout_change(session: Session, entry: WantedRollout) -> Change | None:
    version = find_model(session, entry.model, registered=True)
    name = f"{version.model}@{version.version}"
    standing = _standing(session, version.model, entry.plan.selector_text)
    _refuse_taken_back(session, version, entry.plan.selector_text)
    to = entry.plan.selector_text or "every device"
    if standing is None:
        return Change("start", f"{version.model} to {to}", "nothing", name)
    has = session.get_one(ModelVersion, standing.model_version_id)
    if has.id != version.id:
        return Change("start", f"{version.model} to {to}", f"{has.model}@{has.version}", name)
    if standing.plan != entry.plan.to_dict() and ROLLOUT.allows(standing.state, "superseded"):
        return Change("change plan", subject(standing), _differing(standing.plan, entry.plan), name)
    return None


def _standing(session: Session, model: str, to: str) -> Rollout | None:
    """The newest rollout of a model to exactly these devices that still stands."""
    query = (
        select(Rollout)
        .join(ModelVersion, col(Rollout.model_version_id) == col(ModelVersion.id))
        .where(ModelVersion.model == model, col(Rollout.state).in_(CLAIMING))
        .order_by(col(Rollout.id).desc())
    )
    return next((rollout for rollout in session.exec(query) if rollout.plan.get("to", "") == to), None)


def _refuse_taken_back(session: Session, version: ModelVersion, to: str) -> None:
    query = (
        select(Rollout)
        .join(ModelVersion, col(Rollout.model_version_id) == col(ModelVersion.id))
        .where(ModelVersion.model == version.model)
        .order_by(col(Rollout.id).desc())
    )
    last = next((rollout for rollout in session.exec(query) if rollout.plan.get("to", "") == to), None)
    taken_back = ("ABORTED", "ROLLING_BACK", "ROLLED_BACK")
    if last is not None and last.model_version_id == version.id and last.state in taken_back:
        raise CheckFailed(
            f"{version.model}@{version.version} was taken back by rollout {last.id}: {last.reason or 'on command'}",
            fix=f"name another version in the file, or edgeops rollout show {last.id}",
            rollout=last.id,
        )


def _differing(stored: Mapping[str, Any], plan: Plan) -> str:
    new = plan.to_dict()
    return "other " + ", ".join(key for key in new if stored.get(key) != new[key])


def _words(attributes: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(attributes.items())) or "none"


def _rollout(entry: Mapping[str, Any], path: Path, number: int, workspace: Workspace) -> WantedRollout:
    where = f"rollout {number}"
    refuse_unknown(dict(entry), list(_KEYS), str(path), where)
    for key in ("model", *_TEXTS):
        if not isinstance(entry.get(key, ""), str):
            raise ConfigError(f"{path}: {where}: {key} is a text", file=str(path), key=key)
    if not entry.get("model"):
        raise ConfigError(f"{path}: {where}: key 'model' is missing", file=str(path), key="model")
    for key in ("stages", "gates"):
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{path}: {where}: {key} is a list of texts", file=str(path), key=key)
    shadow, approve, most = entry.get("shadow"), entry.get("approve", False), entry.get("max_bytes", 0)
    counts = [most] if shadow is None else [most, shadow]
    if any(type(count) is not int or count < 0 for count in counts) or type(approve) is not bool:
        message = f"{path}: {where}: shadow and max_bytes are counts, approve true or false"
        raise ConfigError(message, file=str(path))
    try:
        plan = plan_of(
            workspace,
            **{key: entry[key] for key in _TEXTS if key in entry},
            stages=",".join(entry["stages"]) if "stages" in entry else None,
            gates=entry.get("gates", []),
            approve=approve,
            shadow=shadow,
            max_bytes=most,
        )
    except UsageError as error:
        raise ConfigError(f"{path}: {where}: {error.message}", fix=error.fix, file=str(path)) from error
    return WantedRollout(entry["model"], plan)
