"""Quantization-aware training: some further epochs in which the model already rounds as int8 will."""

from __future__ import annotations

import dataclasses
from typing import Any

from edgeops.core.errors import ConfigError
from edgeops.training.arrays import Float32
from edgeops.training.backend import load_tensorflow
from edgeops.training.fit import Fitted, TrainingSet, loss_of, run
from edgeops.training.pruning import ZeroMask, prunable_kernels
from edgeops.training.recipe import Recipe
from edgeops.training.rounding import copy_weights, rounded_clone, rounding_forward

_SLOWER = 0.3  # of the learning rate: the weights are nearly right already


def train_aware(
    recipe: Recipe, fitted: Fitted, data: TrainingSet, representative: Float32, seed: int
) -> Fitted:
    """The fitted model after ``quantization.aware_epochs`` further epochs under rounding, as a plain float model.

    It is quantized as any other; only its weights are such that less is lost. ``representative`` (N, *shape)
    float32 are model inputs. What was pruned stays zero. ``fitted`` is left as it is. Raises ``ConfigError``
    for an architecture of the recipe's own that is not a functional keras model.
    """
    tensorflow, keras = load_tensorflow(recipe.training.threads)
    keras.utils.set_random_seed(seed % 2**32)
    try:
        clone = rounded_clone(fitted.model, representative)
        plain = keras.models.clone_model(fitted.model)
    except (ValueError, AttributeError) as error:
        raise ConfigError(
            f"{recipe.path}: quantization-aware training needs a functional keras model: {error}",
            fix='build it with keras.Input and keras.Model, or set quantization.aware = "never"',
            file=str(recipe.path),
            key="quantization.aware",
        ) from error
    x, y = data.validation
    unwatched = dataclasses.replace(data, validation=(x[:0], y[:0]))
    curves = run(
        recipe,
        clone,
        unwatched,
        loss_of(recipe, data),
        recipe.quantization.aware_epochs,
        recipe.training.learning_rate * _SLOWER,
        seed,
        zeros=zeros_of(tensorflow, recipe, clone),
        forward=rounding_forward(clone, recipe.quantization.per_channel_dense),
    )
    copy_weights(clone, plain)
    return Fitted(plain, curves)


def zeros_of(tensorflow: Any, recipe: Recipe, model: Any) -> ZeroMask | None:
    """What keeps a pruned model sparse while it is trained further; None for one that is not pruned."""
    if not recipe.training.pruning.sparsity:
        return None
    return ZeroMask(tensorflow, prunable_kernels(model))
