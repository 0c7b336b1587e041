"""One call from recipe and dataset to a judged int8 model; retraining is the same call on a later version."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

import edgeops
from edgeops.core.errors import ConfigError, DataError
from edgeops.core.tensors import TensorSpec
from edgeops.data.dataset import SOURCE_ORIGIN, Dataset, Part
from edgeops.training.evaluate import Metrics, evaluate_float, evaluate_int8, measure, predict_int8
from edgeops.training.fit import Progress, Targets, train_float
from edgeops.training.gates import Gate, judge
from edgeops.training.prepare import Float32, model_inputs
from edgeops.training.quantize import quantize_inputs, quantize_int8, tensor_contract
from edgeops.training.recipe import Recipe

MAX_REFERENCE = 4096
Int8 = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model, what it was measured at, and what the manifest's reference figures are made of.

    ``reference_inputs`` (R, *shape) int8: the train and validation items, each once, unaugmented, at most
    4,096. ``validation_inputs``/``validation_outputs``/``validation_targets`` and ``test_inputs``/
    ``test_outputs``/``test_targets``: int8 inputs (N, *shape), int8 outputs (N, classes), int64 targets.
    ``seconds`` is wall-clock time, everything else repeats for the same seed, data and versions.
    """

    tflite: bytes
    float_metrics: Metrics
    int8_metrics: Metrics
    gates: tuple[Gate, ...]
    input: TensorSpec
    output: TensorSpec
    reference_inputs: Int8
    validation_inputs: Int8
    validation_outputs: Int8
    validation_targets: Targets
    test_inputs: Int8
    test_outputs: Int8
    test_targets: Targets
    labels: tuple[str, ...]
    versions: dict[str, str]
    seed: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)


def train(recipe: Recipe, dataset: Dataset, seed: int, progress: Progress | None = None) -> TrainingResult:
    """Train, quantize, evaluate and judge; a gate that fails is in the result, not raised.

    Raises ``ConfigError`` when recipe and dataset do not belong together, ``DataError`` when a part that is
    needed is empty.
    """
    started = time.perf_counter()
    _check_match(recipe, dataset)
    x, y = _training_items(recipe, dataset)
    validation = _part(recipe, dataset, Part.VALIDATION)
    test = _part(recipe, dataset, Part.TEST)
    model = train_float(recipe, x, y, validation, len(dataset.labels), seed, progress)
    tflite = quantize_int8(model, _representative(x, recipe.quantization.representative, seed))
    taken, given = tensor_contract(tflite)
    validation_inputs = quantize_inputs(validation[0], taken.scale, taken.zero_point)
    test_inputs = quantize_inputs(test[0], taken.scale, taken.zero_point)
    test_outputs = predict_int8(tflite, test_inputs)
    float_metrics = evaluate_float(model, *test)
    int8_metrics = measure(test_outputs.argmax(axis=1), test[1], len(dataset.labels))
    return TrainingResult(
        tflite=tflite,
        float_metrics=float_metrics,
        int8_metrics=int8_metrics,
        gates=judge(recipe, float_metrics, int8_metrics, len(tflite)),
        input=taken,
        output=given,
        reference_inputs=_reference(recipe, dataset, taken),
        validation_inputs=validation_inputs,
        validation_outputs=predict_int8(tflite, validation_inputs),
        validation_targets=validation[1],
        test_inputs=test_inputs,
        test_outputs=test_outputs,
        test_targets=test[1],
        labels=dataset.labels,
        versions=versions(),
        seed=seed,
        seconds=time.perf_counter() - started,
    )


def evaluate_part(recipe: Recipe, tflite: bytes, dataset: Dataset, part: str | Part) -> Metrics:
    """An int8 model, old or new, on one part of a dataset; raises ``DataError`` when the part is empty."""
    return evaluate_int8(tflite, *_part(recipe, dataset, part))


def versions() -> dict[str, str]:
    """What decides the bytes of a model besides recipe, data and seed."""
    return {
        "tensorflow": metadata.version("tensorflow"),
        "keras": metadata.version("keras"),
        "numpy": metadata.version("numpy"),
        "edgeops": edgeops.__version__,
    }


def _check_match(recipe: Recipe, dataset: Dataset) -> None:
    for key, wanted, found in (
        ("data.name", recipe.data.name, dataset.name),
        ("data.kind", recipe.data.kind, dataset.kind),
    ):
        if wanted != found:
            raise ConfigError(
                f"{recipe.path}: {key!r} is {wanted!r}, but the dataset {dataset.name}@{dataset.version} "
                f"has {found!r}",
                fix="train on the dataset that the recipe names, or correct the recipe",
                file=str(recipe.path),
                key=key,
                value=wanted,
            )


def _part(recipe: Recipe, dataset: Dataset, part: str | Part) -> tuple[Float32, Targets]:
    raw, targets = dataset.part(part)
    if len(raw) == 0:
        name = part.label if isinstance(part, Part) else part
        raise DataError(
            f"the part {name!r} of {dataset.name}@{dataset.version} is empty",
            fix="add more items to the dataset",
            dataset=dataset.name,
            part=name,
        )
    return model_inputs(recipe, raw), targets


def _training_items(recipe: Recipe, dataset: Dataset) -> tuple[Float32, Targets]:
    """The train part in digest order, followed by further rounds of the captured items in it."""
    x, y = _part(recipe, dataset, Part.TRAIN)
    in_train = dataset.parts == Part.TRAIN
    captured = np.array([origin != SOURCE_ORIGIN for origin in dataset.origins])[in_train]
    extra = recipe.retrain.captured_weight - 1
    return np.concatenate([x, *[x[captured]] * extra]), np.concatenate([y, *[y[captured]] * extra])


def _representative(x: Float32, count: int, seed: int) -> Float32:
    """Up to ``count`` training inputs, drawn without repetition."""
    chosen = np.random.default_rng(seed).permutation(len(x))[:count]
    return x[np.sort(chosen)]


def _reference(recipe: Recipe, dataset: Dataset, taken: TensorSpec) -> Int8:
    # Captured items are left out: a reference mixed of two worlds would resemble neither.
    source = np.array([origin == SOURCE_ORIGIN for origin in dataset.origins])
    chosen = source & ((dataset.parts == Part.TRAIN) | (dataset.parts == Part.VALIDATION))
    raw = dataset.inputs[chosen]
    # digest order is random with respect to content, so evenly spaced items are a fair sample
    spaced = np.unique(np.linspace(0, len(raw) - 1, min(len(raw), MAX_REFERENCE)).astype(np.intp))
    return quantize_inputs(model_inputs(recipe, raw[spaced]), taken.scale, taken.zero_point)
