"""Rollouts in a workspace: what a person asks for. Each order is one transaction; ``edgeops serve`` carries it out."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlmodel import Session, select

from edgeops.control.plans import PlanShelf
from edgeops.control.rollout_advice import refuse_nobody, takes_from, warnings_of
from edgeops.control.settings import Settings
from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.core.lifecycle import ROLLOUT
from edgeops.core.messages import ReportPolicy
from edgeops.core.signing import Role
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.rollout.duration import parse_duration
from edgeops.fleet.rollout.engine import Command
from edgeops.fleet.rollout.gates import DEFAULT_GATES, parse_gates
from edgeops.fleet.rollout.hours import parse_hours
from edgeops.fleet.rollout.pace import parse_pace
from edgeops.fleet.rollout.plan import Plan
from edgeops.fleet.rollout.selector import parse_selector
from edgeops.fleet.rollout.stages import parse_stages
from edgeops.fleet.rollouts import Outside, order, start_rollout, try_again
from edgeops.fleet.transfers import Ways
from edgeops.registry.counts import fact
from edgeops.registry.names import find_model
from edgeops.registry.tables import Deployment, DesiredState, ModelVersion, Rollout

ACTOR_ENVIRONMENT = "EDGEOPS_ACTOR"
BROKER = "broker"
"""The fact that keeps what the control plane learned of its broker: ``packet_bytes``, None where it does not say."""

VERBS: dict[Command, str] = {
    "pause": "pause",
    "resume": "resume",
    "approve": "approve",
    "abort": "abort",
    "roll_back": "rollback",
}
"""The verb of ``edgeops rollout`` for each command."""


def actor() -> str:
    """Who acts, for the audit trail: ``EDGEOPS_ACTOR``, else the name of the account."""
    named = os.environ.get(ACTOR_ENVIRONMENT)
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return f"uid {os.getuid()}"


def plan_of(
    workspace: Workspace,
    *,
    to: str = "",
    stages: str | None = None,
    soak: str | None = None,
    patience: str | None = None,
    window: str | None = None,
    rate: str | None = None,
    approve: bool = False,
    gates: Sequence[str] = (),
    shadow: int | None = None,
    spread: str | None = None,
    max_bytes: int = 0,
) -> Plan:
    """The plan that options ask for; what they do not say is as the workspace's settings say. ``UsageError``."""
    settings = workspace.settings.rollout
    parse_selector(to)
    base = tuple(
        replace(rule, limit=settings.max_failed_share) if rule.name == "install" else rule
        for rule in DEFAULT_GATES
    )
    shadow_inferences = settings.shadow_inferences if shadow is None else shadow
    _refuse_blind_gates(gates, shadow_inferences, workspace.settings.report.labels)
    return Plan(
        selector_text=to,
        stages=parse_stages(stages if stages is not None else ",".join(settings.stages)),
        soak_s=parse_duration(soak, "--soak") if soak is not None else default_soak_s(workspace.settings),
        patience_s=parse_duration(patience, "--patience") if patience is not None else settings.patience_s,
        hours=parse_hours(window) if window else None,
        pace=parse_pace(rate) if rate else None,
        approve=approve,
        gates=parse_gates([*settings.gates, *gates], base),
        shadow_inferences=shadow_inferences,
        spread_s=parse_duration(spread, "--spread") if spread is not None else settings.spread_s,
        device_bytes_per_day=settings.device_bytes_per_day,
        max_bytes=max_bytes,
        rate_text=rate or "",
    )


def _refuse_blind_gates(gates: Sequence[str], shadow_inferences: int, labels: bool) -> None:
    """A gate that somebody asks for by name must be able to see something."""
    asked = {rule.name for rule in parse_gates([*gates], ())}
    if "shadow" in asked and not shadow_inferences:
        raise UsageError(
            "gate shadow: there is no shadow run for it to judge",
            fix="ask for one with --shadow 200, or leave the gate out",
            gate="shadow",
        )
    if "accuracy" in asked and not labels:
        raise UsageError(
            "gate accuracy: labels are off (report.labels = false in edgeops.toml), so it would see none",
            fix="set report.labels = true, or leave the gate out",
            gate="accuracy",
        )


def default_soak_s(settings: Settings) -> float:
    """How long a stage is watched where nobody says: long enough for some reports to come."""
    some_reports = settings.rollout.soak_windows * settings.report.interval_ms / 1000
    return max(settings.rollout.soak_s, some_reports)


