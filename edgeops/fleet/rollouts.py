"""Rollouts in the registry: starting one, and letting the pure engine take its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlmodel import Session, col, select

from edgeops.core.errors import CheckFailed, NotFoundError
from edgeops.fleet.rollout_engine import (
    DeviceProgress,
    Heard,
    Moved,
    Offer,
    RolloutState,
    assign_stages,
    step,
)
from edgeops.registry.tables import (
    Deployment,
    DesiredState,
    Device,
    DeviceModel,
    ModelVersion,
    Rollout,
)

FAILED_LIFECYCLES = ("REJECTED", "FAILED", "ROLLED_BACK")


def select_devices(session: Session, selector: dict[str, str]) -> list[Device]:
    """The enrolled devices whose attributes have all of the selector's values, by id."""
    devices = session.exec(select(Device).order_by(Device.id)).all()
    return [d for d in devices if all(d.attributes.get(key) == value for key, value in selector.items())]


def start_rollout(
    session: Session,
    version: ModelVersion,
    selector: dict[str, str],
    stages: Sequence[int],
    max_failed_share: float,
    now: float,
) -> Rollout:
    """Start a rollout; an unfinished one of the same model is superseded.

    Raises ``CheckFailed`` for a version that a gate rejected, ``NotFoundError`` when no device is selected.
    """
    if version.state == "evaluation":
        raise CheckFailed(
            f"{version.model}@{version.version} was trained with --holdout, to be measured; it is not rolled out",
            fix="train it without --holdout, then roll that version out",
        )
    if version.state != "registered" or version.manifest_sha256 is None:
        raise CheckFailed(
            f"{version.model}@{version.version} is {version.state}; only registered versions are rolled out",
            fix=f"edgeops model show {version.model}@{version.version} tells which gate said no",
        )
    devices = select_devices(session, selector)
    if not devices:
        words = " and ".join(f"{k}={v}" for k, v in selector.items())
        raise NotFoundError(
            f"no enrolled device{f' has {words}' if words else ''}",
            fix="edgeops device list shows what there is",
        )
    for older in unfinished(session):
        if (session.get_one(ModelVersion, older.model_version_id)).model == version.model:
            older.state, older.finished_at, older.reason = "SUPERSEDED", now, "a newer rollout was started"
    rollout = Rollout(
        model_version_id=version.id or 0,
        state="RUNNING",
        selector=selector,
        stages=list(stages),
        max_failed_share=max_failed_share,
        created_at=now,
    )
    session.add(rollout)
    session.flush()
    for progress in assign_stages(rollout.id or 0, [d.id for d in devices], stages):
        session.add(
            Deployment(
                rollout_id=rollout.id or 0,
                device_id=progress.device_id,
                stage=progress.stage,
                state="waiting",
            )
        )
    session.flush()
    return rollout


def unfinished(session: Session) -> list[Rollout]:
    """Rollouts that are running or held, oldest first."""
    query = select(Rollout).where(col(Rollout.state).in_(("RUNNING", "HELD"))).order_by(col(Rollout.id))
    return list(session.exec(query))


def advance(
    session: Session, rollout: Rollout, offer: Callable[[str, ModelVersion], int], now: float
) -> list[Moved]:
    """One step of a rollout: hear the devices, offer to the next ones, record what moved.

    ``offer(device_id, version)`` makes the version desired and returns the generation that says so.
    """
    version = session.get_one(ModelVersion, rollout.model_version_id)
    rows = {
        row.device_id: row
        for row in session.exec(select(Deployment).where(Deployment.rollout_id == rollout.id))
    }
    before = RolloutState(
        rollout.state,
        tuple(rollout.stages),
        rollout.stage,
        rollout.max_failed_share,
        tuple(DeviceProgress(r.device_id, r.stage, r.state, r.reason) for r in rows.values()),
    )
    after, actions = step(before, _heard(session, version, rows))
    for progress in after.devices:
        row = rows[progress.device_id]
        if (row.state, row.reason) != (progress.state, progress.reason):
            row.state, row.reason = progress.state, progress.reason
            row.decided_at = now if progress.state in ("confirmed", "failed") else None
    for action in actions:
        if isinstance(action, Offer):
            rows[action.device_id].generation = offer(action.device_id, version)
            rows[action.device_id].offered_at = now
    moves = [action for action in actions if isinstance(action, Moved)]
    if after.lifecycle != rollout.state or after.stage != rollout.stage:
        rollout.state, rollout.stage = after.lifecycle, after.stage
        rollout.reason = moves[-1].reason if moves else None
        rollout.finished_at = now if after.lifecycle == "COMPLETED" else None
    return moves


def _heard(session: Session, version: ModelVersion, rows: dict[str, Deployment]) -> list[Heard]:
    """What the devices' own states say about the version."""
    heard = []
    said = session.exec(
        select(DeviceModel).where(
            DeviceModel.model == version.model, col(DeviceModel.device_id).in_(list(rows))
        )
    )
    for row in said:
        deployment = rows[row.device_id]
        if row.confirmed == version.manifest_sha256 and _stays(session, row, deployment, version):
            heard.append(Heard(row.device_id, "confirmed"))
        elif deployment.state in ("offered", "failed") and row.generation >= deployment.generation:
            if row.lifecycle in FAILED_LIFECYCLES:
                heard.append(Heard(row.device_id, "failed", row.reason or row.lifecycle))
            else:
                heard.append(Heard(row.device_id, "offered"))
    return heard


def _stays(session: Session, row: DeviceModel, deployment: Deployment, version: ModelVersion) -> bool:
    """Whether a device that runs the version will go on doing so: it may be on its way to another one."""
    desired = session.get(DesiredState, row.device_id)
    wanted = desired.models.get(version.model, {}).get("manifest") if desired else None
    return wanted == version.manifest_sha256 and row.generation >= deployment.generation
