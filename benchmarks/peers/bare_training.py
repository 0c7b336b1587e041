"""The digits model without EdgeOps: what an engineer would write with Keras, the converter and an interpreter.

The same layers, optimizer, number of steps and batch size, the same augmentation in number and kind, int8
conversion from the same number of representative inputs, and the accuracy of both on the test images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow
from scipy import ndimage
from sklearn.datasets import load_digits

EPOCHS, BATCH, COPIES, RATE = 28, 64, 3, 0.002


def moved(images: Any, rng: Any) -> Any:
    """Each image turned, shifted and zoomed a little."""
    out = np.empty_like(images)
    for index, image in enumerate(images):
        angle, zoom = np.deg2rad(rng.uniform(-10, 10)), 1 + rng.uniform(-0.05, 0.05)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
        centre = np.array([3.5, 3.5])
        offset = centre - turn @ (centre + rng.uniform(-0.5, 0.5, 2))
        out[index, ..., 0] = ndimage.affine_transform(image[..., 0], turn, offset, order=1)
    return out


def main() -> None:
    """Train, convert, evaluate."""
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(1)
    tensorflow.config.experimental.enable_op_determinism()
    digits = load_digits()
    order = np.random.default_rng(1).permutation(len(digits.images))
    x = (digits.images[order, ..., None] / 16).astype(np.float32)
    y = digits.target[order].astype(np.int64)
    train_x, train_y, test_x, test_y = x[:899], y[:899], x[-361:], y[-361:]
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    hidden = layers.Conv2D(12, 3, padding="same", activation="relu")(image)
    hidden = layers.MaxPooling2D()(layers.Conv2D(24, 3, padding="same", activation="relu")(hidden))
    hidden = layers.Flatten()(layers.Conv2D(24, 3, padding="same", activation="relu")(hidden))
    hidden = layers.Dense(48, activation="relu")(layers.Dropout(0.4)(hidden))
    model = keras.Model(image, layers.Dense(10, activation="softmax")(hidden))
    steps = -(-len(train_x) * (1 + COPIES) // BATCH) * EPOCHS
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps))
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy()

    def one_step(images: Any, labels: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    step = tensorflow.function(
        one_step,
        input_signature=[
            tensorflow.TensorSpec((None, 8, 8, 1), tensorflow.float32),
            tensorflow.TensorSpec((None,), tensorflow.int64),
        ],
    )
    rng = np.random.default_rng(1)
    for _ in range(EPOCHS):
        images = np.concatenate([train_x, *(moved(train_x, rng) for _ in range(COPIES))])
        labels = np.tile(train_y, 1 + COPIES)
        shuffled = rng.permutation(len(images))
        for start in range(0, len(images), BATCH):
            batch = shuffled[start : start + BATCH]
            step(tensorflow.constant(images[batch]), tensorflow.constant(labels[batch]))
    accuracy = float((model(test_x, training=False).numpy().argmax(axis=1) == test_y).mean())

    def examples() -> Iterator[list[Any]]:
        for item in train_x[:200]:
            yield [item[None]]

    call = tensorflow.function(
        lambda images: model(images, training=False),
        input_signature=[tensorflow.TensorSpec((1, 8, 8, 1), tensorflow.float32)],
    )
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function()])
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tensorflow.int8
    interpreter = tensorflow.lite.Interpreter(model_content=converter.convert(), num_threads=1)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = taken["quantization"]
    right = 0
    for item, label in zip(test_x, test_y, strict=True):
        quantized = np.clip(np.round(item / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(taken["index"], quantized[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(given["index"])[0].argmax() == label)
    print(f"float {accuracy:.4f}, int8 {right / len(test_x):.4f}")


if __name__ == "__main__":
    main()
