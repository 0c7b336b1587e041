"""Rollouts in a workspace: starting one, previewing one, and telling about them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.fleet.rollouts import select_devices, start_rollout
from edgeops.registry.names import find_model
from edgeops.registry.tables import Deployment, Device, DeviceModel, ModelVersion, Rollout


def parse_stages(text: str) -> tuple[int, ...]:
    """``10,50,100`` to percentages; raises ``UsageError`` unless they ascend and end with 100."""
    parts = [part.strip().removesuffix("%") for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"stages {text!r} are not percentages", fix="--stages 10,50,100")
    stages = tuple(int(part) for part in parts)
    if list(stages) != sorted(set(stages)) or stages[0] < 1 or stages[-1] != 100:
        raise UsageError(f"stages {text!r} must ascend and end with 100", fix="--stages 10,50,100")
    return stages


def start_in_workspace(
    workspace: Workspace, model: str, selector: dict[str, str], stages: Sequence[int]
) -> dict[str, Any]:
    """Start a rollout; returns its facts."""
    with workspace.registry.session() as session:
        version = find_model(session, model, registered=True)
        share = workspace.settings.rollout.max_failed_share
        rollout = start_rollout(session, version, selector, stages, share, time.time())
        count = len(session.exec(select(Deployment).where(Deployment.rollout_id == rollout.id)).all())
        return {
            "rollout": rollout.id,
            "model": f"{version.model}@{version.version}",
            "devices": count,
            "stages": list(stages),
            "state": rollout.state,
        }


def plan_rollout(workspace: Workspace, model: str, selector: dict[str, str]) -> list[dict[str, Any]]:
    """Who would get a version, and what they run now."""
    with workspace.registry.reading() as session:
        version = find_model(session, model, registered=True)
        rows = []
        for device in select_devices(session, selector):
            has = session.get(DeviceModel, (device.id, version.model))
            rows.append(
                {
                    "device": device.id,
                    "connection": connection(device),
                    "target": device.target or "not seen yet",
                    "has": _version_of(session, has.confirmed if has else None),
                }
            )
    return rows


def rollout_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Every rollout with its counts."""
    with workspace.registry.reading() as session:
        return [_facts(session, r) for r in session.exec(select(Rollout).order_by(col(Rollout.id)))]


def rollout_facts(workspace: Workspace, rollout_id: int) -> dict[str, Any]:
    """One rollout with its devices; raises ``NotFoundError``."""
    with workspace.registry.reading() as session:
        rollout = session.get(Rollout, rollout_id)
        if rollout is None:
            raise NotFoundError(f"no rollout {rollout_id}", fix="edgeops rollout list shows what there is")
        rows = session.exec(
            select(Deployment)
            .where(Deployment.rollout_id == rollout_id)
            .order_by(col(Deployment.stage), col(Deployment.device_id))
        ).all()
        devices = [
            {
                "device": d.device_id,
                "stage": d.stage + 1,
                "state": d.state,
                "reason": d.reason or _waits_for(session.get_one(Device, d.device_id), d.state),
            }
            for d in rows
        ]
        return {**_facts(session, rollout), "reason": rollout.reason, "devices": devices}


def connection(device: Device) -> str:
    """``online``, ``offline``, or ``never`` when nothing was heard of it yet."""
    return "online" if device.online else ("offline" if device.last_seen_at else "never")


def _waits_for(device: Device, state: str) -> str | None:
    """Why an offered device has not answered, where that is known."""
    if state != "offered" or device.online:
        return None
    return "not online" if device.last_seen_at else "never seen: start its agent, or roll out with --where"


def _facts(session: Session, rollout: Rollout) -> dict[str, Any]:
    version = session.get_one(ModelVersion, rollout.model_version_id)
    states = session.exec(select(Deployment.state).where(Deployment.rollout_id == rollout.id)).all()
    return {
        "rollout": rollout.id,
        "model": f"{version.model}@{version.version}",
        "state": rollout.state,
        "stage": f"{rollout.stage + 1} of {len(rollout.stages)} ({rollout.stages[rollout.stage]} %)",
        "confirmed": f"{states.count('confirmed')} of {len(states)}",
        "failed": states.count("failed"),
        "created": rollout.created_at,
        "finished": rollout.finished_at,
    }


def _version_of(session: Session, manifest: str | None) -> str | None:
    if manifest is None:
        return None
    found = session.exec(select(ModelVersion).where(ModelVersion.manifest_sha256 == manifest)).first()
    return f"{found.model}@{found.version}" if found else "unknown"
