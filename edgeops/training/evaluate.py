"""How often a model is right, for each class, each slice and over all; float and int8 by the same arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError, InputError
from edgeops.training.arrays import Float32, Targets
from edgeops.training.fit import predict_float
from edgeops.training.quantize import open_model, quantize_inputs, tensor_contract
from edgeops.training.sampling import Sampling

MIN_SLICE = 20


@dataclass(frozen=True, slots=True)
class Slice:
    """Accuracy on the ``n`` items of one value of a slice; ``effective_n`` as in ``Metrics``."""

    name: str
    value: str
    accuracy: float
    n: int
    effective_n: float | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Measured on ``n`` items: ``recall`` per class (None where there was no item of it), and ``confusion``
    with a row for each true class and a column for each predicted one. Fractions lie in 0..1. ``auc`` is the
    area under the ROC curve where anomalies are found. ``effective_n``, and ``class_effective_n`` of each class:
    how many independent items say as much, where that is not ``n``.
    """

    accuracy: float
    recall: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    n: int
    slices: tuple[Slice, ...] = field(default=())
    auc: float | None = None
    effective_n: float | None = None
    class_effective_n: tuple[float, ...] | None = None

    @property
    def false_alarms(self) -> float | None:
        """The share of normal items that are taken for anomalies; None for classes."""
        if self.auc is None or self.recall[0] is None:
            return None
        return 1 - self.recall[0]

    @property
    def worst_recall(self) -> float:
        """The recall of the class that is recognised worst."""
        return min(value for value in self.recall if value is not None)

    def worst_slice(self, at_least: int = MIN_SLICE) -> Slice | None:
        """The slice value with the lowest accuracy, among those of ``at_least`` items; None without any."""
        large = [entry for entry in self.slices if entry.n >= at_least]
        return min(large, key=lambda entry: entry.accuracy) if large else None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON."""
        document: dict[str, Any] = {
            "accuracy": self.accuracy,
            "recall": list(self.recall),
            "confusion": [list(row) for row in self.confusion],
            "n": self.n,
        }
        if self.auc is not None:
            document["auc"] = self.auc
            document["false_alarms"] = self.false_alarms
        if self.effective_n is not None and self.class_effective_n is not None:
            document["effective_n"] = self.effective_n
            document["class_effective_n"] = list(self.class_effective_n)
        if self.slices:
            document["slices"] = [
                {
                    "name": s.name,
                    "value": s.value,
                    "accuracy": s.accuracy,
                    "n": s.n,
                    **({} if s.effective_n is None else {"effective_n": s.effective_n}),
                }
                for s in self.slices
            ]
        return document


def measure(predicted: Targets, targets: Targets, n_classes: int) -> Metrics:
    """Metrics of ``predicted`` against ``targets``, both (N,) indices; raises ``DataError`` for N = 0."""
    if len(targets) == 0:
        raise DataError("there is nothing to evaluate on", fix="give at least one labelled item")
    if len(predicted) != len(targets) or targets.min() < 0 or targets.max() >= n_classes:
        raise DataError(
            f"{len(predicted)} predictions do not fit {len(targets)} targets of {n_classes} classes"
        )
    confusion = np.bincount(targets * n_classes + predicted, minlength=n_classes**2)
    confusion = confusion.reshape(n_classes, n_classes)
    sizes, hits = confusion.sum(axis=1), confusion.diagonal()
    return Metrics(
        accuracy=int(hits.sum()) / len(targets),
        recall=tuple(int(hit) / int(size) if size else None for hit, size in zip(hits, sizes, strict=True)),
        confusion=tuple(tuple(int(value) for value in row) for row in confusion),
        n=len(targets),
    )


def with_slices(
    metrics: Metrics,
    predicted: Targets,
    targets: Targets,
    columns: Mapping[str, Sequence[str]],
    sampling: Sampling | None = None,
) -> Metrics:
    """The same metrics with the accuracy on each value of each column (N,) of metadata.

    ``sampling`` of the N items, where they are not independent, adds on how many independent ones each rests.
    """
    right = predicted == targets
    found = []

    def effective(chosen: NDArray[np.bool_]) -> float | None:
        if sampling is None:
            return None
        return sampling.take(chosen).effective_n(right[chosen]) if chosen.any() else 0.0

    for name, values in sorted(columns.items()):
        column = np.asarray(values, dtype=np.str_)
        for value in np.unique(column):
            chosen = column == value
            share = float(right[chosen].mean())
            found.append(Slice(name, str(value), share, int(chosen.sum()), effective(chosen)))
    if sampling is None:
        return replace(metrics, slices=tuple(found))
    return replace(
        metrics,
        slices=tuple(found),
        effective_n=sampling.effective_n(right),
        class_effective_n=tuple(effective(targets == i) or 0.0 for i in range(len(metrics.recall))),
    )


def area_under_roc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """How likely a random positive has a higher score than a random negative, ties counting half.

    By ranks (Hanley and McNeil 1982). Raises ``DataError`` unless there are both.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        raise DataError("the area under the ROC curve needs normal items and anomalies in the test part")
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    del values
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    total = float(mean_rank[inverse][positive].sum())
    return (total - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def evaluate_float(model: Any, x: Float32, y: Targets) -> Metrics:
    """A keras model on preprocessed ``x`` (N, *shape)."""
    return measure(predict_float(model, x).argmax(axis=1), y, model.output_shape[-1])


def evaluate_int8(tflite: bytes, x: Float32, y: Targets) -> Metrics:
    """An int8 model on the same preprocessed float ``x``, quantized as a device quantizes it."""
    taken, given = tensor_contract(tflite)
    outputs = predict_int8(tflite, quantize_inputs(x, taken.scale, taken.zero_point))
    return measure(outputs.argmax(axis=1), y, given.shape[-1])


def predict_int8(tflite: bytes, quantized_inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    """Run the model on each of (N, *shape) int8: (N, *output) int8; ``InputError`` for other shapes."""
    interpreter = open_model(tflite)
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    shape = tuple(int(size) for size in taken["shape"][1:])
    if quantized_inputs.shape[1:] != shape or quantized_inputs.dtype != np.int8:
        raise InputError(
            f"the model takes int8 inputs of shape {shape}, not {quantized_inputs.dtype} of "
            f"{quantized_inputs.shape[1:]}"
        )
    outputs = np.empty((len(quantized_inputs), *(int(size) for size in given["shape"][1:])), np.int8)
    for index, item in enumerate(quantized_inputs):
        interpreter.set_tensor(taken["index"], item[np.newaxis])
        interpreter.invoke()
        outputs[index] = interpreter.get_tensor(given["index"])[0]
    return outputs
