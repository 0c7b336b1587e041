"""The ways to make a new model of an old one and captured samples, from one that pushes no weights to all anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.manifest import Step
from edgeops.data.dataset import Dataset, Part
from edgeops.training.aware import zeros_of
from edgeops.training.backend import load_tensorflow
from edgeops.training.finetune import Strategy, fine_tune
from edgeops.training.fit import Fitted, Progress, TrainingSet, loss_of, run, train_float
from edgeops.training.pipeline import FitCheck, Made, TrainingResult, measured, training_rows
from edgeops.training.prepare import Prepared
from edgeops.training.recalibrate import best_share, matching, with_scale
from edgeops.training.recipe import Recipe
from edgeops.training.scoring import float_scorer, int8_scorer
from edgeops.training.sweep import quantize_best
from edgeops.training.weights import rebuilt

# Measured on digits before drifted cameras, with 160 captured samples: benchmarks/bench_retrain.py
FROZEN_SHARE = 0.12
"""Of a model's weights, those that ``frozen_scale`` changes: a patch of a sixth of the model."""
_FROZEN_EPOCHS = 0.25  # of the recipe's, to find them; twice as many to train them
_FINE_EPOCHS = 0.5
_NEW_TIMES = 2  # a small change keeps most of what is known already, and has little room for what is new


@dataclass(frozen=True, eq=False)
class Champion:
    """The model that runs: its ``.tflite``, its float weights (``weights.to_bytes``) and its front end.

    ``base`` and ``base_weights`` are those that its scales come from, where it was made of them by a small change.
    """

    tflite: bytes
    weights: bytes
    steps: tuple[Step, ...]
    base: bytes
    base_weights: bytes


@dataclass(frozen=True, eq=False)
class World:
    """What is learned from and judged on: original data and captured samples, through the champion's front end.

    ``data`` may have captured rows behind those that ``dataset`` gives, which are then ``counted`` without them.
    """

    recipe: Recipe
    dataset: Dataset
    data: Prepared
    counted: Prepared
    seed: int
    fit_check: FitCheck | None = None
    progress: Progress | None = None

    @property
    def captured(self) -> NDArray[np.int64]:
        """The captured rows that may be learned from."""
        rows = self.data.rows(Part.TRAIN)
        return rows[~self.data.original[rows]]

    def training_set(self, times: int = 1) -> TrainingSet:
        """The original train part, and captured rows as often as the recipe weighs them, times so many."""
        rows, validation = training_rows(self.recipe, self.data), self.data.part(Part.VALIDATION)
        again = self.captured.repeat(self.recipe.retrain.captured_weight * (times - 1))
        rows = np.concatenate([rows, again])
        return TrainingSet(self.data.inputs, self.data.targets, rows, validation, len(self.data.labels))

    def measured(self, made: Made, data: Prepared | None = None) -> TrainingResult:
        """A model that was made, measured and judged as a training is."""
        return measured(self.recipe, self.dataset, data or self.data, made, self.fit_check, self.counted)


@dataclass(frozen=True, eq=False)
class Challenger:
    """What a strategy made, and the same rows through its front end."""

    result: TrainingResult
    data: Prepared


def challenge(strategy: str, world: World, champion: Champion) -> Challenger:
    """Carry one of ``edgeops.training.recipe.keys.STRATEGIES`` out.

    Nothing is ever learned from the captured hold-out. Raises ``InputError`` where the strategy is not possible for
    this model, ``TrainingDiverged``, and what ``pipeline.measured`` raises.
    """
    return _STRATEGIES[strategy](world, champion)


