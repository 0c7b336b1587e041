"""Retraining: original data and captured samples in, a version that must be better out."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from sqlmodel import Session, col, func, select

from edgeops.control.datasets import load_dataset, register_dataset
from edgeops.control.drift_answer import labelled_samples
from edgeops.control.plans import PlanShelf
from edgeops.control.retrain_lock import retrain_lock
from edgeops.control.training_jobs import Trained, register
from edgeops.control.workspace import Workspace
from edgeops.core.errors import DataError, EdgeOpsError, NotFoundError
from edgeops.core.features.steps import raw_input
from edgeops.core.lifecycle import RETRAIN
from edgeops.data.dataset import Dataset, Part, extend
from edgeops.data.splitting import capture_parts
from edgeops.registry.tables import Alert, DatasetVersion, ModelVersion, Retrain, Run
from edgeops.training.fit import Progress
from edgeops.training.gates import judge_retrain
from edgeops.training.pipeline import evaluate_part, train
from edgeops.training.recipe import find_recipe, load_recipe
from edgeops.training.recipe.load import with_holdout


def find_retrain(workspace: Workspace, alert_id: int | None) -> Retrain:
    """The retrain of an alert, made now if the policy has not made one; the newest open alert by default.

    Raises ``NotFoundError`` when there is no such alert.
    """
    with workspace.registry.session() as session:
        query = select(Alert).order_by(col(Alert.id).desc())
        query = (
            query.where(Alert.id == alert_id) if alert_id is not None else query.where(Alert.state == "open")
        )
        alert = session.exec(query).first()
        if alert is None:
            raise NotFoundError(
                f"no alert {alert_id}" if alert_id is not None else "no open drift alert to answer",
                fix="edgeops drift status shows the alerts",
            )
        pending = session.exec(
            select(Retrain).where(Retrain.alert_id == alert.id, col(Retrain.state).in_(("READY", "TRAINING")))
        ).first()
        if pending is not None:
            return pending
        retrain = Retrain(
            alert_id=alert.id or 0,
            state=RETRAIN.next(RETRAIN.initial, "samples_complete"),
            seed=workspace.settings.retrain.seed,
            reason="asked for by hand",
            created_at=time.time(),
        )
        session.add(retrain)
    return retrain


def run_retrain(workspace: Workspace, retrain_id: int, progress: Progress | None = None) -> Trained:
    """Carry a retrain out; its row tells the outcome whatever happens. One at a time in a workspace."""
    with retrain_lock(workspace):
        return _run(workspace, retrain_id, progress)


def _run(workspace: Workspace, retrain_id: int, progress: Progress | None) -> Trained:
    _move(workspace, retrain_id, "started")
    try:
        trained = _retrain(workspace, retrain_id, progress)
    except KeyboardInterrupt:
        _move(workspace, retrain_id, "interrupted")
        raise
    except EdgeOpsError as error:
        _move(workspace, retrain_id, "failed", error.message)
        raise
    better = trained.version.state == "registered"
    with workspace.registry.session() as session:
        row = session.get_one(Retrain, retrain_id)
        row.state = RETRAIN.next(row.state, "better" if better else "not_better")
        row.model_version_id, row.dataset_id = trained.version.id, trained.dataset.id
        row.gates, row.finished_at = list(trained.run.gates), time.time()
    return trained


def _move(workspace: Workspace, retrain_id: int, event: str, reason: str | None = None) -> None:
    with workspace.registry.session() as session:
        row = session.get_one(Retrain, retrain_id)
        if event == "started" and row.state == "TRAINING":
            row.state = RETRAIN.next(row.state, "interrupted")  # an earlier attempt was cut off
        row.state = RETRAIN.next(row.state, event)
        row.reason = reason or row.reason
        session.add(row)


def _retrain(workspace: Workspace, retrain_id: int, progress: Progress | None) -> Trained:
    with workspace.registry.session() as session:
        retrain = session.get_one(Retrain, retrain_id)
        alert = session.get_one(Alert, retrain.alert_id)
        old = session.get_one(ModelVersion, alert.model_version_id)
        run = session.get_one(Run, old.run_id)
        parent = session.get_one(DatasetVersion, run.dataset_id)
    held_out = {name: tuple(values) for name, values in run.record.get("holdout", {}).items()}
    recipe = with_holdout(load_recipe(find_recipe(run.recipe)), held_out)
    if recipe.finds_anomalies:
        raise DataError(
            f"{old.model} learns from normal inputs only, and labelled samples of a changed world are not that",
            fix=f"add recordings of the new normal with edgeops data add, then: edgeops train {old.model}",
        )
    dataset, row, captured = _extended(workspace, old, parent)
    with workspace.registry.session() as session:
        session.get_one(Retrain, retrain_id).samples = captured
    result = train(recipe, dataset, retrain.seed or run.seed, progress)
    old_tflite = workspace.blobs.get(old.artifact_sha256)
    old_steps = PlanShelf(workspace.blobs).manifest(old.manifest_sha256 or "").preprocessing
    gates = judge_retrain(
        recipe,
        old_captured=evaluate_part(recipe, old_tflite, dataset, Part.CAPTURE_HOLDOUT, old_steps),
        new_captured=evaluate_part(recipe, result.tflite, dataset, Part.CAPTURE_HOLDOUT, result.steps),
        old_test=evaluate_part(recipe, old_tflite, dataset, Part.TEST, old_steps),
        new_test=result.int8_metrics,
    )
    return register(
        workspace, recipe, row, result, (*result.gates, *gates), parent_id=old.id, retrain_id=retrain_id
    )


def _extended(
    workspace: Workspace, old: ModelVersion, parent: DatasetVersion
) -> tuple[Dataset, DatasetVersion, int]:
    """The parent's dataset with the labelled captured samples as its next version."""
    base, _ = load_dataset(workspace, f"{parent.name}@{parent.version}")
    with workspace.registry.session() as session:
        samples = labelled_samples(session, old)
        next_version = _next_version(session, parent.name)
    if not samples:
        raise DataError(
            f"no labelled samples of {old.model}@{old.version} have come",
            fix="let devices capture (see [capture] in edgeops.toml) and send their truths with agent.feedback",
        )
    manifest = PlanShelf(workspace.blobs).manifest(old.manifest_sha256 or "")
    shape = manifest.input.spec.shape
    inputs = np.stack(
        [raw_input(manifest, np.frombuffer(s.tensor, np.int8).reshape(shape)) for s, _ in samples]
    ).reshape(len(samples), *base.item_shape)
    targets = np.array([truth for _, truth in samples], np.int64)
    origins = [f"captured:{sample.device_id}" for sample, _ in samples]
    dataset = extend(base, inputs, targets, origins, capture_parts(inputs))
    with workspace.registry.session() as session:
        same = session.exec(
            select(DatasetVersion).where(
                DatasetVersion.name == dataset.name, DatasetVersion.sha256 == dataset.sha256
            )
        ).first()
    if same is not None:
        return dataset, same, len(samples)
    dataset = dataclasses.replace(dataset, version=next_version)
    return dataset, register_dataset(workspace, dataset, parent.id, []), len(samples)


def _next_version(session: Session, name: str) -> int:
    query = select(func.max(DatasetVersion.version)).where(DatasetVersion.name == name)
    return int(session.exec(query).one() or 0) + 1
