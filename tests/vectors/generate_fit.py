"""Writes ``tests/vectors/fit/``: small models, one for each way in which the fit check can answer.

    python tests/vectors/generate_fit.py

Needs the extra ``train``. Weights are drawn from a seed; none of the models is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).parent / "fit"
SEED = 11
layers = keras.layers


def convert(model: Any, int8: bool = True, per_channel_dense: bool = True) -> bytes:
    rng = np.random.default_rng(SEED)
    samples = rng.normal(size=(8, 1, *model.input_shape[1:])).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel_dense
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def separable() -> bytes:
    """A keyword model in small: convolution, depthwise, pointwise, pooling, dense, softmax."""
    spectrum = keras.Input((12, 8, 1), batch_size=1)
    x = layers.Conv2D(8, (4, 3), strides=2, padding="same", activation="relu")(spectrum)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Conv2D(8, 1, activation="relu")(x)
    x = layers.Flatten()(layers.AveragePooling2D((6, 4))(x))
    return convert(keras.Model(spectrum, layers.Dense(4, activation="softmax")(x)), per_channel_dense=False)


def residual() -> bytes:
    """A residual block."""
    image = keras.Input((8, 8, 3), batch_size=1)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    y = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.MaxPooling2D(8)(x))
    return convert(keras.Model(image, layers.Dense(3, activation="softmax")(x)))


def dense(per_channel: bool) -> bytes:
    """An autoencoder, its weights quantized per tensor or per channel."""
    features = keras.Input((16,), batch_size=1)
    x = layers.Dense(8, activation="relu", bias_initializer="ones")(features)
    x = layers.Dense(4, activation="relu", bias_initializer="ones")(x)
    return convert(keras.Model(features, layers.Dense(16)(x)), per_channel_dense=per_channel)


def mixed() -> bytes:
    """Operators whose data the accounting of the arena does not list one by one."""
    image = keras.Input((8, 8, 2), batch_size=1)
    x = layers.Conv2D(4, 3, activation="sigmoid")(layers.ZeroPadding2D(1)(image))
    y = layers.Conv2D(4, 3, padding="same", activation="tanh")(x)
    x = layers.Concatenate()([layers.Multiply()([x, y]), layers.Subtract()([x, y])])
    x = layers.Reshape((16, 32))(layers.MaxPooling2D(1)(x))
    return convert(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling1D()(x))))


def floating() -> bytes:
    """A model that was not quantized."""
    features = keras.Input((6,), batch_size=1)
    return convert(keras.Model(features, layers.Dense(3, activation="softmax")(features)), int8=False)


def vanishing() -> bytes:
    """Softmax inputs so small that TensorFlow Lite Micro's multiplier cannot hold their scale: it aborts."""
    features = keras.Input((4,), batch_size=1)
    x = layers.Dense(3, kernel_initializer=keras.initializers.Constant(1e-9))(features)
    return convert(keras.Model(features, layers.Softmax()(x)))


def from_function(function: Callable[[Any], Any], custom: bool = False) -> bytes:
    signature = [tf.TensorSpec((1, 4), tf.int32 if custom else tf.float32)]
    call = tf.function(function, input_signature=signature).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([call])
    converter.allow_custom_ops = custom
    return bytes(converter.convert())


def main() -> None:
    keras.utils.set_random_seed(SEED)
    models = {
        "separable": separable(),
        "residual": residual(),
        "dense": dense(per_channel=False),
        "dense_per_channel": dense(per_channel=True),
        "mixed": mixed(),
        "floating": floating(),
        "vanishing": vanishing(),
        "unsupported": from_function(lambda x: tf.tile(x, (1, 3)) + 1.0),
        "custom": from_function(lambda x: tf.bitwise.invert(x) + 1, custom=True),
    }
    FOLDER.mkdir(exist_ok=True)
    for name, content in models.items():
        (FOLDER / f"{name}.tflite").write_bytes(content)
        print(f"{name:20} {len(content):6} bytes")


if __name__ == "__main__":
    main()
