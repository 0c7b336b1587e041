"""What a new model must show before anything is signed. Pure: measured values in, verdicts out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.training.evaluate import MIN_SLICE, Metrics
from edgeops.training.recipe.keys import MAX_BYTES
from edgeops.training.recipe.sections import GateLimits, Recipe, Robustness

# accuracies are ratios of counts: this keeps a limit that is met exactly from failing by rounding
_ROUNDING = 1e-9
BEATS_OLD, NO_WORSE, NO_SLICE_WORSE = "beats_old_on_captured", "no_worse_on_test", "no_worse_on_slices"
# of the original world: what a version for others need not reach
_QUALITY = ("min_int8_accuracy", "max_quantization_loss", "min_class_recall", "min_slice_accuracy")


@dataclass(frozen=True, slots=True)
class Gate:
    """One verdict: the measured ``value`` against its ``limit``, fractions or bytes as the name says.

    ``note`` says which class, slice or target it was, or why it failed, where the name does not.
    """

    name: str
    passed: bool
    value: float
    limit: float
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """The same as plain data."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class FitFinding:
    """Whether a model fits a target: the larger of the shares of flash and RAM that it takes (1: all)."""

    target: str
    fits: bool
    share: float
    reason: str


def judge(
    recipe: Recipe,
    float_metrics: Metrics,
    int8_metrics: Metrics,
    artifact_bytes: int,
    *,
    robustness: Sequence[tuple[Robustness, float]] = (),
    fits: Sequence[FitFinding] = (),
    leaked: int = 0,
) -> tuple[Gate, ...]:
    """The gates of a training, in a fixed order: quality, quantization, size, and what the recipe declares.

    ``robustness``: the accuracy under each declared corruption. ``leaked``: how many test items, or groups of
    them, are also learned from.
    """
    limits = recipe.gates
    gates = [*_quality(recipe, limits, float_metrics, int8_metrics)]
    if limits.max_artifact_bytes < MAX_BYTES:
        gates.append(_at_most("max_artifact_bytes", artifact_bytes, limits.max_artifact_bytes))
    if limits.min_class_recall > 0:
        worst = int8_metrics.worst_recall
        gates.append(_at_least("min_class_recall", worst, limits.min_class_recall))
    if limits.min_slice_accuracy > 0:
        entry = int8_metrics.worst_slice()
        value, note = (entry.accuracy, f"{entry.name}={entry.value}") if entry else (0.0, "no slice is known")
        gates.append(_at_least("min_slice_accuracy", value, limits.min_slice_accuracy, note))
    for how, accuracy in robustness:
        gates.append(
            _at_least(
                f"robustness_{how.corruption}", accuracy, how.min_accuracy, f"severity {how.severity:g}"
            )
        )
    for fit in fits:
        gates.append(Gate(f"fits_{fit.target}", fit.fits, fit.share, 1.0, fit.reason))
    gates.append(_at_most("no_leakage", leaked, 0))
    return tuple(gates)


def _quality(recipe: Recipe, limits: GateLimits, in_float: Metrics, in_int8: Metrics) -> tuple[Gate, ...]:
    if recipe.finds_anomalies:
        auc, float_auc = in_int8.auc or 0.0, in_float.auc or 0.0
        found = [
            _at_least("min_auc", auc, limits.min_auc),
            _at_most("max_quantization_loss", float_auc - auc, limits.max_quantization_loss, "of the AUC"),
        ]
        if limits.max_false_alarms < 1:
            alarms = in_int8.false_alarms
            found.append(
                _at_most("max_false_alarms", 1.0 if alarms is None else alarms, limits.max_false_alarms)
            )
        return tuple(found)
    loss = in_float.accuracy - in_int8.accuracy
    return (
        _at_least("min_int8_accuracy", in_int8.accuracy, limits.min_int8_accuracy),
        _at_most("max_quantization_loss", loss, limits.max_quantization_loss),
    )


def _at_least(name: str, value: float, limit: float, note: str = "") -> Gate:
    return Gate(name, value >= limit - _ROUNDING, value, limit, note)


def _at_most(name: str, value: float, limit: float, note: str = "") -> Gate:
    return Gate(name, value <= limit + _ROUNDING, value, limit, note)


