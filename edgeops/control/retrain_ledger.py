"""What the retrains of a model have cost: how many, how long ago, how many bytes they pushed."""

from __future__ import annotations

from sqlmodel import Session, col, func, select

from edgeops.control.retrain_policies import is_quiet
from edgeops.drift.delays import MONTH_S, Ledger
from edgeops.drift.policy import RetrainPolicy
from edgeops.registry.artifacts import choose, forms_of
from edgeops.registry.tables import Alert, Deployment, Device, ModelVersion, Patch, Retrain, Rollout, Run

UNTRAINED = ("WANTED", "WAITING", "ABANDONED")
"""States of a retrain that has cost nothing."""


def ledger_of(session: Session, model: str, policy: RetrainPolicy, now: float) -> Ledger:
    """The model's ledger at ``now`` (seconds since the epoch)."""
    query = (
        select(Retrain)
        .join(Alert, col(Alert.id) == col(Retrain.alert_id))
        .join(ModelVersion, col(ModelVersion.id) == col(Alert.model_version_id))
        .where(ModelVersion.model == model, col(Retrain.state).not_in(UNTRAINED))
    )
    times = [min(row.finished_at or row.created_at, now) for row in session.exec(query)]
    return Ledger(
        since_retrain_s=now - max(times) if times else None,
        retrains=sum(at > now - MONTH_S for at in times),
        pushed_bytes=_pushed_bytes(session, model, now - MONTH_S) if policy.bytes_a_month else 0,
        quiet=is_quiet(policy, now),
    )


def used_labels(session: Session, version: ModelVersion) -> int:
    """The highest number of a label that a retrain of a version has had, or a person did not want to train on."""
    query = (
        select(func.max(Retrain.labels_to))
        .join(Alert, col(Alert.id) == col(Retrain.alert_id))
        .where(Alert.model_version_id == version.id)
    )
    return int(session.exec(query).one() or 0)


def _pushed_bytes(session: Session, model: str, since: float) -> int:
    """What versions made by retrains cost on the way to devices: a patch's bytes where there is one, else all.

    Counted when offered: what a device fetched of it before it was called back is not known.
    """
    query = (
        select(Deployment, ModelVersion, Device)
        .join(Device, col(Device.id) == col(Deployment.device_id))
        .join(Rollout, col(Rollout.id) == col(Deployment.rollout_id))
        .join(ModelVersion, col(ModelVersion.id) == col(Rollout.model_version_id))
        .join(Run, col(Run.id) == col(ModelVersion.run_id))
        .where(
            ModelVersion.model == model, col(Run.retrain_id).is_not(None), col(Deployment.offered_at) > since
        )
    )
    versions = select(ModelVersion).where(ModelVersion.model == model)
    version_of = {row.manifest_sha256: row for row in session.exec(versions)}
    patches = {
        (patch.base, patch.target): patch.bytes
        for patch in session.exec(select(Patch).where(col(Patch.sha256).is_not(None)))
    }
    total = 0
    for deployment, version, device in session.exec(query):
        before = version_of.get(deployment.before)
        base = choose(forms_of(before), device) if before is not None else None
        target = choose(forms_of(version), device)
        if target is not None and (base is None or base.sha256 != target.sha256):
            total += patches.get((base.sha256 if base else "", target.sha256), target.bytes)
    return total