def outside_of(workspace: Workspace, session: Session, shelf: PlanShelf, writer: DesiredWriter) -> Outside:
    """What the engine needs of this workspace: manifests and desired states."""

    def desire(device_id: str, model: str, manifest: str | None, plan: Plan, again: bool) -> int:
        row = session.get(DesiredState, device_id)
        attempt = (row.models.get(model, {}).get("attempt", 0) if row else 0) + again
        size = len(workspace.blobs.get(manifest)) if manifest else 0
        return writer.change(
            session,
            device_id,
            model,
            manifest=manifest,
            manifest_bytes=size,
            shadow_inferences=plan.shadow_inferences if manifest else 0,
            attempt=attempt,
            spread_ms=int(plan.spread_s * 1000),
            daily_bytes=plan.device_bytes_per_day,
        )

    return Outside(shelf.manifest, desire, workspace.settings.report.interval_ms / 1000)


def desired_writer(
    workspace: Workspace, packet_bytes: int | None = None, clock: Callable[[], float] = time.time
) -> DesiredWriter:
    """The writer of desired states, with the workspace's key and report policy, for a broker's longest packet."""
    report = workspace.settings.report
    policy = ReportPolicy(report.window_inferences, report.interval_ms, report.observe_permille)
    fleet = workspace.settings.fleet
    ways = Ways(fleet, workspace.blobs, packet_bytes, clock)
    return DesiredWriter(fleet, workspace.key(Role.DEPLOY), policy, ways, report.labels)


def start_in_workspace(
    workspace: Workspace, model: str, plan: Plan, clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Start a rollout; returns its facts. Raises ``NotFoundError`` and ``CheckFailed``."""
    with workspace.registry.session() as session:
        version = find_model(session, model, registered=True)
        refuse_nobody(session, plan)
        takes = takes_from(session, version, plan)
        warnings = warnings_of(session, workspace, version, plan)
        rollout = start_rollout(session, version, plan, actor(), clock())
        count = len(session.exec(select(Deployment).where(Deployment.rollout_id == rollout.id)).all())
        return {
            "rollout": rollout.id,
            "model": f"{version.model}@{version.version}",
            "devices": count,
            "stages": [str(stage) for stage in plan.stages],
            "soak_s": plan.soak_s,
            "state": rollout.state,
            "takes": takes,
            "warnings": warnings,
        }


def order_in_workspace(
    workspace: Workspace,
    rollout_id: int,
    command: Command,
    reason: str | None,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Pause, resume, abort, approve or roll back; returns number and state. ``NotFoundError``, ``UsageError``."""
    with workspace.registry.session() as session:
        rollout = find_rollout(session, rollout_id)
        writer = desired_writer(workspace, fact(session, BROKER).get("packet_bytes"))
        outside = outside_of(workspace, session, PlanShelf(workspace.blobs), writer)
        try:
            order(session, rollout, command, actor(), reason, outside, clock())
        except UsageError as error:
            raise UsageError(error.message, fix=_orders(session, rollout), **error.fields) from error
        return {"rollout": rollout.id, "state": rollout.state}


def retry_in_workspace(
    workspace: Workspace, rollout_id: int, devices: Sequence[str], clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Let failed devices try again, all of them or the named ones; returns which."""
    with workspace.registry.session() as session:
        rollout = find_rollout(session, rollout_id)
        try:
            again = try_again(session, rollout, frozenset(devices) or None, actor(), clock())
        except UsageError as error:
            raise UsageError(error.message, fix=_another(session, rollout), **error.fields) from error
        return {"rollout": rollout.id, "state": rollout.state, "devices": again}


def _orders(session: Session, rollout: Rollout) -> str:
    """The commands that this rollout can be given as it stands, as they are typed."""
    can = [verb for name, verb in VERBS.items() if ROLLOUT.allows(rollout.state, name)]
    if not can:
        return _another(session, rollout)
    return " or ".join(f"edgeops rollout {verb} {rollout.id}" for verb in can)


def _another(session: Session, rollout: Rollout) -> str:
    version = session.get_one(ModelVersion, rollout.model_version_id)
    return f"edgeops rollout start {version.model}@{version.version}"


def find_rollout(session: Session, rollout_id: int) -> Rollout:
    """A rollout by its number; raises ``NotFoundError``."""
    rollout = session.get(Rollout, rollout_id)
    if rollout is None:
        raise NotFoundError(f"no rollout {rollout_id}", fix="edgeops rollout list shows what there is")
    return rollout
