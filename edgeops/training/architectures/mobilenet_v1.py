"""MobileNetV1 (Howard et al. 2017), at width 0.25 the MLPerf Tiny reference for visual wake words.

With 96x96x3 inputs, 2 classes and the defaults: 7.49 M MACs and 221,794 parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgeops.training.schema import Key

PARAMETERS: Mapping[str, Key] = MappingProxyType(
    {
        "width": Key(float, default=0.25, low=0.05, high=2.0, about="multiplier of all filters"),
        "dropout": Key(float, default=0.0, low=0.0, high=0.9, about="share dropped before the scores"),
    }
)
# stride and filters (at width 1) of each depthwise-separable block
_BLOCKS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *((1, 512),) * 5, (2, 1024), (1, 1024))


def build(keras: Any, input_shape: tuple[int, ...], outputs: int, *, width: float, dropout: float) -> Any:
    """(N, height, width, channels) float32 to (N, outputs) probabilities."""
    layers = keras.layers

    def normed(x: Any, name: str) -> Any:
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    def scaled(filters: int) -> int:
        return max(1, int(filters * width))

    image = keras.Input(input_shape, name="image")
    x = normed(layers.Conv2D(scaled(32), 3, strides=2, padding="same", name="conv")(image), "conv")
    for number, (stride, filters) in enumerate(_BLOCKS, start=1):
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", name=f"depthwise_{number}")(x)
        x = normed(x, f"depthwise_{number}")
        x = layers.Conv2D(scaled(filters), 1, padding="same", name=f"pointwise_{number}")(x)
        x = normed(x, f"pointwise_{number}")
    x = layers.AveragePooling2D(tuple(x.shape[1:3]), name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    scores = layers.Dense(outputs, activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name="mobilenet_v1")