def _recalibrate(world: World, champion: Champion) -> Challenger:
    started, data = time.perf_counter(), world.data
    rows = data.rows(Part.TRAIN)
    captured = data.inputs[world.captured]
    gain, offset = matching(data.inputs[rows[data.original[rows]]], captured)
    scorer = int8_scorer(world.recipe, champion.tflite, data.inputs[:0])
    truths = data.targets[world.captured]

    def accuracy(by: float, and_by: float) -> float:
        inputs = scorer.quantized((captured * np.float32(by) + np.float32(and_by)).astype(np.float32))
        return float((scorer.score(inputs).scores.argmax(axis=1) == truths).mean())

    gain, offset = best_share(gain, offset, accuracy)
    moved = (data.inputs * np.float32(gain) + np.float32(offset)).astype(np.float32)
    changed = replace(data, inputs=moved, steps=with_scale(data.steps, gain, offset))
    model = _model(world, champion.weights)
    in_float = float_scorer(world.recipe, model, changed.inputs[:0])
    notes = {"gain": gain, "offset": offset}
    made = Made(champion.tflite, Fitted(model, ()), in_float, notes, world.seed, started)
    return Challenger(world.measured(made, changed), changed)


def _small(strategy: Strategy, world: World, champion: Champion) -> Challenger:
    started, recipe = time.perf_counter(), world.recipe
    further = champion.base_weights != champion.weights
    origin = _model(world, champion.base_weights) if further else None
    model = _model(world, champion.weights)
    how: dict[str, Any] = {}
    if strategy is Strategy.FROZEN_SCALE:
        epochs = max(1, round(recipe.training.epochs * _FROZEN_EPOCHS))
        how = {
            "share": FROZEN_SHARE,
            "epochs": epochs,
            "learning_rate": recipe.training.learning_rate,
            "keep_within": 0.0,
        }
    done = fine_tune(
        recipe,
        model,
        champion.base,
        world.training_set(_NEW_TIMES),
        strategy,
        world.seed,
        origin=origin,
        progress=world.progress,
        **how,
    )
    notes = {"changed": done.changed, "values": done.values, "saturated": done.saturated}
    in_float = float_scorer(recipe, model, world.data.inputs[:0])
    made = Made(done.tflite, Fitted(model, done.curves), in_float, notes, world.seed, started)
    return Challenger(world.measured(made), world.data)


def _fine_tune(world: World, champion: Champion) -> Challenger:
    started, recipe = time.perf_counter(), world.recipe
    tensorflow, _ = load_tensorflow(recipe.training.threads)
    model, data = _model(world, champion.weights), world.training_set()
    curves = run(
        recipe,
        model,
        data,
        loss_of(recipe, data),
        max(1, round(recipe.training.epochs * _FINE_EPOCHS)),
        recipe.training.learning_rate,
        world.seed,
        world.progress,
        zeros=zeros_of(tensorflow, recipe, model),
    )
    return _quantized(world, Fitted(model, curves), data, started)


def _scratch(world: World, champion: Champion) -> Challenger:
    del champion
    started, data = time.perf_counter(), world.training_set()
    return _quantized(world, train_float(world.recipe, data, world.seed, world.progress), data, started)


def _quantized(world: World, fitted: Fitted, data: TrainingSet, started: float) -> Challenger:
    in_float = float_scorer(world.recipe, fitted.model, data.validation[0])
    quality = in_float.score(data.validation[0]).quality(data.validation[1], data.n_classes)
    quantized = quantize_best(world.recipe, fitted, data, quality, world.seed)
    taken = Fitted(quantized.fitted.model, fitted.curves)
    made = Made(quantized.tflite, taken, in_float, quantized.notes, world.seed, started)
    return Challenger(world.measured(made), world.data)


def _model(world: World, weights: bytes) -> Any:
    """The recipe's model with these weights; what it draws while it is trained depends on the seed alone."""
    tensorflow, keras = load_tensorflow(world.recipe.training.threads)
    keras.backend.clear_session()
    keras.utils.set_random_seed(world.seed % 2**32)  # a layer takes the seed of its dropout when it is made
    tensorflow.config.experimental.enable_op_determinism()
    return rebuilt(world.recipe, world.data.inputs.shape[1:], len(world.data.labels), weights)


_STRATEGIES: Mapping[str, Callable[[World, Champion], Challenger]] = {
    "recalibrate": _recalibrate,
    "head": lambda world, champion: _small(Strategy.HEAD, world, champion),
    "frozen_scale": lambda world, champion: _small(Strategy.FROZEN_SCALE, world, champion),
    "fine_tune": _fine_tune,
    "scratch": _scratch,
}
