"""Rollouts in a workspace, as a person reads them: who would get one, how far each is, and why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.plans import PlanShelf
from edgeops.control.rollout_orders import find_rollout
from edgeops.control.rollout_waits import what_is_left, why_waiting
from edgeops.control.workspace import Workspace
from edgeops.fleet.hearing import away
from edgeops.fleet.membership import select_devices, unsuited
from edgeops.fleet.patches import saved_bytes
from edgeops.fleet.rollout.duration import duration_words
from edgeops.fleet.rollout.gates import DEFAULT_GATES, GATES, GateRule
from edgeops.fleet.rollout.plan import Plan, plan_from_dict
from edgeops.fleet.rollouts import load
from edgeops.fleet.standing import Standing
from edgeops.registry.artifacts import bytes_for, choose, costs_of, forms_of
from edgeops.registry.names import find_model, model_of_manifest
from edgeops.registry.tables import (
    BlobPublication,
    Deployment,
    Device,
    DeviceModel,
    GateEvidence,
    ModelVersion,
    Rollout,
)


def plan_rollout(workspace: Workspace, model: str, plan: Plan) -> list[dict[str, Any]]:
    """Who would get a version, what they run now, and why one would not."""
    with workspace.registry.reading() as session:
        version = find_model(session, model, registered=True)
        manifest = PlanShelf(workspace.blobs).manifest(version.manifest_sha256 or "")
        rows = []
        for device in select_devices(session, plan.selector):
            has = session.get(DeviceModel, (device.id, version.model))
            already = has is not None and has.confirmed == version.manifest_sha256
            reason = unsuited(device, manifest)
            form = choose(forms_of(version), device)
            rows.append(
                {
                    "device": device.id,
                    "connection": connection(device),
                    "target": device.target or "not seen yet",
                    "has": _version_of(session, has.confirmed if has else None),
                    "runtime": form.runtime if reason is None and form else None,
                    "bytes": bytes_for(version, device) if reason is None else None,
                    "suited": reason is None,
                    "already": already,
                    "reason": reason or ("has it already" if already else None),
                }
            )
    return rows


def rollout_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Every rollout with its counts."""
    with workspace.registry.reading() as session:
        return [_facts(session, r) for r in session.exec(select(Rollout).order_by(col(Rollout.id)))]


def rollout_facts(workspace: Workspace, rollout_id: int) -> dict[str, Any]:
    """One rollout with its plan, gates and devices, and what it waits for; raises ``NotFoundError``."""
    now = time.time()
    with workspace.registry.reading() as session:
        rollout = find_rollout(session, rollout_id)
        rows = session.exec(
            select(Deployment)
            .where(Deployment.rollout_id == rollout_id)
            .order_by(col(Deployment.stage).is_(None), col(Deployment.stage), col(Deployment.device_id))
        ).all()
        version = session.get_one(ModelVersion, rollout.model_version_id)
        devices = {device.id: device for device in session.exec(select(Device))}
        said = Standing(session).said(version.model)
        state = load(rollout, {row.device_id: row for row in rows})
        patience = max(state.plan.patience_s, 3 * workspace.settings.report.interval_ms / 1000)
        gone = away(devices.values(), {row.device_id: row for row in rows}, patience, now)
        costs = costs_of(version, devices.values())
        waits = why_waiting(state, gone, version.artifact_bytes, costs, now)
        return {
            **_facts(session, rollout),
            "reason": reason_words(rollout.id, rollout.reason),
            **what_is_left(state, devices, patience, now),
            "by": rollout.created_by,
            "plan": plan_words(state.plan),
            "uplink_bytes": _uplink(session, rollout, version),
            "saved_bytes": saved_bytes(session, rollout_id),
            "gates": _gates(session, rollout, workspace.settings.report.labels),
            "devices": [
                _device(devices[row.device_id], said.get(row.device_id), row, waits.get(row.device_id))
                for row in rows
            ],
        }


def reason_words(rollout_id: int | None, reason: str | None) -> str | None:
    """A rollout's reason with the command that it names made whole: the engine knows no number of a rollout."""
    if reason is not None and reason.endswith("edgeops rollout approve"):
        return f"{reason} {rollout_id}"
    return reason


def plan_words(plan: Plan) -> str:
    """The plan in a line, as its options say it."""
    words = [f"stages {', '.join(map(str, plan.stages))}", f"to {plan.selector_text or 'every device'}"]
    words.append(f"soak {duration_words(plan.soak_s)}" if plan.soak_s else "no soak")
    words.append(f"patience {duration_words(plan.patience_s)}")
    if plan.hours:
        words.append(f"window {plan.hours}")
    if plan.rate_text:
        words.append(f"rate {plan.rate_text}")
    if plan.approve:
        words.append("each stage approved")
    if plan.shadow_inferences:
        words.append(f"shadow {plan.shadow_inferences} inputs")
    if plan.device_bytes_per_day:
        words.append(f"at most {plan.device_bytes_per_day} bytes a device and day")
    if plan.max_bytes:
        words.append(f"at most {plan.max_bytes} bytes in all")
    return "; ".join([*words, *_changed_gates(plan)])


