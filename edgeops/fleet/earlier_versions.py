"""What a device ran before a rollout, and what earlier ones made of it: the way back, and whether to ask once more."""

from __future__ import annotations

from sqlmodel import Session, col, select

from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import Deployment, DesiredState, DeviceModel, ModelVersion, Rollout


def ran_before(session: Session, device_id: str, version: ModelVersion) -> str | None:
    """What the device goes back to: what it confirmed before this version, else what was desired of it.

    Of one that an earlier rollout was taking back, what it was on its way to.
    """
    said = session.get(DeviceModel, (device_id, version.model))
    row = session.get(DesiredState, device_id)
    wanted = row.models.get(version.model, {}).get("manifest") if row else None
    candidates = [said.confirmed if said else None, wanted]
    if wanted is not None and _was_taken_back(session, device_id, version, candidates[0]):
        candidates.reverse()
    # A device may name what this registry never knew: another workspace's, or one of after the copy it was restored to.
    known = (m for m in candidates if m is not None and model_of_manifest(session, m) is not None)
    return next((m for m in known if m != version.manifest_sha256), None)


def _was_taken_back(session: Session, device_id: str, version: ModelVersion, manifest: str | None) -> bool:
    """Whether this device was last told to leave the version of ``manifest`` by a rollback."""
    query = (
        select(Deployment.reverted_generation, Deployment.generation)
        .join(Rollout, col(Rollout.id) == col(Deployment.rollout_id))
        .join(ModelVersion, col(ModelVersion.id) == col(Rollout.model_version_id))
        .where(
            Deployment.device_id == device_id,
            ModelVersion.model == version.model,
            ModelVersion.manifest_sha256 == manifest,
        )
    )
    return any(reverted > generation for reverted, generation in session.exec(query))


def offered_before(session: Session, rollout: Rollout, device_id: str) -> bool:
    """Whether an earlier rollout offered the device this version: it may have refused it, and shall try once more."""
    query = (
        select(Deployment.rollout_id)
        .join(Rollout, col(Rollout.id) == col(Deployment.rollout_id))
        .where(
            Deployment.device_id == device_id,
            Rollout.model_version_id == rollout.model_version_id,
            col(Rollout.id) < rollout.id,
        )
    )
    return session.exec(query).first() is not None
