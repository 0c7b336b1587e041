"""Climbing from cheap to dear: each challenger against the champion, and which of them is taken.

What is decided, and why, is a pure function of the attempts; making one is handed in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import EdgeOpsError
from edgeops.core.patches import make_patch
from edgeops.data.dataset import Part
from edgeops.training.gates import BEATS_OLD, Compared, Gate, divides, judge_retrain
from edgeops.training.pipeline import TrainingResult, sliced
from edgeops.training.prepare import Prepared
from edgeops.training.scoring import int8_scorer
from edgeops.training.strategies import Challenger, Champion, World, challenge

PATCH_CODEC, PATCH_WORTH = "difference", 0.9  # as a rollout makes and offers them
Outcome = Literal["better", "divided", "not_better"]
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Attempt:
    """One strategy carried out, or why it was not (``problem``); then there is no ``result``.

    ``recovered``: it is as good on captured samples as the recipe wants before anything dearer is tried.
    ``push_bytes`` is what a device that runs the champion has to fetch of the model, by a patch where one is worth
    it; ``changed_bytes`` how many bytes of the file differ. ``held_out`` is how many captured samples it was judged on.
    """

    strategy: str
    seconds: float
    result: TrainingResult | None = None
    gates: tuple[Gate, ...] = ()
    recovered: bool = False
    held_out: int = 0
    changed_bytes: int = 0
    push_bytes: int = 0
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether it was made, and every gate passed."""
        return self.result is not None and all(gate.passed for gate in self.gates)

    @property
    def divides(self) -> bool:
        """Whether it serves the captured world and only fails in the original one."""
        return self.result is not None and divides(self.gates)

    @property
    def captured_accuracy(self) -> float:
        """On the captured hold-out; -1 where nothing was made."""
        return next((gate.value for gate in self.gates if gate.name == BEATS_OLD), -1.0)

    def as_dict(self) -> dict[str, object]:
        """What is kept of it, as plain data."""
        document: dict[str, object] = {"strategy": self.strategy, "seconds": round(self.seconds, 2)}
        if self.result is None:
            return {**document, "problem": self.problem}
        return {
            **document,
            "passed": self.passed,
            "recovered": self.recovered,
            "held_out": self.held_out,
            "gates": [gate.as_dict() for gate in self.gates],
            "artifact_bytes": len(self.result.tflite),
            "changed_bytes": self.changed_bytes,
            "push_bytes": self.push_bytes,
            "notes": dict(self.result.notes),
        }


@dataclass(frozen=True, eq=False)
class Climb:
    """All attempts in their order, and the one that is taken; None where none could be made."""

    outcome: Outcome
    attempts: tuple[Attempt, ...]
    taken: Attempt | None


def climb(strategies: Sequence[str], world: World, champion: Champion, say: Say = lambda line: None) -> Climb:
    """Try the strategies in their order until one passes and has recovered; ``say`` is told of each.

    A strategy that is not possible for this model is an attempt with its ``problem``.
    """
    data = world.data
    before = {part: right(world, champion.tflite, data, part) for part in (Part.CAPTURE_HOLDOUT, Part.TEST)}
    attempts: list[Attempt] = []
    for strategy in strategies:
        attempts.append(challenged(strategy, world, champion, before, len(strategies)))
        say(words(attempts[-1]))
        if attempts[-1].passed and attempts[-1].recovered:
            break
    return choose(attempts)


def challenged(
    strategy: str,
    world: World,
    champion: Champion,
    before: Mapping[Part, NDArray[np.bool_]],
    attempts: int,
) -> Attempt:
    """Carry one of so many strategies out and judge it; ``before`` is what the champion has right of both parts."""
    started = time.perf_counter()
    try:
        challenger = challenge(strategy, world, champion)
    except EdgeOpsError as error:
        return Attempt(strategy, time.perf_counter() - started, problem=error.message)
    return _judged(strategy, world, champion, challenger, before, attempts, started)


