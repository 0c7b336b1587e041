"""What a person should know before a rollout is started: what cannot be judged, what was tried, whom it takes."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.listening import command
from edgeops.control.settings import ReportSettings
from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError
from edgeops.core.lifecycle import ROLLOUT
from edgeops.fleet.active_rollouts import UNFINISHED
from edgeops.fleet.membership import attributes_of, select_devices
from edgeops.fleet.rollout.duration import duration_words
from edgeops.fleet.rollout.gates import GATES
from edgeops.fleet.rollout.plan import Plan, plan_from_dict
from edgeops.fleet.rollout.selector import keys_of
from edgeops.registry.artifacts import choose, forms_of
from edgeops.registry.tables import AuditEntry, Deployment, Device, ModelVersion, Rollout
from edgeops.targets.catalogue import catalogue

BUILT_IN = ("device", "target", "runtime", "agent")
"""What a selector can ask of every device, whether or not one has said it yet."""
NAMED = 12
TAKEN_BACK = {"roll_back": "was rolled back", "roll_stage_back": "had a stage rolled back"}


def warnings_of(session: Session, workspace: Workspace, version: ModelVersion, plan: Plan) -> list[str]:
    """What speaks against starting this as it is; none of it forbids it."""
    found = [
        taken_back_before(session, workspace, version),
        short_soak(plan, workspace.settings.report),
        *unknown_attributes(session, plan),
        *too_small(session, version, plan),
    ]
    return [warning for warning in found if warning is not None]


def taken_back_before(session: Session, workspace: Workspace, version: ModelVersion) -> str | None:
    """The last rollout of this version that a gate or a person took back, and why."""
    rollouts = select(Rollout.id).where(Rollout.model_version_id == version.id)
    subjects = [f"rollout {number}" for number in session.exec(rollouts)]
    query = (
        select(AuditEntry)
        .where(col(AuditEntry.subject).in_(subjects), col(AuditEntry.action).in_(TAKEN_BACK))
        .order_by(col(AuditEntry.id).desc())
    )
    entry = session.exec(query).first()
    if entry is None:
        return None
    name, number = f"{version.model}@{version.version}", entry.subject.split()[-1]
    why = f": {entry.reason}" if entry.reason else ""
    return (
        f"{name} {TAKEN_BACK[entry.action]} by {entry.actor} in {entry.subject}{why} "
        f"({command(workspace, 'rollout show', number)})"
    )


def short_soak(plan: Plan, report: ReportSettings) -> str | None:
    """Which gates have not seen enough when a stage is over: they judge reports, and one comes in an interval."""
    interval = report.interval_ms / 1000
    blind = [
        rule
        for rule in plan.gates
        if GATES[rule.name].method != "share"
        and rule.name != "shadow"  # it is judged before anything is active
        and (rule.name != "accuracy" or report.labels)
        and rule.evidence * interval > plan.soak_s
    ]
    if not blind:
        return None
    reports = max(rule.evidence for rule in blind)
    names = ", ".join(rule.name for rule in blind)
    needed = duration_words(reports * interval)
    return (
        f"a soak of {duration_words(plan.soak_s)} is too short for {'the gate' if len(blind) == 1 else 'the gates'} "
        f"{names} to judge: {reports} reports are asked for, and a device sends one every "
        f"{duration_words(interval)}; give --soak {needed} or more"
    )


def unknown_attributes(session: Session, plan: Plan) -> list[str]:
    """A line for each attribute that the selector asks for and no device has: most likely a slip."""
    devices = session.exec(select(Device)).all()
    if not devices:
        return []
    known = {key for device in devices for key in attributes_of(device)}
    there = [*sorted(known - {*BUILT_IN}), *BUILT_IN]
    shown = ", ".join(there[:NAMED]) + (", ..." if len(there) > NAMED else "")
    return [
        f"no device has the attribute {key!r}; there are {shown}"
        for key in sorted(keys_of(plan.selector) - {*there})
    ]


def too_small(session: Session, version: ModelVersion, plan: Plan) -> list[str]:
    """A line for each kind of device that has no room for its artifact, as far as that is known: they will refuse it.

    Of a part of the catalogue its RAM is known, of a device what it says is free.
    """
    short: dict[str, list[str]] = {}
    full = []
    for device in select_devices(session, plan.selector):
        form = choose(forms_of(version), device)
        if form is None:
            continue
        part = catalogue().get(device.target)
        if part is not None and form.arena_bytes > part.arena_ram_bytes:
            why = (
                f"{device.target} has {part.arena_ram_bytes} bytes of RAM in one piece; "
                f"the {form.runtime} needs an arena of {form.arena_bytes}"
            )
            short.setdefault(why, []).append(device.id)
        elif 0 < device.free_bytes < form.bytes:
            full.append(device.id)
    found = [f"{why}: {_named(names)}" for why, names in short.items()]
    if full:
        found.append(f"fewer bytes are free than the version takes: {_named(full)}")
    return found


def _named(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def refuse_nobody(session: Session, plan: Plan) -> list[Device]:
    """The devices that a plan selects; raises ``NotFoundError`` where there are none, with what may be the slip."""
    devices = select_devices(session, plan.selector)
    if not devices:
        words = f" matches {plan.selector_text!r}" if plan.selector_text else ""
        hints = "".join(f"; {hint}" for hint in unknown_attributes(session, plan))
        raise NotFoundError(
            f"no enrolled device{words}{hints}", fix="edgeops device list shows what there is"
        )
    return devices


def takes_from(session: Session, version: ModelVersion, plan: Plan) -> list[dict[str, Any]]:
    """From which unfinished rollouts of the model this one takes how many devices, and whether it ends them."""
    mine = {device.id for device in select_devices(session, plan.selector)}
    query = (
        select(Rollout)
        .join(ModelVersion, col(Rollout.model_version_id) == col(ModelVersion.id))
        .where(ModelVersion.model == version.model, col(Rollout.state).in_(UNFINISHED))
        .order_by(col(Rollout.id))
    )
    found = []
    for older in session.exec(query).all():
        rows = select(Deployment.device_id).where(
            Deployment.rollout_id == older.id, col(Deployment.state) != "left"
        )
        taken = mine & {*session.exec(rows)}
        if taken:
            theirs = {device.id for device in select_devices(session, plan_from_dict(older.plan).selector)}
            ends = theirs <= mine and ROLLOUT.allows(older.state, "superseded")
            found.append({"rollout": older.id, "devices": len(taken), "ends_it": ends})
    return found
