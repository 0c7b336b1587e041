"""One trial of a search: does the architecture fit the target, and how good is it after a training.

``run_trial`` is picklable with all that it takes and gives, to run in a worker process anywhere.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edgeops.core.errors import ConfigError
from edgeops.core.features.quantize import dequantize
from edgeops.data.dataset import Dataset, Part, load
from edgeops.training.architectures.build import build
from edgeops.training.arrays import Float32
from edgeops.training.backend import load_tensorflow
from edgeops.training.evaluate import predict_int8
from edgeops.training.fit import TrainingSet, train_float
from edgeops.training.prepare import Prepared, prepare
from edgeops.training.quantize import convert, representative_rows
from edgeops.training.recipe import Recipe
from edgeops.training.schema import Source
from edgeops.training.scoring import int8_scorer
from edgeops.training.search_space import Dimension, Values, recipe_with

# that the untrained model sees: its ranges hardly matter, its tensors do
_EXAMPLES = 32
_SEED_SPAN = 2**32

# seeds, TensorFlow's session and its output are the process's: in a worker of several threads, one at a time
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True)
class TargetFit:
    """Whether a model fits a target, and what it takes there: bytes, and milliseconds from low to high.

    ``share``: the largest of what it takes of flash and RAM, 1 for all of it; None where it cannot run there.
    ``undecided``: it could not be measured with these weights, and may be with others.
    """

    fits: bool
    reasons: tuple[str, ...]
    flash_bytes: int
    arena_bytes: int | None
    macs: int
    latency_ms: tuple[float, float] | None
    share: float | None
    undecided: bool = False


Check = Callable[[bytes], TargetFit]


@dataclass(frozen=True, slots=True)
class TrialFigures:
    """What a trial found. ``fit`` is None where no model could be built, for ``reasons``.

    ``quality`` on the validation part of the int8 model, larger is better: accuracy, or, where anomalies are
    found, the share of the inputs' variance that is restored. None where nothing was trained, because it does
    not fit.
    """

    fit: TargetFit | None
    reasons: tuple[str, ...]
    quality: float | None
    seconds: float

    @property
    def feasible(self) -> bool:
        """Whether there is a trained model that fits."""
        return self.quality is not None and self.fit is not None and self.fit.fits

    @property
    def violation(self) -> float:
        """By how much the target is exceeded: 0 where it fits, 0.5 for half too large, 1 where unknown."""
        if self.feasible:
            return 0.0
        share = self.fit.share if self.fit is not None else None
        return 1.0 if share is None else max(share - 1.0, 0.01)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TrialFigures:
        """The inverse of ``to_dict``, also after JSON."""
        fit = plain["fit"]
        if fit is not None:
            latency = fit["latency_ms"]
            fit = TargetFit(
                **{
                    **fit,
                    "reasons": tuple(fit["reasons"]),
                    "latency_ms": None if latency is None else (latency[0], latency[1]),
                }
            )
        return cls(fit, tuple(plain["reasons"]), plain["quality"], plain["seconds"])


@dataclass(frozen=True, slots=True)
class TrialJob:
    """What all trials of a search share; ``dataset`` is the folder of a dataset version, ``epochs`` None for the
    recipe's.
    """

    source: Source
    document: Mapping[str, Any]
    space: tuple[Dimension, ...]
    dataset: Path
    seed: int
    epochs: int | None


def run_trial(job: TrialJob, check: Check, values: Values) -> TrialFigures:
    """Build, check and, if it fits, train, quantize and judge on the validation part; never on the test part.

    The fit, on the target and within the recipe's own ``gates.max_artifact_bytes``, is checked before the
    training, and again with the trained model, whose figures are given. Raises
    ``DataError`` where a part of the dataset is empty and ``MissingExtra``; a recipe that the values make
    unbuildable is no error but an answer.
    """
    with _ONE_AT_A_TIME:
        started = time.perf_counter()

        def found(fit: TargetFit | None, reasons: tuple[str, ...], quality: float | None) -> TrialFigures:
            return TrialFigures(fit, reasons, quality, time.perf_counter() - started)

        try:
            recipe = recipe_with(job.source, job.document, job.space, values, job.epochs)
            data = _prepared(recipe, job.dataset)
            fit = _checked(recipe, check, _untrained(recipe, data, job.seed))
        except ConfigError as error:
            return found(None, (error.message,), None)
        if not fit.fits and not fit.undecided:
            return found(fit, fit.reasons, None)
        tflite = _trained(recipe, data, job.seed)
        fit = _checked(recipe, check, tflite)
        if not fit.fits:
            return found(fit, fit.reasons, None)
        return found(fit, (), validation_quality(recipe, tflite, *data.part(Part.VALIDATION)))


def validation_quality(recipe: Recipe, tflite: bytes, x: Float32, y: Any) -> float:
    """The ``quality`` of an int8 model on preprocessed inputs (N, *shape) float32 and targets (N,) int64.

    Where anomalies are found the inputs are all normal: 1 - mean squared error of the restored inputs / the
    inputs' variance, the explained variance.
    """
    scorer = int8_scorer(recipe, tflite, x)
    quantized = scorer.quantized(x)
    if not recipe.finds_anomalies:
        return scorer.score(quantized).quality(y, scorer.n_classes)
    restored = dequantize(predict_int8(tflite, quantized), scorer.output.scale, scorer.output.zero_point)
    error = float(np.mean((restored.reshape(x.shape).astype(np.float64) - x) ** 2))
    variance = float(x.var(axis=0, dtype=np.float64).mean())
    return 1.0 - error / variance if variance else 0.0


def _checked(recipe: Recipe, check: Check, tflite: bytes) -> TargetFit:
    """The target's answer, and the recipe's own limit of the model's size, which its gate would hold it to."""
    fit, limit = check(tflite), recipe.gates.max_artifact_bytes
    if len(tflite) <= limit:
        return fit
    why = f"the model has {len(tflite)} bytes; gates.max_artifact_bytes is {limit}"
    share = max(fit.share or 0.0, len(tflite) / limit)
    return replace(fit, fits=False, reasons=(*fit.reasons, why), share=share, undecided=False)


