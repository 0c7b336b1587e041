"""Searching in a workspace: a recipe, a target and a number of trials in, the front of what fits out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgeops.control.recipes import recipe_path
from edgeops.control.search_file import SearchFile, open_search
from edgeops.control.search_results import DOES_NOT_FIT, FoundTrial, front_of
from edgeops.control.search_workers import Workers
from edgeops.control.training_jobs import dataset_of
from edgeops.control.workspace import Workspace
from edgeops.core.errors import CheckFailed, EdgeOpsError, TrainingDiverged, UsageError
from edgeops.core.topics import check_name
from edgeops.files import write_atomic
from edgeops.reports.pareto import Point, pareto_picture
from edgeops.targets.catalogue import Target, find_target
from edgeops.targets.check import check_fit
from edgeops.training.pipeline import check_match
from edgeops.training.recipe import RECIPE_FILE, Recipe
from edgeops.training.recipe.load import read_document, recipe_of
from edgeops.training.recipe.write import to_toml
from edgeops.training.search_space import Values, apply_values, search_space
from edgeops.training.search_trial import TargetFit, TrialFigures, TrialJob, run_trial

FOLDER = "search"
# that a trial fails is its own affair; that the first ones all do is the search's
_FAILURES_IN_A_ROW = 3

Trial = Callable[[Values], TrialFigures]
"""What a worker is given: picklable, from a trial's values to its figures."""

Told = Callable[[FoundTrial, int], None]
"""Called after each trial with it and how many are finished."""


@dataclass(frozen=True)
class Search:
    """A search of a workspace, ready to run or to go on."""

    name: str
    path: Path
    recipe: Recipe
    target: Target
    job: TrialJob
    identity: Mapping[str, Any]

    @property
    def measure(self) -> str:
        """What quality is, in a word."""
        return "explained" if self.recipe.finds_anomalies else "accuracy"


