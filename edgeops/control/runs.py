"""Training runs as they were recorded: listing, comparing, and training one once more."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.datasets import load_dataset
from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.registry.tables import DatasetVersion, ModelVersion, Run
from edgeops.training.fit import Progress
from edgeops.training.pipeline import TrainingResult, train, versions
from edgeops.training.recipe import Recipe, load_recipe
from edgeops.training.recipe.load import RECIPE_FILE, with_holdout

_GIT_TIMEOUT_S = 5.0


def environment(folder: Path) -> dict[str, str]:
    """What a training ran on: interpreter, system, and the git commit that ``folder`` is at, if it is in one."""
    found = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        **versions(),
    }
    commit = _git(folder, "rev-parse", "HEAD")
    if commit:
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
        found["git_commit"] = f"{commit}{' with changes' if changed else ''}"
    return found


def record_of(recipe: Recipe, result: TrainingResult) -> dict[str, Any]:
    """What a run keeps beside its metrics, so that it can be shown and trained again."""
    return {
        "recipe_text": recipe.path.read_text(),
        "description": recipe.description,
        "holdout": {name: list(values) for name, values in recipe.split.holdout.items()},
        "parameters": dict(recipe.architecture.parameters),
        "architecture": recipe.architecture.kind,
        "task": recipe.task,
        "curves": [dict(figures) for figures in result.curves],
        "notes": dict(result.notes),
        "calibration": _calibration(result),
        "environment": environment(recipe.path.parent),
    }


def _calibration(result: TrainingResult, bins: int = 16) -> list[dict[str, float]]:
    """Per confidence bin of the int8 model on the test part: how many, mean confidence, share that was right."""
    scores = (result.test_outputs.astype(float) + 128) / 256
    predicted = scores.argmax(axis=1)
    confidence = scores.max(axis=1)
    rows = []
    for index in range(bins):
        upper = index == bins - 1
        chosen = (confidence >= index / bins) & ((confidence < (index + 1) / bins) | upper)
        if chosen.any():
            right = predicted[chosen] == result.test_targets[chosen]
            rows.append(
                {
                    "n": int(chosen.sum()),
                    "confidence": float(confidence[chosen].mean()),
                    "accuracy": float(right.mean()),
                }
            )
    return rows


def run_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Every run, the newest first, with what it became."""
    with workspace.registry.reading() as session:
        return [_row(session, run) for run in session.exec(select(Run).order_by(col(Run.id).desc()))]


def run_facts(workspace: Workspace, run_id: int) -> dict[str, Any]:
    """One run, whole; raises ``NotFoundError``."""
    with workspace.registry.reading() as session:
        run = _find(session, run_id)
        record = {key: value for key, value in run.record.items() if key != "recipe_text"}
        return {**_row(session, run), "metrics": run.metrics, "gates": run.gates, **record}


def compare_runs(workspace: Workspace, first: int, second: int) -> list[dict[str, Any]]:
    """What differs between two runs, one row a fact: name, and its value in each."""
    with workspace.registry.reading() as session:
        flat = [_flat(_comparable(session, _find(session, number))) for number in (first, second)]
    names = sorted(flat[0].keys() | flat[1].keys())
    return [
        {"what": name, f"run_{first}": flat[0].get(name), f"run_{second}": flat[1].get(name)}
        for name in names
        if flat[0].get(name) != flat[1].get(name)
    ]


@dataclass(frozen=True)
class Reproduced:
    """Whether the same bytes came out, and if not, what differs from the run's record."""

    run: int
    same: bool
    sha256: str
    expected: str
    differs: dict[str, dict[str, str]]


def reproduce(workspace: Workspace, run_id: int, progress: Progress | None = None) -> Reproduced:
    """Train a run again from its record; nothing is registered.

    Raises ``NotFoundError`` for a run or dataset that is not there, ``UsageError`` for a run that was
    recorded without its recipe, or whose architecture is code of its own.
    """
    with workspace.registry.reading() as session:
        run = _find(session, run_id)
        dataset_row = session.get_one(DatasetVersion, run.dataset_id)
        expected = _version_of(session, run).artifact_sha256
    if not run.record.get("recipe_text"):
        raise UsageError(
            f"run {run_id} was recorded without its recipe",
            fix=f"edgeops train {run.recipe} --seed {run.seed}",
        )
    with tempfile.TemporaryDirectory(prefix="edgeops-reproduce-") as folder:
        path = Path(folder) / RECIPE_FILE
        path.write_text(run.record["recipe_text"])
        recipe = load_recipe(_beside_its_code(run, path))
        recipe = with_holdout(recipe, {k: tuple(v) for k, v in run.record.get("holdout", {}).items()})
        dataset, _ = load_dataset(workspace, f"{dataset_row.name}@{dataset_row.version}")
        result = train(recipe, dataset, run.seed, progress)
        now = environment(path.parent)
    found = hashlib.sha256(result.tflite).hexdigest()
    before: Mapping[str, str] = run.record.get("environment", {})
    differs = {
        name: {"then": str(before.get(name, "-")), "now": str(now.get(name, "-"))}
        for name in sorted((before.keys() | now.keys()) - {"git_commit"})
        if before.get(name) != now.get(name)
    }
    return Reproduced(run_id, found == expected, found, expected, differs)


def _beside_its_code(run: Run, path: Path) -> Path:
    """Where the recipe is read from: an architecture of its own stands beside the original only."""
    if run.record.get("architecture") != "python":
        return path
    original = Path(run.recipe)
    if not original.is_file() or original.read_text() != run.record["recipe_text"]:
        raise UsageError(
            f"run {run.id} has an architecture of its own, and {run.recipe} is not there as it was",
            fix="check out the commit that edgeops run show names",
        )
    return original


def _find(session: Session, run_id: int) -> Run:
    run = session.get(Run, run_id)
    if run is None:
        raise NotFoundError(f"no run {run_id}", fix="edgeops run list shows what there is")
    return run


def _version_of(session: Session, run: Run) -> ModelVersion:
    return session.exec(select(ModelVersion).where(ModelVersion.run_id == run.id)).one()


def _row(session: Session, run: Run) -> dict[str, Any]:
    version = _version_of(session, run)
    dataset = session.get_one(DatasetVersion, run.dataset_id)
    return {
        "run": run.id,
        "model": f"{version.model}@{version.version}",
        "state": version.state,
        "dataset": f"{dataset.name}@{dataset.version}",
        "seed": run.seed,
        "int8": run.metrics["int8"].get("auc", run.metrics["int8"]["accuracy"]),
        "float": run.metrics["float"].get("auc", run.metrics["float"]["accuracy"]),
        "bytes": version.artifact_bytes,
        "seconds": round(run.seconds, 1),
        "created": run.created_at,
        "sha256": version.artifact_sha256,
        "recipe": run.recipe,
    }


def _comparable(session: Session, run: Run) -> dict[str, Any]:
    kept = ("architecture", "parameters", "holdout", "environment", "notes")
    row = {
        key: value for key, value in _row(session, run).items() if key not in ("run", "created", "seconds")
    }
    metrics = {
        name: {key: values[key] for key in ("accuracy", "auc") if key in values}
        for name, values in run.metrics.items()
    }
    return {**row, "metrics": metrics, **{key: run.record.get(key) for key in kept}}


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found.update(_flat(inner, f"{name}.{key}" if name else str(key)))
    return found


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # no git, or no repository: then there is no commit to name
        return ""
    return done.stdout.strip()