def _untrained(recipe: Recipe, data: Prepared, seed: int) -> bytes:
    """The model before its training, int8: what it takes of a target does not change with its weights."""
    _, keras = load_tensorflow(recipe.training.threads)
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed % _SEED_SPAN)
    model = build(recipe, keras, data.inputs.shape[1:], len(data.labels))
    examples = np.asarray(data.inputs[data.rows(Part.TRAIN)[:_EXAMPLES]])
    _settle(keras, model, examples)
    return convert(model, "int8", examples, recipe.quantization.per_channel_dense)


def _settle(keras: Any, model: Any, examples: Float32) -> None:
    """Give every normalisation the statistics of the examples.

    Without them each shrinks its inputs, and the scores' scale becomes too small for the softmax of TensorFlow
    Lite Micro, which then ends the process.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(examples, training=True)


def _trained(recipe: Recipe, data: Prepared, seed: int) -> bytes:
    rows = data.rows(Part.TRAIN)
    training = TrainingSet(data.inputs, data.targets, rows, data.part(Part.VALIDATION), len(data.labels))
    fitted = train_float(recipe, training, seed)
    how = recipe.quantization
    chosen = rows[representative_rows(data.targets[rows], how.representative[0], seed)]
    return convert(fitted.model, "int8", data.inputs[chosen], how.per_channel_dense)


@lru_cache(maxsize=1)
def _dataset(folder: Path) -> Dataset:
    return load(folder)


_last_prepared: dict[str, Prepared] = {}


def _prepared(recipe: Recipe, folder: Path) -> Prepared:
    """The inputs of the last trial again, where nothing that decides them has changed."""
    decides = (
        recipe.data,
        dict(recipe.split.holdout),
        recipe.split.by_time,
        recipe.preprocessing,
        recipe.anomaly,
    )
    key = json.dumps([str(folder), recipe.task, repr(decides)])
    if key not in _last_prepared:
        _last_prepared.clear()
        _last_prepared[key] = prepare(recipe, _dataset(folder))
    return _last_prepared[key]
