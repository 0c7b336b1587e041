"""Retraining: original data and captured samples in, a version that must be better out."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edgeops.control.retrain_lock import retrain_lock
from edgeops.control.retrain_proposals import proposal
from edgeops.control.retrain_recovery import cut_off, settle
from edgeops.control.retrain_world import champion, learned, scales_of
from edgeops.control.training_jobs import Trained, register
from edgeops.control.workspace import Workspace
from edgeops.core.errors import DataError, EdgeOpsError, UnreachableError
from edgeops.core.lifecycle import RETRAIN
from edgeops.registry.tables import Alert, DatasetVersion, ModelVersion, Retrain, Run
from edgeops.training.climbing import Climbing
from edgeops.training.fit import Progress
from edgeops.training.ladder import Climb, Say, climb
from edgeops.training.recipe import find_recipe, load_recipe
from edgeops.training.recipe.load import with_holdout


def run_retrain(
    workspace: Workspace,
    retrain_id: int,
    progress: Progress | None = None,
    say: Say = lambda line: None,
    climbing: Climbing = climb,
    clock: Callable[[], float] = time.time,
) -> Trained:
    """Carry a retrain out; its row tells the outcome whatever happens. One at a time in a workspace.

    The recipe's strategies are tried from cheap to dear; ``say`` is told of each. The version that comes back is
    ``rejected`` unless it is better. Where no single model serves both worlds, the row is ``PROPOSED``, and
    ``retrain_proposals.specialise`` accepts its version for those that drifted. Raises ``UsageError`` where another
    process is at it, and what the training raises.
    """
    with retrain_lock(workspace):
        return run_under_lock(workspace, retrain_id, progress, say, climbing, clock)


def run_under_lock(
    workspace: Workspace,
    retrain_id: int,
    progress: Progress | None,
    say: Say,
    climbing: Climbing,
    clock: Callable[[], float],
) -> Trained:
    """As ``run_retrain``, for who holds the lock."""
    had = _had_ended(workspace, retrain_id)
    if had is not None:
        return had
    _start(workspace, retrain_id)
    try:
        carried = _retrain(workspace, retrain_id, progress, say, climbing)
    except KeyboardInterrupt:
        _cut_off(workspace, retrain_id, clock())
        raise
    except UnreachableError:
        # a registry or a cluster that did not answer says nothing about the retrain: it is taken up again
        with suppress(UnreachableError):
            _cut_off(workspace, retrain_id, clock())
        raise
    except (BrokenExecutor, CancelledError):
        raise  # a worker was lost: whoever takes the retrain up again counts how often
    except Exception as error:
        # whatever it was, it would be so again: a retrain that stays in TRAINING is tried for ever
        words = error.message if isinstance(error, EdgeOpsError) else f"{type(error).__name__}: {error}"
        _fail(workspace, retrain_id, words, clock())
        raise
    trained = carried.trained
    with workspace.registry.session() as session:
        row = session.get_one(Retrain, retrain_id)
        row.state = RETRAIN.next(row.state, carried.climb.outcome)
        row.model_version_id, row.dataset_id = trained.version.id, carried.samples_in
        row.gates, row.finished_at = list(trained.run.gates), clock()
        row.attempts = [attempt.as_dict() for attempt in carried.climb.attempts]
        row.proposal = carried.proposal
        if carried.proposal:
            row.reason = carried.proposal["words"]
    return trained


def _had_ended(workspace: Workspace, retrain_id: int) -> Trained | None:
    """What an earlier attempt registered just before it was cut off; it is not done a second time."""
    with workspace.registry.session() as session:
        row = session.get_one(Retrain, retrain_id)
        if row.state != "TRAINING" or not settle(session, row):
            return None
        version = session.get_one(ModelVersion, row.model_version_id)
        run = session.get_one(Run, version.run_id)
        return Trained(version, run, session.get_one(DatasetVersion, run.dataset_id))


def _start(workspace: Workspace, retrain_id: int) -> None:
    with workspace.registry.session() as session:
        row = session.get_one(Retrain, retrain_id)
        if row.state == "TRAINING":
            row.state = RETRAIN.next(row.state, "interrupted")  # an earlier attempt was cut off
        row.state = RETRAIN.next(row.state, "started")


def _cut_off(workspace: Workspace, retrain_id: int, now: float) -> None:
    with workspace.registry.session() as session:
        row = session.get_one(Retrain, retrain_id)
        if not settle(session, row):
            cut_off(row, now)


def _fail(workspace: Workspace, retrain_id: int, reason: str, now: float) -> None:
    with workspace.registry.session() as session:
        row = session.get_one(Retrain, retrain_id)
        row.state, row.reason = RETRAIN.next(row.state, "failed"), reason
        row.finished_at = now


@dataclass(frozen=True)
class _Carried:
    """What a retrain came to: a version, rejected unless it is better, and what may be proposed instead."""

    trained: Trained
    climb: Climb
    samples_in: int | None
    proposal: dict[str, Any]


def _retrain(
    workspace: Workspace, retrain_id: int, progress: Progress | None, say: Say, climbing: Climbing
) -> _Carried:
    with workspace.registry.reading() as session:
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
    current = champion(workspace, old, run)
    found = learned(workspace, recipe, old, parent, retrain.seed or run.seed, progress)
    with workspace.registry.session() as session:
        row = session.get_one(Retrain, retrain_id)
        row.samples, row.labels_to = found.samples, max(row.labels_to, found.labels_to)
    if found.unusable:
        say(
            f"left out: {found.unusable} samples that are no inputs of {old.model}@{old.version}, or of no label"
        )
    climbed = climbing(recipe.retrain.strategies, found.world, current, say)
    taken = climbed.taken
    if taken is None or taken.result is None:
        problems = "; ".join(f"{attempt.strategy}: {attempt.problem}" for attempt in climbed.attempts)
        raise DataError(
            f"no strategy was possible for {old.model}@{old.version}: {problems}",
            fix=f"name others under retrain.strategies in {recipe.path}",
        )
    trained = register(
        workspace,
        recipe,
        found.trained_on,
        taken.result,
        taken.gates,
        parent_id=old.id,
        retrain_id=retrain_id,
        more={
            "outcome": climbed.outcome,
            "strategy": taken.strategy,
            "attempts": [attempt.as_dict() for attempt in climbed.attempts],
            "captured_in": f"{found.kept_in.name}@{found.kept_in.version}",
            "unusable_samples": found.unusable,
            "scales_of": scales_of(taken.strategy, old, run),
        },
    )
    offered = {}
    if climbed.outcome == "divided":
        offered = proposal(workspace, retrain.alert_id, recipe, trained.version, taken)
    return _Carried(trained, climbed, found.kept_in.id, offered)
