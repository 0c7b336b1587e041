"""What a model says of each input, as class scores: float and int8 models, classes and anomalies alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.outputs import MAX_THRESHOLD, anomaly_scores, error_unit, reconstruction_error
from edgeops.core.tensors import TensorSpec
from edgeops.training.arrays import Float32, Int8, Targets
from edgeops.training.evaluate import (
    Metrics,
    area_under_roc,
    measure,
    predict_int8,
    with_slices,
)
from edgeops.training.fit import predict_float
from edgeops.training.quantize import quantize_inputs, tensor_contract
from edgeops.training.recipe import Recipe
from edgeops.training.sampling import Sampling


@dataclass(frozen=True, eq=False)
class Scored:
    """``scores`` (N, classes), the largest wins; ``errors`` (N,) of reconstruction where anomalies are found."""

    scores: NDArray[Any]
    errors: NDArray[np.float64] | None

    def metrics(
        self,
        targets: Targets,
        n_classes: int,
        columns: Mapping[str, Sequence[str]],
        sampling: Sampling | None = None,
    ) -> Metrics:
        """Against ``targets`` (N,), with the accuracy on each value of the metadata ``columns`` (N,).

        ``sampling`` of the N inputs, where they are not independent.
        """
        predicted = self.scores.argmax(axis=1)
        found = with_slices(measure(predicted, targets, n_classes), predicted, targets, columns, sampling)
        if self.errors is None:
            return found
        return replace(found, auc=area_under_roc(self.errors, targets == 1))

    def quality(self, targets: Targets, n_classes: int) -> float:
        """One number to compare quantizations by, larger is better: accuracy, or minus the mean error."""
        if self.errors is not None:
            return -float(self.errors.mean())
        return measure(self.scores.argmax(axis=1), targets, n_classes).accuracy


@dataclass(frozen=True, eq=False)
class FloatScorer:
    """A keras model; ``threshold`` of the mean squared error where anomalies are found."""

    model: Any
    threshold: float | None

    def score(self, x: Float32) -> Scored:
        """Preprocessed inputs (N, *shape) float32."""
        outputs = predict_float(self.model, x)
        if self.threshold is None:
            return Scored(outputs, None)
        errors = ((outputs.astype(np.float64) - x) ** 2).reshape(len(x), -1).mean(axis=1)
        anomaly = errors / (errors + self.threshold)
        return Scored(np.stack([1 - anomaly, anomaly], axis=1).astype(np.float32), errors)


@dataclass(frozen=True, eq=False)
class Int8Scorer:
    """A ``.tflite`` as a device runs it; ``threshold`` in the unit of ``edgeops.core.outputs``."""

    tflite: bytes
    input: TensorSpec
    output: TensorSpec
    threshold: int | None
    n_classes: int

    def quantized(self, x: Float32) -> Int8:
        """Preprocessed inputs (N, *shape) float32 as the model takes them."""
        return quantize_inputs(x, self.input.scale, self.input.zero_point)

    def score(self, quantized: Int8) -> Scored:
        """Quantized inputs (N, *shape) int8."""
        outputs = predict_int8(self.tflite, quantized)
        if self.threshold is None:
            return Scored(outputs, None)
        errors = self._errors(quantized, outputs)
        real = np.asarray(errors * error_unit(self.input, self.output), np.float64)
        return Scored(anomaly_scores(errors, self.threshold), real)

    def _errors(self, quantized: Int8, outputs: Int8) -> NDArray[np.int64]:
        return reconstruction_error(self.input, self.output, quantized, outputs)


def float_scorer(recipe: Recipe, model: Any, normal: Float32) -> FloatScorer:
    """The scorer of a keras model; the threshold comes from the errors of ``normal`` validation inputs."""
    if not recipe.finds_anomalies:
        return FloatScorer(model, None)
    errors = ((predict_float(model, normal) - normal) ** 2).reshape(len(normal), -1).mean(axis=1)
    return FloatScorer(model, float(np.quantile(errors, recipe.anomaly.quantile)))


def int8_scorer(recipe: Recipe, tflite: bytes, normal: Float32) -> Int8Scorer:
    """The scorer of an int8 model; the threshold as in ``float_scorer``, from the int8 model's own errors."""
    taken, given = tensor_contract(tflite)
    classes = 2 if recipe.finds_anomalies else given.shape[-1]
    scorer = Int8Scorer(tflite, taken, given, None, classes)
    if not recipe.finds_anomalies:
        return scorer
    quantized = scorer.quantized(normal)
    errors = scorer._errors(quantized, predict_int8(tflite, quantized))
    chosen = np.quantile(errors, recipe.anomaly.quantile, method="inverted_cdf")
    return replace(scorer, threshold=min(max(int(chosen), 1), MAX_THRESHOLD))
