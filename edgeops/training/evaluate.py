"""How often a model is right, for each class and over all; float and int8 by the same arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError, InputError
from edgeops.training.prepare import Float32
from edgeops.training.quantize import open_model, quantize_inputs, tensor_contract

Targets = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Measured on ``n`` items: ``recall`` per class (None where there was no item of it), and ``confusion``
    with a row for each true class and a column for each predicted one. Fractions lie in 0..1.
    """

    accuracy: float
    recall: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    n: int

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON."""
        return {
            "accuracy": self.accuracy,
            "recall": list(self.recall),
            "confusion": [list(row) for row in self.confusion],
            "n": self.n,
        }


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


def evaluate_float(model: Any, x: Float32, y: Targets) -> Metrics:
    """A keras model on preprocessed ``x`` (N, *shape)."""
    scores = np.concatenate(
        [model(x[i : i + 256], training=False).numpy() for i in range(0, len(x), 256)]
        or [np.zeros((0, model.output_shape[-1]), np.float32)]
    )
    return measure(scores.argmax(axis=1), y, model.output_shape[-1])


def evaluate_int8(tflite: bytes, x: Float32, y: Targets) -> Metrics:
    """An int8 model on the same preprocessed float ``x``, quantized as a device quantizes it."""
    taken, given = tensor_contract(tflite)
    outputs = predict_int8(tflite, quantize_inputs(x, taken.scale, taken.zero_point))
    return measure(outputs.argmax(axis=1), y, given.shape[-1])


def predict_int8(tflite: bytes, quantized_inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    """Run the model on each of (N, *shape) int8: (N, classes) int8; ``InputError`` for other shapes."""
    interpreter = open_model(tflite)
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    shape = tuple(int(size) for size in taken["shape"][1:])
    if quantized_inputs.shape[1:] != shape or quantized_inputs.dtype != np.int8:
        raise InputError(
            f"the model takes int8 inputs of shape {shape}, not {quantized_inputs.dtype} of "
            f"{quantized_inputs.shape[1:]}"
        )
    outputs = np.empty((len(quantized_inputs), int(given["shape"][-1])), np.int8)
    for index, item in enumerate(quantized_inputs):
        interpreter.set_tensor(taken["index"], item[np.newaxis])
        interpreter.invoke()
        outputs[index] = interpreter.get_tensor(given["index"])[0]
    return outputs
