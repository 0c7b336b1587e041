"""Training in a workspace: recipe and dataset in, a gated, signed, registered model version out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlmodel import Session, col, func, select

from edgeops.control.datasets import load_dataset
from edgeops.control.fit_reports import fit_report
from edgeops.control.model_cards import write_cards
from edgeops.control.packaging import COMPILES, forms_of, gate_of, packaged
from edgeops.control.recipes import recipe_path
from edgeops.control.run_record import record_of
from edgeops.control.workspace import Workspace
from edgeops.core.errors import GateFailed, NotFoundError, StorageError, UsageError
from edgeops.data.dataset import Dataset
from edgeops.registry.artifacts import as_rows
from edgeops.registry.artifacts import forms_of as forms_of_version
from edgeops.registry.tables import DatasetVersion, ModelVersion, Run
from edgeops.targets.catalogue import find_target
from edgeops.training.fit import Progress
from edgeops.training.gates import BEATS_OLD, NO_SLICE_WORSE, NO_WORSE, FitFinding, Gate
from edgeops.training.package import Package, reference_file
from edgeops.training.pipeline import TrainingResult, check, train
from edgeops.training.recipe import Recipe, load_recipe
from edgeops.training.recipe.load import with_holdout
from edgeops.training.recipe.wrong import wrong
from edgeops.training.weights import to_bytes

_OF_RETRAINS = (BEATS_OLD, NO_WORSE, NO_SLICE_WORSE)
NO_HOLDOUT: Mapping[str, tuple[str, ...]] = MappingProxyType({})
NOTHING_MORE: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True)
class Trained:
    """What ``edgeops train`` tells; plain data in ``as_dict``.

    ``same_as`` names the first version of the model that has the same bytes, where there was one.
    """

    version: ModelVersion
    run: Run
    dataset: DatasetVersion
    same_as: str | None = None

    def as_dict(self) -> dict[str, object]:
        """The document of ``edgeops train --json``."""
        return {
            "model": self.version.model,
            "version": self.version.version,
            "state": self.version.state,
            "run": self.run.id,
            "seed": self.run.seed,
            "dataset": {
                "name": self.dataset.name,
                "version": self.dataset.version,
                "sha256": self.dataset.sha256,
            },
            "metrics": self.run.metrics,
            "artifact": {"sha256": self.version.artifact_sha256, "bytes": self.version.artifact_bytes},
            "artifacts": [form.as_dict() for form in forms_of_version(self.version)],
            "not_packaged": self.run.record.get("not_packaged", {}),
            "same_as": self.same_as,
            "manifest": self.version.manifest_sha256,
            "gates": self.run.gates,
            "seconds": round(self.run.seconds, 2),
        }


def train_and_register(
    workspace: Workspace,
    recipe_text: str,
    dataset_text: str | None,
    seed: int,
    progress: Progress | None = None,
    holdout: Mapping[str, tuple[str, ...]] = NO_HOLDOUT,
) -> Trained:
    """Train a recipe and register the result, as ``rejected`` when a gate said no.

    ``holdout`` (slice to values) replaces what the recipe holds out; such a version is registered as
    ``evaluation``, and not for devices. ``progress`` is told of epoch 0 when all that can be checked before has
    been. Nothing is registered before everything is measured, packaged and stored. Raises ``NotFoundError`` with
    the recipe's hint where there is no data.
    """
    own = load_recipe(recipe_path(workspace, recipe_text))
    recipe = with_holdout(own, holdout)
    dataset, row = dataset_of(workspace, recipe, dataset_text)
    check_targets(recipe)
    check(recipe, dataset)
    if progress is not None:
        progress(0, recipe.training.epochs, {})
    result = train(recipe, dataset, seed, progress, fit_check)
    for_devices = recipe.digest == own.digest
    return register(workspace, recipe, row, result, result.gates, for_devices=for_devices)


def register(
    workspace: Workspace,
    recipe: Recipe,
    dataset: DatasetVersion,
    result: TrainingResult,
    gates: tuple[Gate, ...],
    *,
    parent_id: int | None = None,
    retrain_id: int | None = None,
    for_devices: bool = True,
    more: Mapping[str, object] = NOTHING_MORE,
) -> Trained:
    """Package, sign, store and register a training result as the next version of the recipe's model.

    One that a gate rejected, or that is not ``for_devices``, is not packaged and signed. Its float weights go
    into the blob store, and its card into ``cards/`` of the workspace. ``more`` goes into the run's record.
    Raises ``StorageError`` when the disk is full: then nothing is registered, or, as it says, all but the card.
    """
    forms = forms_of(recipe, result)
    gates = (*gates, *gate_of(recipe, forms))
    passed = all(gate.passed for gate in gates)
    state = ("registered" if for_devices else "evaluation") if passed else "rejected"
    # what takes time comes before the transaction, for which everybody else who writes waits
    record = record_of(recipe, result, workspace.blobs.put(to_bytes(result.fitted.model)))
    reference = reference_file(result, recipe.observe.features, ordered=recipe.data.window > 0)
    record["drift_reference_sha256"] = workspace.blobs.put(reference)
    record.update(more)
    artifact = workspace.blobs.put(result.tflite)
    with workspace.registry.session() as session:
        number = _next_version(session, recipe.name)
        same = session.exec(
            select(ModelVersion.version)
            .where(ModelVersion.model == recipe.name, ModelVersion.artifact_sha256 == artifact)
            .order_by(col(ModelVersion.version))
        ).first()
        made = packaged(workspace, recipe, result, number, forms) if state == "registered" else None
        record["not_packaged"] = dict(made.left_out) if made else {}
        run = Run(
            recipe=str(recipe.path),
            recipe_digest=recipe.digest,
            dataset_id=dataset.id or 0,
            retrain_id=retrain_id,
            seed=result.seed,
            metrics={"float": result.float_metrics.to_dict(), "int8": result.int8_metrics.to_dict()},
            gates=[gate.as_dict() for gate in gates],
            versions=result.versions,
            record=record,
            seconds=result.seconds,
            created_at=time.time(),
        )
        session.add(run)
        session.flush()
        version = ModelVersion(
            model=recipe.name,
            version=number,
            state=state,
            run_id=run.id or 0,
            parent_id=parent_id,
            artifact_sha256=artifact,
            artifact_bytes=len(result.tflite),
            artifacts=as_rows(made.package.manifest.artifacts) if made else [],
            manifest_sha256=_stored(workspace, made.package) if made else None,
            created_at=time.time(),
        )
        session.add(version)
    name = f"{recipe.name}@{number}"
    try:
        write_cards(workspace, name)
    except StorageError as error:
        raise StorageError(
            f"{name} is {version.state}, but it has no card yet: {error.message}",
            fix=f"free disk space, then edgeops model card {name} --out card.html",
        ) from error
    return Trained(version, run, dataset, None if same is None else f"{recipe.name}@{same}")


def dataset_of(workspace: Workspace, recipe: Recipe, text: str | None) -> tuple[Dataset, DatasetVersion]:
    """The dataset of that name, or the recipe's; where there is none, the error says where to get one."""
    try:
        return load_dataset(workspace, text or recipe.data.name)
    except NotFoundError as error:
        if text is not None or not recipe.data.hint:
            raise
        raise NotFoundError(
            f"no dataset {recipe.data.name!r} here; {recipe.name} learns from {recipe.data.hint}",
            fix=f"edgeops data add PATH --name {recipe.data.name} --kind {recipe.data.kind}",
            name=recipe.data.name,
        ) from error


