"""Walking the lineage of a model version: where it came from, and where it went."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, func, select

from edgeops.registry.artifacts import forms_of
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    DatasetVersion,
    Deployment,
    ModelVersion,
    ReportWindow,
    Retrain,
    Rollout,
    Run,
)


def lineage(session: Session, version: ModelVersion) -> dict[str, Any]:
    """Plain data: dataset, run, retrain that asked for it, parent, rollouts, windows, alerts, retrains after it."""
    run = session.get(Run, version.run_id)
    dataset = session.get(DatasetVersion, run.dataset_id) if run else None
    parent = session.get(ModelVersion, version.parent_id) if version.parent_id else None
    cause = session.get(Retrain, run.retrain_id) if run and run.retrain_id else None
    windows = session.exec(
        select(func.count()).select_from(ReportWindow).where(ReportWindow.manifest == version.manifest_sha256)
    ).one()
    return {
        "model": version.model,
        "version": version.version,
        "state": version.state,
        "artifact": {"sha256": version.artifact_sha256, "bytes": version.artifact_bytes},
        "artifacts": [form.as_dict() for form in forms_of(version)],
        "not_packaged": run.record.get("not_packaged", {}) if run else {},
        "manifest": version.manifest_sha256,
        "parent": f"{parent.model}@{parent.version}" if parent else None,
        "dataset": _dataset(dataset),
        "run": _run(run),
        "retrain": _retrain(cause),
        "rollouts": [_rollout(session, r) for r in _of(session, Rollout, version)],
        "report_windows": windows,
        "alerts": [_alert(session, a) for a in _of(session, Alert, version)],
    }


def _of(session: Session, table: Any, version: ModelVersion) -> list[Any]:
    return list(session.exec(select(table).where(table.model_version_id == version.id).order_by(table.id)))


def _dataset(dataset: DatasetVersion | None) -> dict[str, Any] | None:
    if dataset is None:
        return None
    return {
        "name": dataset.name,
        "version": dataset.version,
        "sha256": dataset.sha256,
        "parts": dataset.parts,
    }


def _run(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "id": run.id,
        "recipe": run.recipe,
        "recipe_digest": run.recipe_digest,
        "seed": run.seed,
        "metrics": {name: {"accuracy": m["accuracy"], "n": m["n"]} for name, m in run.metrics.items()},
        "gates": run.gates,
        "versions": run.versions,
        "seconds": run.seconds,
    }


def _retrain(retrain: Retrain | None) -> dict[str, Any] | None:
    if retrain is None:
        return None
    return {
        "id": retrain.id,
        "state": retrain.state,
        "alert": retrain.alert_id,
        "samples": retrain.samples,
        "gates": retrain.gates,
        "reason": retrain.reason,
    }


def _rollout(session: Session, rollout: Rollout) -> dict[str, Any]:
    deployments = session.exec(select(Deployment).where(Deployment.rollout_id == rollout.id)).all()
    states = [deployment.outcome for deployment in deployments]
    return {
        "id": rollout.id,
        "state": rollout.state,
        "stages": rollout.plan.get("stages", []),
        "devices": {state: states.count(state) for state in sorted(set(states))},
    }


def _alert(session: Session, alert: Alert) -> dict[str, Any]:
    devices = session.exec(select(AlertDevice).where(AlertDevice.alert_id == alert.id)).all()
    retrains = session.exec(select(Retrain).where(Retrain.alert_id == alert.id)).all()
    return {
        "id": alert.id,
        "state": alert.state,
        "devices": sorted(device.device_id for device in devices),
        "retrains": [
            {"id": r.id, "state": r.state, "model_version_id": r.model_version_id} for r in retrains
        ],
    }
