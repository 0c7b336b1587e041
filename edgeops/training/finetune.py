"""Training a released model a little further so that an update is small: most of its file stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edgeops.core.errors import InputError
from edgeops.training.aware import zeros_of
from edgeops.training.backend import load_tensorflow
from edgeops.training.fit import Progress, TrainingSet, loss_of, run
from edgeops.training.moving import MovingShare
from edgeops.training.quantize import convert
from edgeops.training.recipe import Recipe
from edgeops.training.requantize import Requantizer

_EPOCHS_SHARE = 0.25  # of the recipe's
_TWICE = 2


class Strategy(StrEnum):
    """What may change. HEAD: the last dense layer. FROZEN_SCALE: all weights, within the scales that they have.

    In both, normalisation keeps its statistics, and every quantization parameter of the parent stays.
    """

    HEAD = "head"
    FROZEN_SCALE = "frozen_scale"


# of the recipe's learning rate, and the steps of its scale by which a weight must move to be changed; measured on
# digits whose sensor had moved: benchmarks/bench_cheap_updates.py
_RATES = {Strategy.HEAD: 1.0, Strategy.FROZEN_SCALE: 0.1}
_KEEP_WITHIN = {Strategy.HEAD: 0.0, Strategy.FROZEN_SCALE: 3.0}


@dataclass(frozen=True, eq=False)
class FineTuned:
    """The parent's ``.tflite`` with other numbers in some weight and bias buffers, and nothing else changed.

    ``model`` is the keras model that it was made of; ``changed`` of ``values`` int8 and int32 constants differ
    from the parent's, ``saturated`` ones wanted more than the parent's scale can say.
    """

    tflite: bytes
    model: Any
    curves: tuple[dict[str, float], ...]
    changed: int
    values: int
    saturated: int


def fine_tune(
    recipe: Recipe,
    model: Any,
    parent: bytes,
    data: TrainingSet,
    strategy: Strategy,
    seed: int,
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
    keep_within: float | None = None,
    share: float = 1.0,
    origin: Any = None,
    progress: Progress | None = None,
) -> FineTuned:
    """Train ``model``, in place, from which the int8 ``parent`` was made; the result is as long as the parent.

    ``model`` is a keras model as ``weights.rebuilt`` gives it. ``epochs`` is a quarter of the recipe's where it
    is not given; ``learning_rate`` and ``keep_within`` (``Requantizer.apply``) then suit the strategy. Where only a
    ``share`` of the kernels' weights may change, a first training of as many epochs shows which want to move the
    most, and a second one, of twice as many at twice the rate, moves those alone (lottery-ticket sparse fine-tuning,
    Ansell et al. 2022). What was pruned stays zero. ``origin`` is the model that the parent was made of, where
    ``model`` has been trained further since. Raises ``InputError`` when the parent was not made of these weights, or
    there is no dense layer at the end to train.
    """
    if learning_rate is None:
        learning_rate = recipe.training.learning_rate * _RATES[strategy]
    if keep_within is None:
        keep_within = _KEEP_WITHIN[strategy]
    tensorflow, keras = load_tensorflow(recipe.training.threads)
    keras.utils.set_random_seed(seed % 2**32)
    requantizer = Requantizer(parent, convert(model if origin is None else origin, "float32"))
    _freeze(keras, model, strategy)
    epochs = epochs if epochs is not None else max(1, round(recipe.training.epochs * _EPOCHS_SHARE))
    loss = loss_of(recipe, data)
    zeros = zeros_of(tensorflow, recipe, model)
    if share < 1:
        start = model.get_weights()
        run(recipe, model, data, loss, epochs, learning_rate, seed, zeros=zeros)
        zeros = MovingShare(tensorflow, model, start, share)
        model.set_weights(start)
        epochs, learning_rate = _TWICE * epochs, _TWICE * learning_rate  # few weights have to move further
    curves = run(recipe, model, data, loss, epochs, learning_rate, seed, progress, zeros=zeros)
    done = requantizer.apply(convert(model, "float32"), keep_within)
    return FineTuned(done.tflite, model, curves, done.changed, done.values, done.saturated)


def _freeze(keras: Any, model: Any, strategy: Strategy) -> None:
    """Leave trainable what the strategy lets change; a frozen normalisation works on its stored statistics."""
    last = [layer for layer in model.layers if layer.weights][-1]
    if strategy is Strategy.HEAD and not isinstance(last, keras.layers.Dense):
        raise InputError(
            f"the last layer with weights, {last.name!r}, is not dense: there is no head to train",
            fix=f"use the strategy {Strategy.FROZEN_SCALE}",
        )
    for layer in model.layers:
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer is last if strategy is Strategy.HEAD else not normalises
