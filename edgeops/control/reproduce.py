"""Training a run once more from its record: the same bytes, or what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeops.control.datasets import load_dataset
from edgeops.control.run_record import changed_since, environment, recorded_recipe
from edgeops.control.runs import find_run, version_of
from edgeops.control.workspace import Workspace
from edgeops.core.errors import UsageError
from edgeops.registry.tables import DatasetVersion
from edgeops.training.fit import Progress
from edgeops.training.pipeline import check, train


@dataclass(frozen=True)
class Reproduced:
    """Whether the same bytes came out, and what is not as the run recorded it: name to then and now.

    With other bytes the git commit counts as well.
    """

    run: int
    same: bool
    sha256: str
    expected: str
    differs: Mapping[str, Mapping[str, str]]


def reproduce(workspace: Workspace, run_id: int, progress: Progress | None = None) -> Reproduced:
    """Train a run again from its record; nothing is registered. ``progress`` is as of ``train_and_register``.

    Raises ``NotFoundError`` for a run or dataset that is not there, ``UsageError`` for a run that was
    recorded without its recipe, or of a retrain that changed an older version, ``ConfigError`` where the code of
    the recipe's own architecture is gone.
    """
    with workspace.registry.reading() as session:
        run = find_run(session, run_id)
        row = session.get_one(DatasetVersion, run.dataset_id)
        expected = version_of(session, run).artifact_sha256
    own = f"{row.name}@{row.version}"
    strategy = run.record.get("strategy", "scratch")
    if strategy != "scratch" or run.record.get("captured_in", own) != own:
        raise UsageError(
            f"run {run_id} is a retrain by {strategy}, which began with an older version: it is not trained anew",
            fix=f"edgeops run show {run_id} tells what was made and how",
        )
    recipe = recorded_recipe(run)
    dataset, _ = load_dataset(workspace, f"{row.name}@{row.version}")
    check(recipe, dataset)
    if progress is not None:
        progress(0, recipe.training.epochs, {})
    sha256 = hashlib.sha256(train(recipe, dataset, run.seed, progress).tflite).hexdigest()
    before: Mapping[str, str] = run.record["environment"]
    now = environment(Path(run.recipe).parent)
    counted = sorted((before.keys() | now.keys()) - ({"git_commit"} if sha256 == expected else set()))
    differs = {
        **changed_since(run, recipe),
        **{name: (before.get(name, "-"), now.get(name, "-")) for name in counted},
    }
    return Reproduced(
        run_id,
        sha256 == expected,
        sha256,
        expected,
        {name: {"then": then, "now": at} for name, (then, at) in differs.items() if then != at},
    )
