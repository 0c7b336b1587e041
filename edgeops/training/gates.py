"""What a new model must show before anything is signed. Pure: measured values in, verdicts out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from edgeops.training.evaluate import Metrics
from edgeops.training.recipe.keys import MAX_BYTES
from edgeops.training.recipe.sections import GateLimits, Recipe, Robustness

# accuracies are ratios of counts: this keeps a limit that is met exactly from failing by rounding
_ROUNDING = 1e-9


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


def judge_retrain(
    recipe: Recipe,
    *,
    old_captured: Metrics,
    new_captured: Metrics,
    old_test: Metrics,
    new_test: Metrics,
) -> tuple[Gate, ...]:
    """A retrained model must beat the old one on the captured hold-out, strictly, and on the original test
    set be no worse than the recipe's margin. All four are int8 metrics; old and new on the same items.
    """
    floor = old_test.accuracy - recipe.retrain.margin_on_test
    return (
        Gate(
            "beats_old_on_captured",
            new_captured.accuracy > old_captured.accuracy,
            new_captured.accuracy,
            old_captured.accuracy,
        ),
        _at_least("no_worse_on_test", new_test.accuracy, floor),
    )
