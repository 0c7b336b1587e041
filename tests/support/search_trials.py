"""Trials of a search without a training: figures that follow from the values, and trials that go wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from edgeops.control.search_file import open_search
from edgeops.control.search_jobs import Trial, run_trials
from edgeops.control.search_results import FoundTrial
from edgeops.control.search_workers import Workers
from edgeops.training.search_space import Dimension, Values
from edgeops.training.search_trial import TargetFit, TrialFigures

SPACE = (
    Dimension("filters", ("architecture.filters",), low=8, high=96, step=8, whole=True, own=64),
    Dimension("rate", ("training.learning_rate",), low=1e-4, high=1e-2, log=True, own=1e-3),
)
ARENA_LIMIT = 6000
IDENTITY = {"recipe": "r1", "target": "part", "epochs": 2}


def figures(quality: float | None, arena: int, *, limit: int = ARENA_LIMIT) -> TrialFigures:
    """A trial's figures on a part with so much memory; nothing is trained where it does not fit."""
    fits = arena <= limit
    reasons = () if fits else (f"it needs an arena of {arena} bytes; there are {limit}",)
    fit = TargetFit(fits, reasons, 20_000, arena, 1000 * arena, (arena / 900, arena / 300), arena / limit)
    return TrialFigures(fit, reasons, quality if fits else None, 0.0)


def quick(values: Values) -> TrialFigures:
    """Wider is better and larger; the best learning rate is 0.001."""
    good = 0.5 + values["filters"] / 200 - abs(values["rate"] - 1e-3)
    return figures(good, 100 * values["filters"])


def sometimes_wrong(values: Values) -> TrialFigures:
    """Fails where it is narrow."""
    if values["filters"] < 40:
        raise ValueError("too narrow\nand a second line")
    return quick(values)


def always_wrong(values: Values) -> TrialFigures:
    """Fails."""
    raise RuntimeError(f"no luck with {sorted(values)}")


def dies(values: Values) -> TrialFigures:
    """Takes its process along."""
    del values
    os._exit(7)


def slow(folder: Path, values: Values) -> TrialFigures:
    """Says in a file which process it runs in, prints, and takes its time."""
    (folder / f"{os.getpid()}.pid").touch()
    print("a library talks on stdout", flush=True)
    time.sleep(30)
    return quick(values)


class AtOnce(Executor):
    """Runs what it is given before ``submit`` returns; ``stop_after`` calls it raises ``KeyboardInterrupt``."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls = 0
        self._stop_after = stop_after

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run now."""
        if self.calls == self._stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class OneOfMany(Executor):
    """Finishes the oldest only when ``at_once`` are waiting, and all with the last: nobody asks for fewer."""

    def __init__(self, at_once: int, in_all: int) -> None:
        self.most = 0
        self._at_once, self._in_all = at_once, in_all
        self._waiting: list[Callable[[], None]] = []
        self._submitted = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Keep it waiting."""
        future: Future[Any] = Future()
        self._waiting.append(lambda: future.set_result(fn(*args, **kwargs)))
        self._submitted += 1
        self.most = max(self.most, len(self._waiting))
        while len(self._waiting) >= self._at_once or (self._waiting and self._submitted == self._in_all):
            self._waiting.pop(0)()
        return future


def search(
    path: Path,
    trials: int,
    trial: Trial = quick,
    *,
    executor: Executor | None = None,
    at_once: int = 1,
    seed: int = 1,
    told: Callable[[FoundTrial, int], None] = lambda found, count: None,
    identity: dict[str, Any] = IDENTITY,
) -> list[FoundTrial]:
    """The trials of the search in ``path`` once there are so many; each is ``trial``, computed by ``executor``."""
    with open_search(path, identity, SPACE, seed) as file:
        run_trials(file, trials, Workers(executor or AtOnce(), at_once), trial, told)
        return file.trials


def found(trials: list[FoundTrial]) -> list[tuple[dict[str, Any], TrialFigures | None, str]]:
    """What was tried and what came of it, without the numbers."""
    return [(dict(trial.values), trial.figures, trial.error) for trial in trials]
