"""Writes ``tests/vectors/plan/``: small models as the converter emits them, of operators that few models use.

    python tests/vectors/generate_plan.py

Needs the extra ``qat``: the converter takes LSTM layers of tf_keras. Weights are drawn from a seed; nothing is trained.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

FOLDER = Path(__file__).parent / "plan"
SEED = 3
layers = keras.layers


def convert(converter: Any, shape: tuple[int, ...]) -> bytes:
    rng = np.random.default_rng(SEED)
    samples = rng.normal(size=(8, 1, *shape)).astype(np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def image(batch: int | None = 1) -> Any:
    return keras.Input((12, 12, 3), batch_size=batch)


def of_keras(inputs: Any, outputs: Any) -> bytes:
    model = keras.Model(inputs, outputs)
    return convert(tf.lite.TFLiteConverter.from_keras_model(model), tuple(inputs.shape[1:]))


def leaky() -> bytes:
    """RELU6, padding before a stride, a leaky activation, a mean that keeps its axes, one score."""
    inputs = image()
    x = layers.Conv2D(8, 3, padding="same", activation="relu6")(inputs)
    x = layers.LeakyReLU()(layers.Conv2D(8, 3, strides=2, padding="same")(layers.ZeroPadding2D(1)(x)))
    x = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return of_keras(inputs, layers.Dense(4, activation="sigmoid")(x))


def squeezed() -> bytes:
    """Channels weighted by what they hold (squeeze and excitation), hard swish, the largest value of each."""
    inputs = image()
    x = layers.Activation("hard_swish")(layers.Conv2D(8, 3, padding="same")(inputs))
    weights = layers.Dense(8, activation="hard_sigmoid")(layers.GlobalAveragePooling2D()(x))
    x = layers.GlobalMaxPooling2D()(layers.Multiply()([x, layers.Reshape((1, 1, 8))(weights)]))
    return of_keras(inputs, layers.Dense(3, activation="softmax")(x))


def sequence() -> bytes:
    """One-dimensional layers and an open batch, so that shapes are computed by operators."""
    inputs = image(None)
    x = layers.Reshape((-1, 4))(layers.Conv2D(4, 3)(inputs))
    x = layers.MaxPooling1D(2)(layers.Conv1D(6, 3, padding="same", activation="relu")(x))
    return of_keras(inputs, layers.Dense(3)(layers.Flatten()(x)))


def moved() -> bytes:
    """Joined, cropped and turned; a dilated convolution, two outputs for each channel, an image as the answer."""
    inputs = image()
    x = layers.Concatenate()(
        [layers.Conv2D(4, 1)(inputs), layers.Conv2D(4, 3, padding="same", dilation_rate=2)(inputs)]
    )
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(layers.Permute((2, 1, 3))(layers.Cropping2D(1)(x)))
    return of_keras(inputs, layers.AveragePooling2D(2)(x))


def lstm() -> bytes:
    """An LSTM, and a dense layer behind its last step."""
    inputs = tf_keras.Input((10, 6), batch_size=1)
    x = tf_keras.layers.Dense(3, activation="softmax")(tf_keras.layers.LSTM(8)(inputs))
    with tempfile.TemporaryDirectory() as folder:
        tf_keras.Model(inputs, x).export(folder)
        return convert(tf.lite.TFLiteConverter.from_saved_model(folder), (10, 6))


def main() -> None:
    keras.utils.set_random_seed(SEED)
    tf_keras.utils.set_random_seed(SEED)
    FOLDER.mkdir(exist_ok=True)
    for make in (leaky, squeezed, sequence, moved, lstm):
        content = make()
        (FOLDER / f"{make.__name__}.tflite").write_bytes(content)
        print(f"{make.__name__:20} {len(content):6} bytes")


if __name__ == "__main__":
    main()