def count_leaked(
    groups: Sequence[str], digests: Sequence[bytes], learned: Sequence[int], tested: Sequence[int]
) -> int:
    """How many groups, or items of the same content, stand in both; indices into ``groups`` and ``digests``.

    An empty group is none.
    """
    shared_groups = {groups[i] for i in learned if groups and groups[i]} & {
        groups[i] for i in tested if groups
    }
    return len(shared_groups) + len({digests[i] for i in learned} & {digests[i] for i in tested})


@dataclass(frozen=True, slots=True)
class Compared:
    """Champion and challenger on the same items: ``old`` and ``new`` (N,) bool, whether each was right.

    ``columns`` maps names of slices to the N values of the items; empty values belong to no slice.
    """

    old: NDArray[np.bool_]
    new: NDArray[np.bool_]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def gained(self) -> int:
        """How many items only the challenger has right."""
        return int((self.new & ~self.old).sum())

    @property
    def lost(self) -> int:
        """How many items only the champion has right."""
        return int((self.old & ~self.new).sum())

    def take(self, chosen: NDArray[np.bool_]) -> Compared:
        """Some of the items, without their columns."""
        return Compared(self.old[chosen], self.new[chosen])


def sign_test(won: int, lost: int) -> float:
    """How likely at least ``won`` of ``won + lost`` fair coins fall one way: the exact, one-sided test of McNemar.

    Items on which both models are right, or both wrong, say nothing about which is better, and do not count.
    1 where nothing differs. McNemar 1947; exact by the binomial distribution.
    """
    count = won + lost
    return sum(math.comb(count, k) for k in range(won, count + 1)) / 2**count


DOUBT = 0.05
"""The chance that a retrain passes which is no better than the champion on captured samples."""


def judge_retrain(
    recipe: Recipe, *, captured: Compared, test: Compared, attempts: int = 1
) -> tuple[Gate, ...]:
    """Challenger against champion, both in int8 and on the same items.

    On the captured hold-out it must be better by more than chance: the sign test, at ``DOUBT`` divided by the
    square root of the ``attempts`` that are made on the same items: challengers share their champion, so that their
    tests correlate by half or more (Armitage and Parmar 1986). Five items that only the challenger has right, and
    none the other way, are enough for one attempt, six for five. On the original test part it may lose no more than
    the recipe's margin, and on no slice of ``MIN_SLICE`` items more than that unless chance explains it. Raises
    ``DataError`` when either part is empty.
    """
    for items, name in ((captured, "captured hold-out"), (test, "test part")):
        if len(items.old) == 0:
            raise DataError(
                f"the {name} is empty: nothing shows which model is better",
                fix="capture and label more samples",
            )
    chance, allowed = sign_test(captured.gained, captured.lost), DOUBT / math.sqrt(attempts)
    return (
        Gate(
            BEATS_OLD,
            chance <= allowed,
            float(captured.new.mean()),
            float(captured.old.mean()),
            f"right where the old is wrong {captured.gained} times, the reverse {captured.lost} of "
            f"{len(captured.old)}: by chance with p {chance:.2g}, allowed {allowed:.2g}",
        ),
        _at_least(NO_WORSE, float(test.new.mean()), float(test.old.mean()) - recipe.retrain.margin_on_test),
        *_no_slice_worse(recipe, test),
    )


def _no_slice_worse(recipe: Recipe, test: Compared) -> tuple[Gate, ...]:
    """The slice that fell the most, beyond the margin and beyond chance if there is such a one; none without slices."""
    worst: tuple[bool, float, str] | None = None
    for name, values in sorted(test.columns.items()):
        column = np.asarray(values, dtype=np.str_)
        for value in np.unique(column[column != ""]):
            items = test.take(column == value)
            if len(items.old) < MIN_SLICE:
                continue
            fell = float(items.old.mean()) - float(items.new.mean())
            beyond = fell > recipe.retrain.margin_on_test + _ROUNDING
            found = (
                beyond and sign_test(items.lost, items.gained) <= DOUBT,
                fell,
                f"{name}={value}, {len(items.old)} items",
            )
            worst = max(worst, found) if worst else found
    if worst is None:
        return ()
    return (Gate(NO_SLICE_WORSE, not worst[0], worst[1], recipe.retrain.margin_on_test, worst[2]),)


def divides(gates: Sequence[Gate]) -> bool:
    """Whether only the original world speaks against a challenger that serves the captured one."""
    failed = {gate.name for gate in gates if not gate.passed}
    return bool(failed) and failed <= {NO_WORSE, NO_SLICE_WORSE, *_QUALITY}
