"""Training runs as they were recorded: listing, showing, comparing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError
from edgeops.registry.tables import DatasetVersion, ModelVersion, Run
from edgeops.training.architectures.catalogue import ARCHITECTURES
from edgeops.training.recipe.keys import AUGMENTATION, DISTILLATION, PRUNING, SECTIONS
from edgeops.training.schema import Key

# long, and said in another way
_NOT_SHOWN = ("recipe_text", "calibration", "anomalies")
_COMPARED = ("task", "settings", "environment", "notes", "code_sha256")
_NOT_COMPARED = ("run", "created", "seconds", "int8", "float")


def run_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Every run, the newest first, with what it became."""
    with workspace.registry.reading() as session:
        return [_row(session, run) for run in session.exec(select(Run).order_by(col(Run.id).desc()))]


def run_facts(workspace: Workspace, run_id: int) -> dict[str, Any]:
    """One run, whole; raises ``NotFoundError``."""
    with workspace.registry.reading() as session:
        run = find_run(session, run_id)
        record = {key: value for key, value in run.record.items() if key not in _NOT_SHOWN}
        return {**_row(session, run), "metrics": run.metrics, "gates": run.gates, **record}


def compare_runs(workspace: Workspace, first: int, second: int) -> list[dict[str, Any]]:
    """What differs between two runs, one row a fact: name, and its value in each.

    What was measured is among it even where it is the same, and comes first; a list of steps is one fact.
    Nothing where the runs do not differ.
    """
    with workspace.registry.reading() as session:
        both = [
            flat(_comparable(session, find_run(session, number)), lists=False) for number in (first, second)
        ]
    names = sorted(both[0].keys() | both[1].keys(), key=lambda name: (not _measured(name), name))
    differ = {name for name in names if both[0].get(name) != both[1].get(name)}
    return [
        {"what": name, f"run_{first}": both[0].get(name), f"run_{second}": both[1].get(name)}
        for name in names
        if name in differ or (differ and _measured(name))
    ]


def changed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run's record that are not at a recipe's default, by dotted names."""
    built_in = ARCHITECTURES.get(str(settings.get("architecture", {}).get("kind")))
    keys: dict[str, Key] = {
        **{
            f"{section}.{name}": key
            for section, inner in SECTIONS.items()
            if section != "recipe"
            for name, key in inner.items()
        },
        "task": SECTIONS["recipe"]["task"],
        **{f"training.augmentation.{name}": key for name, key in AUGMENTATION.items()},
        **{f"training.pruning.{name}": key for name, key in PRUNING.items()},
        **{f"training.distillation.{name}": key for name, key in DISTILLATION.items()},
        **{f"architecture.{name}": key for name, key in (built_in.parameters if built_in else {}).items()},
    }
    return {
        name: value
        for name, value in flat(dict(settings), lists=False).items()
        if name not in keys or value != keys[name].default
    }


def _measured(name: str) -> bool:
    return name.startswith("metrics.")


def find_run(session: Session, run_id: int) -> Run:
    """A run; raises ``NotFoundError``."""
    run = session.get(Run, run_id)
    if run is None:
        raise NotFoundError(f"no run {run_id}", fix="edgeops run list shows what there is")
    return run


def version_of(session: Session, run: Run) -> ModelVersion:
    """The model version that a run became, registered or rejected."""
    return session.exec(select(ModelVersion).where(ModelVersion.run_id == run.id)).one()


def _row(session: Session, run: Run) -> dict[str, Any]:
    version = version_of(session, run)
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
    row = {key: value for key, value in _row(session, run).items() if key not in _NOT_COMPARED}
    metrics = {
        name: {key: values[key] for key in ("accuracy", "auc") if key in values}
        for name, values in run.metrics.items()
    }
    return {**row, "metrics": metrics, **{key: run.record.get(key) for key in _COMPARED}}


def flat(value: Any, name: str = "", *, lists: bool = True) -> dict[str, Any]:
    """Nested values by dotted names: ``preprocessing.steps.0.factor``, or the steps whole without ``lists``."""
    if lists and isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found.update(flat(inner, f"{name}.{key}" if name else str(key), lists=lists))
    return found
