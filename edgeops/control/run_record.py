"""What a training run keeps beside its metrics: settings, environment, curves, and what a model card draws."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.control.runs import flat
from edgeops.core.errors import UsageError
from edgeops.core.features.steps import named_parameters
from edgeops.core.manifest import Step
from edgeops.core.outputs import error_unit
from edgeops.registry.tables import Run
from edgeops.training.pipeline import TrainingResult, versions
from edgeops.training.recipe import Recipe
from edgeops.training.recipe.load import recipe_of, with_holdout
from edgeops.training.schema import Source

_GIT_TIMEOUT_S = 5.0
_BINS = 16
# what is said elsewhere in the record, or changes nothing about the model
_NOT_SETTINGS = ("path", "digest", "name", "description", "search", "report", "package")


def record_of(recipe: Recipe, result: TrainingResult, weights_sha256: str) -> dict[str, Any]:
    """What a run keeps beside its metrics, so that it can be shown, explained and trained again."""
    record = {
        "recipe_text": recipe.path.read_text(),
        "code_sha256": _code_digest(recipe),
        "description": recipe.description,
        "not_for": list(recipe.report.not_for),
        "holdout": {name: list(values) for name, values in recipe.split.holdout.items()},
        "parameters": dict(recipe.architecture.parameters),
        "architecture": recipe.architecture.kind,
        "task": recipe.task,
        "settings": settings_of(recipe),
        "parts": {part: dict(counts) for part, counts in result.parts.items()},
        "curves": [dict(figures) for figures in result.curves],
        "notes": dict(result.notes),
        "calibration": _calibration(result),
        "environment": environment(recipe.path.parent),
        "weights_sha256": weights_sha256,
    }
    if result.threshold is not None:
        record["anomalies"] = {
            "threshold": result.threshold * error_unit(result.input, result.output),
            "scores": {
                label: _histogram(result.test_outputs[result.test_targets == target, 1])
                for target, label in enumerate(result.labels)
            },
        }
    return record


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Every value of the recipe that decides the model, defaults filled in, as plain data."""
    values = {
        entry.name: _plain(getattr(recipe, entry.name))
        for entry in dataclasses.fields(recipe)
        if entry.name not in _NOT_SETTINGS
    }
    values["architecture"] = {"kind": recipe.architecture.kind, **_plain(recipe.architecture.parameters)}
    del values["data"]["hint"]
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Step):
        return {"op": value.op, **_plain(named_parameters(value))}
    if dataclasses.is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


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


def recorded_recipe(run: Run) -> Recipe:
    """The recipe of a run as it was trained; an architecture of its own is taken from beside the original.

    Raises ``UsageError`` for a run of an older registry, which kept no recipe, and ``ConfigError`` where the
    recipe's code is gone.
    """
    text = run.record.get("recipe_text")
    if not text:
        raise UsageError(
            f"run {run.id} was recorded without its recipe, by an older version of EdgeOps",
            fix=f"edgeops train {run.recipe} --seed {run.seed}",
        )
    recipe = recipe_of(Source(Path(run.recipe), text), tomllib.loads(text))
    return with_holdout(recipe, {key: tuple(values) for key, values in run.record["holdout"].items()})


def changed_since(run: Run, recipe: Recipe) -> dict[str, tuple[str, str]]:
    """How ``recorded_recipe`` is not what was trained: name to (then, now); nothing where it is.

    A key that recipes did not have yet is left out: it is at its default.
    """
    found = {}
    before, now = run.record.get("code_sha256", ""), _code_digest(recipe)
    if before != now:
        found["code"] = (before, now)
    then, at = flat(run.record.get("settings", {})), flat(settings_of(recipe))
    for key in then:
        if then[key] != at.get(key):
            found[key] = (str(then[key]), str(at.get(key)))
    return found


def _code_digest(recipe: Recipe) -> str:
    if recipe.architecture.python is None:
        return ""
    return hashlib.sha256(recipe.architecture.python[0].read_bytes()).hexdigest()


def _calibration(result: TrainingResult) -> list[dict[str, float]]:
    """Per confidence bin of the int8 model on the test part: how many, mean confidence, share that was right."""
    scores = (result.test_outputs.astype(float) + 128) / 256
    right = scores.argmax(axis=1) == result.test_targets
    confidence = scores.max(axis=1)
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return [
        {
            "n": int((bins == index).sum()),
            "confidence": float(confidence[bins == index].mean()),
            "accuracy": float(right[bins == index].mean()),
        }
        for index in np.unique(bins)
    ]


def _histogram(scores: NDArray[np.int8]) -> list[int]:
    """How many anomaly scores lie in each sixteenth of 0..1."""
    return [int(n) for n in np.bincount((scores.astype(int) + 128) * _BINS // 256, minlength=_BINS)]


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
