"""What a new model must show before anything is signed. Pure: measured values in, verdicts out."""

from __future__ import annotations

from dataclasses import dataclass

from edgeops.training.evaluate import Metrics
from edgeops.training.recipe import Recipe

# accuracies are ratios of counts: this keeps a limit that is met exactly from failing by rounding
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Gate:
    """One verdict: the measured ``value`` against its ``limit``, fractions or bytes as the name says."""

    name: str
    passed: bool
    value: float
    limit: float


def judge(
    recipe: Recipe, float_metrics: Metrics, int8_metrics: Metrics, artifact_bytes: int
) -> tuple[Gate, ...]:
    """The three gates of every training, in a fixed order: accuracy, loss by quantization, size."""
    limits = recipe.gates
    accuracy = int8_metrics.accuracy
    loss = float_metrics.accuracy - accuracy
    return (
        Gate(
            "min_int8_accuracy",
            accuracy >= limits.min_int8_accuracy - _ROUNDING,
            accuracy,
            limits.min_int8_accuracy,
        ),
        Gate(
            "max_quantization_loss",
            loss <= limits.max_quantization_loss + _ROUNDING,
            loss,
            limits.max_quantization_loss,
        ),
        Gate(
            "max_artifact_bytes",
            artifact_bytes <= limits.max_artifact_bytes,
            artifact_bytes,
            limits.max_artifact_bytes,
        ),
    )


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
        Gate("no_worse_on_test", new_test.accuracy >= floor - _ROUNDING, new_test.accuracy, floor),
    )