def check_targets(recipe: Recipe) -> None:
    """Raise ``ConfigError`` for a target that nobody knows: before the training, not after it."""
    for target in recipe.targets.names:
        try:
            find_target(target)
        except NotFoundError as error:
            raise wrong(
                recipe,
                "targets.names",
                error.message,
                fix=f"correct 'targets.names' in {recipe.path}; edgeops target list shows all",
                value=target,
            ) from error


def fit_check(tflite: bytes, target: str) -> FitFinding:
    """Whether a model fits a target, as a gate sees it."""
    found = find_target(target)
    report = fit_report(tflite, target)
    share = max(report.flash_bytes / found.flash_bytes, (report.ram_bytes or 0) / found.ram_bytes)
    return FitFinding(target, report.fits, share, "; ".join(report.reasons))


def parse_holdout(pairs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """``["speaker=lucas", "speaker=george"]`` to ``{"speaker": ("lucas", "george")}``; ``UsageError``."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise UsageError(f"holdout {pair!r} is not SLICE=VALUE", fix="--holdout speaker=lucas")
        found[name] = (*found.get(name, ()), value)
    return found


def require_gates(trained: Trained) -> None:
    """Raise ``GateFailed`` naming what failed, when something did."""
    failed = [gate for gate in trained.run.gates if not gate["passed"]]
    if failed:
        raise GateFailed(
            f"{trained.version.model}@{trained.version.version} is rejected: "
            + "; ".join(_refusal(gate) for gate in failed),
            fix="; ".join(dict.fromkeys(_remedy(gate["name"], trained.run.recipe) for gate in failed)),
            gates=failed,
        )


def _refusal(gate: Mapping[str, Any]) -> str:
    name = gate["name"]
    if name.startswith("fits_"):
        return f"it does not fit {name.removeprefix('fits_')}: {gate['note'] or 'too large'}"
    if name == COMPILES:
        return f"it cannot be compiled to a plan: {gate['note']}"
    return f"{name}: {gate['value']:.4g} against {gate['limit']:.4g}"


def _remedy(name: str, recipe: str) -> str:
    if name.startswith("fits_"):
        target = name.removeprefix("fits_")
        return f"edgeops search {recipe} --target {target} finds a smaller model, or name a larger part under [targets]"
    if name == "no_leakage":
        return "add the data with --group, so that what belongs together is not on both sides of the split"
    if name == COMPILES:
        return f"change the layers that become these operators, or take plan out of [package] runtimes in {recipe}"
    if name in _OF_RETRAINS:
        return "capture and label more samples"
    return "improve data or recipe, or set the limit under [gates] that you can stand for"


def _next_version(session: Session, model: str) -> int:
    highest = session.exec(select(func.max(ModelVersion.version)).where(ModelVersion.model == model)).one()
    return int(highest or 0) + 1


def _stored(workspace: Workspace, package: Package) -> str:
    for blob in package.blobs:
        workspace.blobs.put(blob)
    return workspace.blobs.put(package.envelope)
