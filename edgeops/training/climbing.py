"""What tries a retrain's strategies: this process, or a worker elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Protocol

from edgeops.training.ladder import Climb, Say, climb, words
from edgeops.training.strategies import Champion, World


class Climbing(Protocol):
    """As ``ladder.climb``, wherever it is done."""

    def __call__(
        self, strategies: Sequence[str], world: World, champion: Champion, say: Say = ..., /
    ) -> Climb:
        """All attempts, and the one that is taken."""


def climb_through(
    executor: Executor,
    strategies: Sequence[str],
    world: World,
    champion: Champion,
    say: Say = lambda line: None,
) -> Climb:
    """As ``climb``, on a worker of the executor; ``say`` is told of the attempts when all are made."""
    climbed: Climb = executor.submit(climb, strategies, replace(world, progress=None), champion).result()
    for attempt in climbed.attempts:
        say(words(attempt))
    return climbed