def _changed_gates(plan: Plan) -> list[str]:
    """The gates that are not as they are by default, as ``--gate`` takes them."""
    rules = {rule.name: rule for rule in plan.gates}
    return [
        f"gate {_gate_text(default, rules.get(default.name))}"
        for default in DEFAULT_GATES
        if rules.get(default.name) != default
    ]


def _gate_text(default: GateRule, rule: GateRule | None) -> str:
    if rule is None:
        return f"{default.name}=off"
    text = f"{rule.name}={rule.limit:g}"
    if (rule.answer, rule.evidence) != (default.answer, default.evidence):
        text += f":{rule.answer}"
    return text + (f":{rule.evidence}" if rule.evidence != default.evidence else "")


def connection(device: Device) -> str:
    """``online``, ``offline``, or ``never`` when nothing was heard of it yet."""
    return "online" if device.online else ("offline" if device.last_seen_at else "never")


def _device(device: Device, said: DeviceModel | None, row: Deployment, waits: str | None) -> dict[str, Any]:
    return {
        "device": row.device_id,
        "stage": row.stage + 1 if row.stage is not None else None,
        "state": row.state,
        "doing": _doing(device, said, row),
        "reason": row.reason or _waits_for(device, said, row.state) or waits,
    }


def _doing(device: Device, said: DeviceModel | None, row: Deployment) -> str:
    """What the device itself does with it, in its own lifecycle's words."""
    if row.state not in ("offered", "failed", "reverting", "confirmed", "stuck") or said is None:
        return ""
    if not device.online:
        return "offline"
    return said.lifecycle.lower()


def _waits_for(device: Device, said: DeviceModel | None, state: str) -> str | None:
    """Why an offered device has not answered, where that is known."""
    if said is not None and said.attempts and said.retry_in_ms:
        wait = duration_words(round(said.retry_in_ms / 1000))
        return f"put aside for {wait} after {said.attempts} failures: {said.reason or ''}".rstrip(": ")
    if state != "offered":
        return None
    if device.online:
        return said.reason if said is not None else None
    return "not online" if device.last_seen_at else "never seen: start its agent, or roll out with --to"


def _gates(session: Session, rollout: Rollout, labels: bool) -> list[dict[str, Any]]:
    rows = {
        row.gate: row
        for row in session.exec(select(GateEvidence).where(GateEvidence.rollout_id == rollout.id))
    }
    plan = plan_from_dict(rollout.plan)
    found = []
    for rule in plan.gates:
        row = rows.get(rule.name)
        verdict = row.verdict if row else "not judged yet"
        evidence = row.words if row else f"limit {rule.limit:g} ({GATES[rule.name].unit})"
        if verdict in ("not judged yet", "too early"):  # of some gates nothing will ever be known
            if rule.name == "shadow" and not plan.shadow_inferences:
                verdict, evidence = "not asked for", "--shadow N asks for it"
            elif rule.name == "accuracy" and not labels:
                verdict, evidence = "labels are off", "report.labels = true in edgeops.toml brings them"
        answer = rule.answer.replace("_", " ")
        found.append({"gate": rule.name, "verdict": verdict, "answer": answer, "evidence": evidence})
    return found


def _facts(session: Session, rollout: Rollout) -> dict[str, Any]:
    version = session.get_one(ModelVersion, rollout.model_version_id)
    rows = session.exec(select(Deployment).where(Deployment.rollout_id == rollout.id)).all()
    states = [row.outcome for row in rows]
    served = [state for state in states if state not in ("left", "unsuited")]
    stages: Sequence[str] = rollout.plan["stages"]
    return {
        "rollout": rollout.id,
        "model": f"{version.model}@{version.version}",
        "state": rollout.state,
        "stage": f"{rollout.stage + 1} of {len(stages)} ({_devices(stages[rollout.stage])})",
        "confirmed": f"{states.count('confirmed')} of {len(served)}",
        "failed": states.count("failed"),
        "unsuited": states.count("unsuited"),
        "created": rollout.created_at,
        "finished": rollout.finished_at,
    }


def _devices(stage: str) -> str:
    """A stage's share, or its count with the word."""
    return stage if stage.endswith("%") else f"{stage} device{'' if stage == '1' else 's'}"


def _uplink(session: Session, rollout: Rollout, version: ModelVersion) -> int:
    """What was sent to the broker for this rollout: each artifact once, whatever the number of devices; nothing where
    an earlier rollout had sent it.
    """
    rows = [session.get(BlobPublication, form.sha256) for form in forms_of(version)]
    return sum(row.bytes for row in rows if row and row.published_at >= rollout.created_at)


def _version_of(session: Session, manifest: str | None) -> str | None:
    if manifest is None:
        return None
    found = model_of_manifest(session, manifest)
    return f"{found.model}@{found.version}" if found else "unknown"