@dataclass(frozen=True)
class Outcome:
    """What a search has found so far."""

    search: Search
    trials: tuple[FoundTrial, ...]

    @property
    def front(self) -> list[FoundTrial]:
        """The trials that no other beats in quality and arena, the smallest arena first."""
        return front_of(self.trials)

    @property
    def best(self) -> FoundTrial | None:
        """The one of the highest quality; of several, that with the smallest arena."""
        front = self.front
        return front[-1] if front else None

    def to_dict(self) -> dict[str, Any]:
        """The document of ``edgeops search --json``."""
        best = self.best
        return {
            "search": self.search.name,
            "file": str(self.search.path),
            **self.search.identity,
            "measure": self.search.measure,
            "space": [
                {key: value for key, value in asdict(dimension).items() if value not in ((), None)}
                for dimension in self.search.job.space
            ],
            "front": [trial.number for trial in self.front],
            "best": None if best is None else best.number,
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def picture(self) -> str:
        """The trials that fit and the front as SVG."""
        front = {trial.number for trial in self.front}
        points = []
        for trial in self.trials:
            if trial.figures is not None and trial.figures.feasible and trial.figures.fit is not None:
                latency = trial.figures.fit.latency_ms
                points.append(
                    Point(
                        str(trial.number),
                        trial.quality,
                        trial.arena_bytes,
                        None if latency is None else latency[1],
                        trial.number in front,
                    )
                )
        target = self.search.target
        return pareto_picture(
            f"{self.search.recipe.name} on {target.name}: {self.search.measure} against arena",
            self.search.measure,
            points,
            len(self.trials) - len(points),
            "measured" if target.runtime == "tflm" else "calculated",
        )


def prepare_search(
    workspace: Workspace,
    recipe_text: str,
    target_text: str,
    dataset_text: str | None = None,
    epochs: int | None = None,
    seed: int = 1,
    name: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Search:
    """Read recipe, space, target and dataset; nothing is trained.

    A dataset without a recipe gets a first one, of which ``say`` is told.

    Raises ``ConfigError`` for a recipe or a space that is not as it should be, or that does not belong to the
    dataset; ``NotFoundError`` for what is not there; ``UsageError`` for a name that is none.
    """
    source, document = read_document(recipe_path(workspace, recipe_text, say))
    recipe = recipe_of(source, document)
    space = search_space(source, document)
    target = find_target(target_text)
    dataset, row = dataset_of(workspace, recipe, dataset_text)
    check_match(recipe, dataset)
    chosen = check_name(name or f"{recipe.name}-{target.name}", "search")
    plain_space = json.dumps([asdict(dimension) for dimension in space], sort_keys=True, default=str)
    identity = {
        "recipe": recipe.digest[:12],
        "space": hashlib.sha256(plain_space.encode()).hexdigest()[:12],
        "target": target.name,
        "dataset": f"{row.name}@{row.version}",
        "epochs": epochs or recipe.training.epochs,
        "seed": seed,
    }
    job = TrialJob(source, document, space, (workspace.root / row.folder).resolve(), seed, epochs)
    return Search(chosen, workspace.root / FOLDER / f"{chosen}.db", recipe, target, job, identity)


def run(search: Search, trials: int, workers: Workers, told: Told) -> Outcome:
    """Go on until so many trials are finished; what is there already counts.

    Raises ``EdgeOpsError`` when a worker process died or the first trials all failed, and what a trial raises
    that would be the same for each: a dataset that cannot be used, an extra that is missing.
    """
    trial = partial(run_trial, search.job, partial(fit_on, search.target))
    with open_search(search.path, search.identity, search.job.space, search.job.seed) as file:
        run_trials(file, trials, workers, trial, told)
        return Outcome(search, tuple(file.trials))


def look(search: Search) -> Outcome:
    """What is found already, nothing where the search has not begun; raises as ``open_search`` does."""
    if not search.path.exists():
        return Outcome(search, ())
    with open_search(search.path, search.identity, search.job.space, search.job.seed) as file:
        return Outcome(search, tuple(file.trials))


def run_trials(file: SearchFile, trials: int, workers: Workers, trial: Trial, told: Told) -> None:
    """Ask, run and tell, as many at a time as there are workers, until ``trials`` are finished."""
    running: dict[Future[TrialFigures], int] = {}
    failures = 0
    try:
        while True:
            while len(running) < workers.count and file.count + len(running) < trials:
                number, values = file.ask()
                known = file.known(values)
                if known is not None and known.figures is not None:
                    told(file.tell(number, known.figures), file.count)
                else:
                    running[workers.executor.submit(trial, values)] = number
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda one: running[one]):
                found = _result(file, running[future], future)
                del running[future]
                failures = failures + 1 if found.figures is None else 0
                told(found, file.count)
                if failures >= _FAILURES_IN_A_ROW and failures == file.count:
                    raise EdgeOpsError(
                        f"the first {failures} trials failed, the last with: {found.error}",
                        fix="train the recipe once: edgeops train --help",
                    )
    except BrokenExecutor as error:
        file.release(repeat=False)
        raise EdgeOpsError(
            "a worker process died, which is most often for want of memory; what was found is kept",
            fix="run the same search again to go on, with fewer --workers",
        ) from error
    finally:
        for future in running:
            future.cancel()


def _result(file: SearchFile, number: int, future: Future[TrialFigures]) -> FoundTrial:
    """Tell what came of a trial; what would be the same for every trial is raised."""
    error = future.exception()
    if error is None:
        return file.tell(number, future.result())
    if isinstance(error, TrainingDiverged):  # that is the values' fault, not the search's
        return file.fail(number, error.message)
    if isinstance(error, EdgeOpsError | BrokenExecutor) or not isinstance(error, Exception):
        raise error
    return file.fail(number, f"{type(error).__name__}: {error}".splitlines()[0])


def fit_on(target: Target, tflite: bytes) -> TargetFit:
    """Whether a model fits a target, as a trial asks it."""
    report = check_fit(tflite, target)
    latency = report.latency_ms
    shares = [report.flash_bytes / target.flash_bytes]
    if report.arena_bytes is not None:
        shares.append(report.arena_bytes / target.arena_ram_bytes)
    if report.ram_bytes is not None:
        shares.append(report.ram_bytes / target.ram_bytes)
    return TargetFit(
        fits=report.fits,
        reasons=report.reasons,
        flash_bytes=report.flash_bytes,
        arena_bytes=report.arena_bytes,
        macs=report.macs,
        latency_ms=(latency["low"], latency["high"]) if {"low", "high"} <= latency.keys() else None,
        share=None if report.arena_bytes is None else max(shares),
        undecided=report.arena_bytes is None and not report.unsupported_ops and len(report.reasons) == 1,
    )


def require_front(outcome: Outcome) -> FoundTrial:
    """The best trial; raises ``CheckFailed`` with what came nearest where none fits."""
    if outcome.best is not None:
        return outcome.best
    failed = [trial for trial in outcome.trials if trial.figures is None]
    if failed and len(failed) == len(outcome.trials):
        raise CheckFailed(
            f"every one of {len(failed)} trials failed, the last with: {failed[-1].error}",
            fix="train the recipe once: edgeops train --help; then search under another --name",
        )
    if not outcome.trials:
        raise CheckFailed("no trial is there yet", fix="search with --trials 1 or more")
    near = min(
        (trial for trial in outcome.trials if trial.state == DOES_NOT_FIT),
        key=lambda trial: trial.figures.violation if trial.figures else 1.0,
        default=None,
    )
    why = f"; the nearest, trial {near.number}: {near.to_dict()['reasons'][0]}" if near else ""
    besides = f", {len(failed)} failed" if failed else ""
    raise CheckFailed(
        f"none of {len(outcome.trials)} trials fits {outcome.search.target.name}{besides}{why}",
        fix="search with more --trials, a smaller space under [search], or a larger target",
    )


def refuse_existing(folder: Path) -> None:
    """Raise ``UsageError`` where a recipe would be written over."""
    if (folder / RECIPE_FILE).exists():
        raise UsageError(
            f"{folder / RECIPE_FILE} exists already", fix="name another folder: --out", path=str(folder)
        )


def save_recipe(outcome: Outcome, trial: FoundTrial, folder: Path) -> Path:
    """Write the recipe of a trial, with the code that it names; returns its path.

    The epochs are the recipe's own, and the target that it was found for is among its targets, so that
    training proves the fit again.
    """
    refuse_existing(folder)
    search = outcome.search
    document = apply_values(search.job.document, search.job.space, trial.values)
    targets = document.setdefault("targets", {})
    if search.target.name not in targets.get("names", []):
        targets["names"] = [*targets.get("names", []), search.target.name]
    head = (
        f"# Found by edgeops search {search.name}, trial {trial.number}: {search.measure} "
        f"{trial.quality:.4f} on the validation part after {search.identity['epochs']} epochs,\n"
        f"# arena {trial.arena_bytes} bytes on {search.target.name}.\n\n"
    )
    code = search.recipe.architecture.python
    if code is not None:
        name = document["architecture"]["python"].partition(":")[0]
        write_atomic(folder / name, code[0].read_bytes())
    path = folder / RECIPE_FILE
    write_atomic(path, (head + to_toml(document)).encode())
    return path
