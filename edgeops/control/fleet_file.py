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
    ring = ""           # removed

Applying a file twice does nothing the second time. Where two entries of a model select the same device, the later one
serves it. An attribute that the file does not name stays as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.fleet_file_reading import FleetFile, WantedRollout
from edgeops.control.fleet_file_words import (
    Difference,
    Running,
    attribute_differences,
    attribute_words,
    merged,
    plan_differences,
)
from edgeops.control.rollout_advice import unknown_attributes
from edgeops.control.rollout_orders import actor
from edgeops.control.workspace import Workspace
from edgeops.core.errors import CheckFailed, NotFoundError
from edgeops.core.lifecycle import ROLLOUT
from edgeops.fleet import audit
from edgeops.fleet.membership import CLAIMING, attributes_of
from edgeops.fleet.replanning import change_plan
from edgeops.fleet.rollout.plan import plan_from_dict
from edgeops.fleet.rollout.selector import Selector, keys_of, parse_selector
from edgeops.fleet.rollouts import start_rollout, subject
from edgeops.registry.names import find_model
from edgeops.registry.tables import Device, ModelVersion, Rollout


@dataclass(frozen=True)
class Change:
    """One difference between the fleet and the file: ``start``, ``change plan`` or ``set attributes``.

    ``now`` is how it stands, ``wanted`` what is to become of it; ``differs`` says that in parts, where there are any.
    """

    what: str
    subject: str
    now: str
    wanted: str
    differs: tuple[Difference, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "change": self.what,
            "of": self.subject,
            "now": self.now,
            "wanted": self.wanted,
            "differs": [difference.to_dict() for difference in self.differs],
        }


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

    Raises, just as applying does, ``NotFoundError`` for a device or a version that is not there and for a rollout to
    nobody; ``CheckFailed`` for a version that is not registered, and where the last rollout of a version to these
    devices was taken back: a file that is applied again and again does not start it again.
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
            before, after = dict(device.attributes), merged(device.attributes, wanted.devices[device.id])
            device.attributes = after
            audit.record(session, now, who, change.what, change.subject, None, {"from": before, "to": after})
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
        differs = attribute_differences(device.attributes, attributes)
        if differs:
            has, wants = attribute_words(device.attributes), _joined(differs)
            yield device, Change("set attributes", f"device {device_id}", has, wants, differs)


def _joined(differs: Sequence[Difference]) -> str:
    return "; ".join(map(str, differs))


def _steps(session: Session, wanted: FleetFile) -> Iterator[_Step]:
    """The entries for which something is to be done, in the order of the file.

    Of two rollouts the newer one serves a device, so an entry's must be newer than those of the entries above that
    share a device with it. An entry whose devices all belong to entries below has nothing to do: a rollout of it
    would be over at once.
    """
    entries = _entries(session, wanted)
    running = Running(session)
    given = frozenset[str]().union(*wanted.devices.values())
    above: list[tuple[_Entry, float]] = []  # with the number of its rollout
    for number, entry in enumerate(entries, 1):
        if _is_overruled(entry, entries[number:]):
            continue
        floor = max((rollout for other, rollout in above if entry.overlaps(other)), default=0)
        step, rollout = _step(session, entry, floor, running)
        above.append((entry, rollout))
        if step is None:
            continue
        if step.change.what == "start":
            _refuse_start(session, entry, given)
        yield step


def _entries(session: Session, wanted: FleetFile) -> list[_Entry]:
    # as the devices will be when the file has given them their attributes
    fleet = []
    for device in session.exec(select(Device)):
        after = merged(device.attributes, wanted.devices.get(device.id, {}))
        fleet.append(attributes_of(Device(**{**device.model_dump(), "attributes": after})))
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


def _step(session: Session, entry: _Entry, floor: float, running: Running) -> tuple[_Step | None, float]:
    """What is to be done for an entry whose rollout has to be above ``floor``; and the number that it then has."""
    version, plan = entry.version, entry.wanted.plan
    standing = _standing(session, version.model, plan.selector)
    _refuse_taken_back(session, version, plan.selector)
    own = standing.id or 0 if standing is not None else 0
    if standing is None or standing.model_version_id != version.id or own < floor:
        overruled = standing is not None and standing.model_version_id == version.id
        now = running.words(version.model, entry.devices)
        now += "; overruled by an entry above" if overruled else ""
        to = f"{version.model} to {plan.selector_text or 'every device'}"
        return _Step(Change("start", to, now, _name(version)), entry, standing), math.inf
    differs = plan_differences(plan_from_dict(standing.plan), plan)
    if differs and ROLLOUT.allows(standing.state, "superseded"):
        now = running.words(version.model, entry.devices)
        change = Change("change plan", subject(standing), now, _joined(differs), differs)
        return _Step(change, entry, standing), own
    return None, own


def _refuse_start(session: Session, entry: _Entry, given: frozenset[str]) -> None:
    """Raise for what no rollout could be started for; ``given`` are the attributes that the file gives to devices."""
    plan, version = entry.wanted.plan, entry.version
    if not entry.devices:
        words = f" matches {plan.selector_text!r}" if plan.selector_text else ""
        hints = [] if given & keys_of(plan.selector) else unknown_attributes(session, plan)
        raise NotFoundError(
            f"no enrolled device{words}{''.join(f'; {hint}' for hint in hints)}",
            fix="edgeops device list shows what there is",
        )
    if version.state != "registered":
        raise CheckFailed(
            f"{_name(version)} is in state {version.state!r}; only registered versions are rolled out",
            fix=f"edgeops model show {_name(version)} tells why",
        )


def _name(version: ModelVersion) -> str:
    return f"{version.model}@{version.version}"


def _standing(session: Session, model: str, to: Selector) -> Rollout | None:
    """The newest rollout of a model to exactly these devices that still stands."""
    return next((rollout for rollout in _rollouts(session, model, to) if rollout.state in CLAIMING), None)


def _refuse_taken_back(session: Session, version: ModelVersion, to: Selector) -> None:
    last = next(_rollouts(session, version.model, to), None)
    taken_back = ("ABORTED", "ROLLING_BACK", "ROLLED_BACK")
    if last is not None and last.model_version_id == version.id and last.state in taken_back:
        raise CheckFailed(
            f"{_name(version)} was taken back by rollout {last.id}: {last.reason or 'on command'}",
            fix=f"name another version in the file, or edgeops rollout show {last.id}",
            rollout=last.id,
        )


def _rollouts(session: Session, model: str, to: Selector) -> Iterator[Rollout]:
    """The rollouts of a model to exactly these devices, however that is written; the newest first."""
    query = (
        select(Rollout)
        .join(ModelVersion, col(Rollout.model_version_id) == col(ModelVersion.id))
        .where(ModelVersion.model == model)
        .order_by(col(Rollout.id).desc())
    )
    return (rollout for rollout in session.exec(query) if parse_selector(rollout.plan.get("to", "")) == to)
