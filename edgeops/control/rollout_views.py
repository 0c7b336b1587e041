"""Rollouts in a workspace, as a person reads them: who would get one, how far each is, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.plans import PlanShelf
from edgeops.control.rollout_orders import find_rollout
from edgeops.control.workspace import Workspace
from edgeops.fleet.membership import select_devices, unsuited
from edgeops.fleet.patches import saved_bytes
from edgeops.fleet.rollout.duration import duration_words
from edgeops.fleet.rollout.gates import GATES
from edgeops.fleet.rollout.plan import Plan, plan_from_dict
from edgeops.fleet.standing import Standing
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
            rows.append(
                {
                    "device": device.id,
                    "connection": connection(device),
                    "target": device.target or "not seen yet",
                    "has": _version_of(session, has.confirmed if has else None),
                    "reason": unsuited(device, manifest),
                }
            )
    return rows


def rollout_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Every rollout with its counts."""
    with workspace.registry.reading() as session:
        return [_facts(session, r) for r in session.exec(select(Rollout).order_by(col(Rollout.id)))]


def rollout_facts(workspace: Workspace, rollout_id: int) -> dict[str, Any]:
    """One rollout with its plan, gates and devices; raises ``NotFoundError``."""
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
        return {
            **_facts(session, rollout),
            "reason": rollout.reason,
            "by": rollout.created_by,
            "plan": plan_words(plan_from_dict(rollout.plan)),
            "uplink_bytes": _uplink(session, version),
            "saved_bytes": saved_bytes(session, rollout_id),
            "gates": _gates(session, rollout),
            "devices": [_device(devices[row.device_id], said.get(row.device_id), row) for row in rows],
        }


def plan_words(plan: Plan) -> str:
    """The plan in a line, as its options say it."""
    words = [f"stages {', '.join(map(str, plan.stages))}", f"to {plan.selector_text or 'every device'}"]
    if plan.soak_s:
        words.append(f"soak {duration_words(plan.soak_s)}")
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
    return "; ".join(words)


def connection(device: Device) -> str:
    """``online``, ``offline``, or ``never`` when nothing was heard of it yet."""
    return "online" if device.online else ("offline" if device.last_seen_at else "never")


def _device(device: Device, said: DeviceModel | None, row: Deployment) -> dict[str, Any]:
    return {
        "device": row.device_id,
        "stage": row.stage + 1 if row.stage is not None else None,
        "state": row.state,
        "doing": _doing(device, said, row),
        "reason": row.reason or _waits_for(device, said, row.state),
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


def _gates(session: Session, rollout: Rollout) -> list[dict[str, Any]]:
    rows = {
        row.gate: row
        for row in session.exec(select(GateEvidence).where(GateEvidence.rollout_id == rollout.id))
    }
    found = []
    for rule in plan_from_dict(rollout.plan).gates:
        row = rows.get(rule.name)
        found.append(
            {
                "gate": rule.name,
                "verdict": row.verdict if row else "not judged yet",
                "answer": rule.answer.replace("_", " "),
                "evidence": row.words if row else f"limit {rule.limit:g} ({GATES[rule.name].unit})",
            }
        )
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


def _uplink(session: Session, version: ModelVersion) -> int:
    """What was sent to the broker of the version's artifact: once, whatever the number of devices."""
    row = session.get(BlobPublication, version.artifact_sha256)
    return row.bytes if row else 0


def _version_of(session: Session, manifest: str | None) -> str | None:
    if manifest is None:
        return None
    found = model_of_manifest(session, manifest)
    return f"{found.model}@{found.version}" if found else "unknown"
