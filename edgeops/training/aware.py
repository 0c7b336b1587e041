"""Quantization-aware training, with tensorflow-model-optimization, which knows ``tf_keras`` only.

The same layers are built once more of ``tf_keras``, given the trained weights, wrapped so that they round as
int8 does, and trained on for a few epochs.
"""

from __future__ import annotations

from typing import Any

from edgeops.core.errors import ConfigError, MissingExtra
from edgeops.training.architectures.build import build
from edgeops.training.arrays import Float32
from edgeops.training.backend import load_tensorflow, quiet
from edgeops.training.fit import Fitted, TrainingSet, run
from edgeops.training.losses import cross_entropy, reconstruction_loss
from edgeops.training.quantize import convert
from edgeops.training.recipe import Recipe

_SLOWER = 0.1  # of the learning rate: the weights are nearly right already


def train_aware(
    recipe: Recipe, fitted: Fitted, data: TrainingSet, representative: Float32, seed: int
) -> bytes:
    """The int8 ``.tflite`` of the fitted model after further epochs under quantization.

    ``representative`` (N, *shape) float32 are model inputs. Raises ``MissingExtra`` without the packages it
    needs, and ``ConfigError`` for an architecture of the recipe's own, which is built of keras 3 only.
    """
    if recipe.architecture.python is not None:
        raise ConfigError(
            f"{recipe.path}: quantization-aware training takes built-in architectures only",
            fix='set quantization.aware = "never"',
            file=str(recipe.path),
            key="quantization.aware",
        )
    tf_keras, optimization = _load()
    tensorflow, _ = load_tensorflow()
    with quiet():
        tf_keras.utils.set_random_seed(seed % 2**32)
        plain = build(recipe, tf_keras, data.inputs.shape[1:], data.n_classes)
        _copy_weights(fitted.model, plain)
        aware = optimization.quantization.keras.quantize_model(plain)
    loss = (
        reconstruction_loss(tensorflow)
        if recipe.finds_anomalies
        else cross_entropy(tensorflow, data.n_classes, recipe.training.label_smoothing, None)
    )
    rate = recipe.training.learning_rate * _SLOWER
    run(recipe, aware, data, loss, recipe.quantization.aware_epochs, rate, seed, None, keras=tf_keras)
    return convert(aware, "int8", representative[:200], recipe.quantization.per_channel_dense)


def _copy_weights(source: Any, target: Any) -> None:
    for layer in source.layers:
        weights = layer.get_weights()
        if weights:
            target.get_layer(layer.name).set_weights(weights)


def _load() -> tuple[Any, Any]:
    load_tensorflow()
    try:
        with quiet():
            import tensorflow_model_optimization as optimization
            import tf_keras
    except ImportError as error:
        raise MissingExtra(
            f"quantization-aware training needs tensorflow-model-optimization: {error}",
            fix='pip install "edgeops[qat]"',
            extra="qat",
        ) from error
    return tf_keras, optimization