def choose(attempts: Sequence[Attempt]) -> Climb:
    """The first that passed and recovered; else of those that passed, else of those that serve the captured world
    alone, else of all that were made, the cheapest within one standard error of the best on the captured hold-out
    (the rule of Breiman et al. 1984).
    """
    made = tuple(attempt for attempt in attempts if attempt.result is not None)
    passed = [attempt for attempt in made if attempt.passed]
    enough = [attempt for attempt in passed if attempt.recovered]
    if enough:
        return Climb("better", tuple(attempts), enough[0])
    divided = [attempt for attempt in made if attempt.divides]
    groups: tuple[tuple[Outcome, Sequence[Attempt]], ...] = (
        ("better", passed),
        ("divided", divided),
        ("not_better", made),
    )
    for outcome, group in groups:
        if group:
            best = max(group, key=lambda attempt: attempt.captured_accuracy)
            least = best.captured_accuracy - _standard_error(best.captured_accuracy, max(best.held_out, 1))
            found = next(attempt for attempt in group if attempt.captured_accuracy >= least)
            return Climb(outcome, tuple(attempts), found)
    return Climb("not_better", tuple(attempts), None)


def recovered(holdout: NDArray[np.bool_], learned: NDArray[np.bool_], champion: float, within: float) -> bool:
    """Whether a challenger is as good in the captured world as the champion was in its own, less ``within``.

    One standard error of chance is allowed for, since few samples cannot say more. On what it has learned from (M,),
    which is easier than the hold-out (N,), it must be as good as the ``champion`` on its test part: who cannot tell
    those apart has not recovered, however lucky the hold-out.
    """
    wanted = champion - within
    return float(holdout.mean()) >= wanted - _standard_error(wanted, len(holdout)) and (
        not len(learned) or float(learned.mean()) >= champion - _standard_error(champion, len(learned))
    )


def _standard_error(accuracy: float, count: int) -> float:
    return math.sqrt(max(accuracy * (1 - accuracy), 0.0) / count)


def right(world: World, tflite: bytes, data: Prepared, part: Part) -> NDArray[np.bool_]:
    """(N,) whether an int8 model is right on each row of a part; raises ``DataError`` when it is empty."""
    return right_rows(world, tflite, data, data.rows(part))


def right_rows(world: World, tflite: bytes, data: Prepared, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The same of any rows, also none."""
    scorer = int8_scorer(world.recipe, tflite, data.inputs[:0])
    found: NDArray[np.bool_] = (
        scorer.score(scorer.quantized(data.inputs[rows])).scores.argmax(axis=1) == data.targets[rows]
    )
    return found


def words(attempt: Attempt) -> str:
    """An attempt in one line."""
    if attempt.result is None:
        return f"{attempt.strategy}: not possible: {attempt.problem}"
    failed = ", ".join(gate.name for gate in attempt.gates if not gate.passed)
    verdict = f"failed {failed}" if failed else ("passed" if attempt.recovered else "passed, not recovered")
    share = attempt.push_bytes / len(attempt.result.tflite)
    return f"{attempt.strategy}: captured {attempt.captured_accuracy:.3f}, {verdict}, {share:.0%} of the model to push"


def push_bytes(base: bytes, target: bytes) -> int:
    """Bytes of a model that a device which has ``base`` fetches: none, a patch that is worth it, or all."""
    if base == target:
        return 0
    patch = len(make_patch(PATCH_CODEC, base, target))
    return patch if patch < PATCH_WORTH * len(target) else len(target)


def _judged(
    strategy: str,
    world: World,
    champion: Champion,
    challenger: Challenger,
    before: Mapping[Part, NDArray[np.bool_]],
    attempts: int,
    started: float,
) -> Attempt:
    result, data = challenger.result, challenger.data
    after = {part: right(world, result.tflite, data, part) for part in before}
    gates = judge_retrain(
        world.recipe,
        captured=Compared(before[Part.CAPTURE_HOLDOUT], after[Part.CAPTURE_HOLDOUT]),
        test=Compared(before[Part.TEST], after[Part.TEST], sliced(data, data.rows(Part.TEST))),
        attempts=attempts,
    )
    enough = recovered(
        after[Part.CAPTURE_HOLDOUT],
        right_rows(world, result.tflite, data, world.captured),
        float(before[Part.TEST].mean()),
        world.recipe.retrain.recovered_within,
    )
    return Attempt(
        strategy,
        time.perf_counter() - started,
        result,
        (*result.gates, *gates),
        enough,
        len(after[Part.CAPTURE_HOLDOUT]),
        _differing(champion.tflite, result.tflite),
        push_bytes(champion.tflite, result.tflite),
    )


def _differing(base: bytes, target: bytes) -> int:
    common = min(len(base), len(target))
    old, new = (np.frombuffer(blob, np.uint8, count=common) for blob in (base, target))
    return int((old != new).sum()) + abs(len(base) - len(target))
