"""The int8 version of a float model that keeps most of it, judged on the validation part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgeops.training.arrays import Float32
from edgeops.training.aware import train_aware
from edgeops.training.fit import Fitted, TrainingSet
from edgeops.training.quantize import convert, representative_rows
from edgeops.training.recipe import Recipe
from edgeops.training.scoring import Int8Scorer, int8_scorer

POINT = 0.01
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Quantized:
    """An int8 model, the float model that it was made of, and ``notes``: what else was tried."""

    tflite: bytes
    scorer: Int8Scorer
    fitted: Fitted
    notes: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class _Swept:
    quality: float
    tflite: bytes
    scorer: Int8Scorer
    tried: Mapping[str, float]


def quantize_best(
    recipe: Recipe, fitted: Fitted, data: TrainingSet, float_quality: float, seed: int
) -> Quantized:
    """The best of the representative sizes; then, as the recipe says, of training under rounding too.

    ``float_quality`` is the float model's on the validation part, as ``Scored.quality`` gives it. With
    ``aware = "auto"`` it is trained further where more than a point is lost: 0.01 of accuracy, or a hundredth
    of the reconstruction error. What that gives is taken only if it is better.
    """
    how = recipe.quantization
    best = _sweep(recipe, fitted, data, seed)
    lost = float_quality - best.quality
    if recipe.finds_anomalies:
        lost /= max(abs(float_quality), _TINY)
    notes: dict[str, object] = {"representative": best.tried, "validation_loss_by_quantization": lost}
    if how.aware == "always" or (how.aware == "auto" and lost > POINT):
        further = train_aware(recipe, fitted, data, _examples(data, max(how.representative), seed), seed)
        again = _sweep(recipe, further, data, seed)
        taken = again.quality > best.quality
        notes["aware"] = {"quality": again.quality, "without": best.quality, "taken": taken}
        if taken:
            return Quantized(again.tflite, again.scorer, further, notes)
    return Quantized(best.tflite, best.scorer, fitted, notes)


def _sweep(recipe: Recipe, fitted: Fitted, data: TrainingSet, seed: int) -> _Swept:
    """The best of the recipe's representative sizes; the first of those that are equally good."""
    x, y = data.validation
    tried: dict[str, float] = {}
    best: tuple[float, bytes, Int8Scorer] | None = None
    for size in recipe.quantization.representative:
        examples = _examples(data, size, seed)
        tflite = convert(fitted.model, "int8", examples, recipe.quantization.per_channel_dense)
        scorer = int8_scorer(recipe, tflite, x)
        tried[str(size)] = scorer.score(scorer.quantized(x)).quality(y, data.n_classes)
        if best is None or tried[str(size)] > best[0]:
            best = (tried[str(size)], tflite, scorer)
    assert best is not None  # a recipe lists one size or more
    return _Swept(*best, tried)


def _examples(data: TrainingSet, size: int, seed: int) -> Float32:
    """Training inputs that show every class, each once."""
    rows = np.unique(data.rows)
    return data.inputs[rows[representative_rows(data.targets[rows], size, seed)]]
