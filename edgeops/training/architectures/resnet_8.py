"""ResNet-8 for small images (He et al. 2016; the MLPerf Tiny reference).

With 32x32x3 inputs, 10 classes and the defaults: 12.5 M MACs and 78,666 parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgeops.training.schema import Key

PARAMETERS: Mapping[str, Key] = MappingProxyType(
    {
        "filters": Key(list, default=[16, 32, 64], items=(1, 1024), about="filters of each stack"),
        "weight_decay": Key(float, default=1e-4, low=0.0, high=0.1, about="L2 penalty on kernels"),
        "dropout": Key(float, default=0.0, low=0.0, high=0.9, about="share dropped before the scores"),
    }
)


def build(
    keras: Any,
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    filters: list[int],
    weight_decay: float,
    dropout: float,
) -> Any:
    """(N, height, width, channels) float32 to (N, outputs) probabilities."""
    layers = keras.layers

    def convolution(x: Any, size: int, kernel: int, stride: int, name: str) -> Any:
        return layers.Conv2D(
            size,
            kernel,
            strides=stride,
            padding="same",
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.L2(weight_decay),
            name=name,
        )(x)

    def normed(x: Any, name: str) -> Any:
        return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)

    image = keras.Input(input_shape, name="image")
    x = layers.ReLU(name="conv_relu")(normed(convolution(image, filters[0], 3, 1, "conv"), "conv"))
    for number, size in enumerate(filters, start=1):
        name, stride = f"stack_{number}", 1 if number == 1 else 2
        y = normed(convolution(x, size, 3, stride, f"{name}_a"), f"{name}_a")
        y = layers.ReLU(name=f"{name}_a_relu")(y)
        y = normed(convolution(y, size, 3, 1, f"{name}_b"), f"{name}_b")
        if number > 1:
            x = convolution(x, size, 1, stride, f"{name}_shortcut")
        x = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))
    x = layers.AveragePooling2D(tuple(x.shape[1:3]), name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    scores = layers.Dense(outputs, activation="softmax", kernel_initializer="he_normal", name="scores")(x)
    return keras.Model(image, scores, name="resnet_8")
