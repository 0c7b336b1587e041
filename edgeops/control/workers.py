"""Where a retrain is carried out: in a process of its own, and what is computed there or on a Dask cluster.

The process reads and writes the registry; a cluster gets data and gives results, and needs no workspace.
"""

from __future__ import annotations

import copyreg
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from edgeops.control.retraining import run_retrain
from edgeops.control.search_workers import dask_workers, start_worker
from edgeops.control.workspace import Workspace
from edgeops.core.errors import EdgeOpsError, MissingExtra, UnreachableError
from edgeops.registry.tables import Retrain
from edgeops.training.climbing import Climbing, climb_through
from edgeops.training.ladder import climb


def _reduce(mapping: MappingProxyType[Any, Any]) -> tuple[type, tuple[dict[Any, Any]]]:
    return MappingProxyType, (dict(mapping),)


copyreg.pickle(MappingProxyType, _reduce)  # a recipe has some, and travels to workers


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended: the retrain's state then, and what went wrong; ``away``: the cluster did not answer."""

    state: str
    trouble: str = ""
    away: bool = False


class Job(Protocol):
    """What a worker is given; picklable."""

    def __call__(self, root: str, retrain_id: int, dask: str) -> Ended:
        """Carry out a retrain of the workspace at ``root``."""


def carry_out(root: str, retrain_id: int, dask: str) -> Ended:
    """Run a retrain in this process, and compute on the cluster at ``dask`` where there is an address.

    What the retrain came to stands in its row. An ``EdgeOpsError`` is told; a worker that is lost ends this one too,
    and the row stays ``TRAINING`` for whoever takes it up again.
    """
    workspace = Workspace(Path(root))
    trouble, away = "", False
    try:
        with climbing_on(dask) as climbing:
            run_retrain(workspace, retrain_id, climbing=climbing)
    except (UnreachableError, MissingExtra) as error:
        trouble, away = error.message, True
    except EdgeOpsError as error:
        trouble = error.message
    with workspace.registry.reading() as session:
        return Ended(session.get_one(Retrain, retrain_id).state, trouble, away)


@contextmanager
def climbing_on(dask: str) -> Iterator[Climbing]:
    """How strategies are tried: here, or on a worker of the cluster at the address ``dask``.

    Raises as ``dask_workers`` does, before anything is begun.
    """
    if not dask:
        yield climb
        return
    with dask_workers(dask) as workers:
        yield partial(climb_through, workers.executor)


class OwnProcess:
    """One job at a time, each in a new process: TensorFlow never loads into this one, and gives its memory back."""

    def __init__(self, job: Job = carry_out) -> None:
        self._job = job
        self._others: set[int | None] = set()
        self._executor: ProcessPoolExecutor | None = None
        self._future: Any = None

    def submit(self, root: Path, retrain_id: int, dask: str) -> None:
        """Begin a job; the one before must have ended."""
        self._others = {child.pid for child in multiprocessing.active_children()}
        # TensorFlow does not survive a fork
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(1, mp_context=context, initializer=start_worker)
        self._future = self._executor.submit(self._job, str(root), retrain_id, dask)

    @property
    def busy(self) -> bool:
        """Whether a job is at work."""
        return self._future is not None and not self._future.done()

    def ended(self) -> Ended | BaseException | None:
        """How the job ended, once; an exception where it did not get to say so. None while there is nothing to tell."""
        if self._future is None or self.busy:
            return None
        error = self._future.exception()
        result: Ended | BaseException = error if error is not None else self._future.result()
        self._shut()
        return result

    def close(self) -> None:
        """End the job at once: who was trained is trained again by the next who looks."""
        if self.busy:
            for child in self._own():
                child.terminate()
        self._shut()

    def _own(self) -> list[Any]:
        return [child for child in multiprocessing.active_children() if child.pid not in self._others]

    def _shut(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._executor = self._future = None
