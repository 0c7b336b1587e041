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

Applying a file twice does nothing the second time. Where two entries of a model select the same device, the later one
serves it.
"""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from edgeops.fleet.membership import CLAIMING, attributes_of
from edgeops.fleet.replanning import change_plan
from edgeops.fleet.rollout.plan import Plan
from edgeops.fleet.rollout.selector import Selector
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
    _refuse_twice(rollouts, path)
    devices = table.get("device", {})
    if not isinstance(devices, dict) or not all(
        isinstance(values, dict) and all(isinstance(value, str) for value in values.values())
        for values in devices.values()
    ):
        raise ConfigError(
            f'{path}: write devices as [device.NAME] with KEY = "VALUE"', file=str(path), key="device"
        )
    return FleetFile(rollouts, devices)


@dataclass(frozen=True)
class _Entry:
    """A ``[[rollout]]`` with the version that it names and the devices that it selects now."""

    wanted: WantedRollout
    version: ModelVersion
    devices: frozenset[str]

    def overlaps(self, other: _Entry) -> bool:
        return self.version.model == other.version.model and not self.devices.isdisjoint(other.devices)


@dataclass(frozen=True)
class _Step:
    """What is to be done for an entry; ``standing`` is its rollout, where it has one."""

    change: Change
    entry: _Entry
    standing: Rollout | None


def differences(session: Session, wanted: FleetFile) -> list[Change]:
    """What would be changed, in the order in which it would be done.

    Raises ``NotFoundError`` for a device or a version that is not there, ``CheckFailed`` where the last rollout of a
    version to these devices was taken back: a file that is applied again and again does not start it again.
    """
    attributes = [change for _, change in _attributes(session, wanted)]
    return [*attributes, *(step.change for step in _steps(session, wanted))]


def apply_file(
    workspace: Workspace, wanted: FleetFile, clock: Callable[[], float] = time.time
) -> list[Change]:
    """Make the fleet what the file says, in one transaction; returns what was changed."""
    now, who = clock(), actor()
    with workspace.registry.session() as session:
        attributes, steps = list(_attributes(session, wanted)), list(_steps(session, wanted))
        for device, change in attributes:
            device.attributes = dict(wanted.devices[device.id])
            audit.record(session, now, who, change.what, change.subject, None, {"to": device.attributes})
        for step in steps:
            if step.change.what == "change plan" and step.standing is not None:
                change_plan(session, step.standing, step.entry.wanted.plan, who, now)
            else:
                start_rollout(session, step.entry.version, step.entry.wanted.plan, who, now)
        return [change for _, change in attributes] + [step.change for step in steps]


def _attributes(session: Session, wanted: FleetFile) -> Iterator[tuple[Device, Change]]:
    for device_id, attributes in sorted(wanted.devices.items()):
        device = session.get(Device, device_id)
        if device is None:
            raise NotFoundError(
                f"no device {device_id!r}", fix=f"edgeops device enroll {device_id}", name=device_id
            )
        if dict(device.attributes) != dict(attributes):
            has, wants = _words(device.attributes), _words(attributes)
            yield device, Change("set attributes", f"device {device_id}", has, wants)


def _steps(session: Session, wanted: FleetFile) -> Iterator[_Step]:
    """The entries for which something is to be done, in the order of the file.

    Of two rollouts the newer one serves a device, so an entry's must be newer than those of the entries above that
    share a device with it. An entry whose devices all belong to entries below has nothing to do: a rollout of it
    would be over at once.
    """
    entries = _entries(session, wanted)
    above: list[tuple[_Entry, float]] = []  # with the number of its rollout
    for number, entry in enumerate(entries, 1):
        if _is_overruled(entry, entries[number:]):
            continue
        floor = max((rollout for other, rollout in above if entry.overlaps(other)), default=0)
        step, rollout = _step(session, entry, floor)
        above.append((entry, rollout))
        if step is not None:
            yield step


def _entries(session: Session, wanted: FleetFile) -> list[_Entry]:
    # as the devices will be when the file has given them their attributes
    fleet = [
        attributes_of(Device(**{**device.model_dump(), "attributes": wanted.devices[device.id]}))
        if device.id in wanted.devices
        else attributes_of(device)
        for device in session.exec(select(Device))
    ]
    return [
        _Entry(
            entry,
            find_model(session, entry.model, registered=True),
            frozenset(has["device"] for has in fleet if entry.plan.selector.selects(has)),
        )
        for entry in wanted.rollouts
    ]


def _is_overruled(entry: _Entry, below: Sequence[_Entry]) -> bool:
    theirs = frozenset[str]().union(*(other.devices for other in below if entry.overlaps(other)))
    return bool(entry.devices) and entry.devices <= theirs


def _step(session: Session, entry: _Entry, floor: float) -> tuple[_Step | None, float]:
    """What is to be done for an entry whose rollout has to be above ``floor``; and the number that it then has."""
    version, plan = entry.version, entry.wanted.plan
    name = f"{version.model}@{version.version}"
    standing = _standing(session, version.model, plan.selector_text)
    _refuse_taken_back(session, version, plan.selector_text)
    to = f"{version.model} to {plan.selector_text or 'every device'}"
    if standing is None:
        return _Step(Change("start", to, "nothing", name), entry, None), math.inf
    has = session.get_one(ModelVersion, standing.model_version_id)
    if has.id != version.id:
        now = f"{has.model}@{has.version}"
        return _Step(Change("start", to, now, name), entry, standing), math.inf
    own = standing.id or 0
    if own < floor:
        now = f"{name}, overruled by an entry above"
        return _Step(Change("start", to, now, name), entry, standing), math.inf
    if standing.plan != plan.to_dict() and ROLLOUT.allows(standing.state, "superseded"):
        change = Change("change plan", subject(standing), _differing(standing.plan, plan), name)
        return _Step(change, entry, standing), own
    return None, own


def _refuse_twice(rollouts: Sequence[WantedRollout], path: Path) -> None:
    """Two entries of a model for exactly the same devices: only one of them could be meant."""
    seen: list[tuple[str, Selector]] = []
    for number, entry in enumerate(rollouts, 1):
        key = (entry.model.partition("@")[0], entry.plan.selector)
        if key in seen:
            both = f"rollout {seen.index(key) + 1} and rollout {number}"
            to = entry.plan.selector_text or "every device"
            raise ConfigError(
                f"{path}: {both} are both of {key[0]}, to {to}", fix="keep one of them", file=str(path)
            )
        seen.append(key)


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
