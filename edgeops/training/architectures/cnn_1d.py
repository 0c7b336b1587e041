"""A 1-D CNN, written with 2-D layers of height one, which every microcontroller runtime has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgeops.training.schema import Key

PARAMETERS: Mapping[str, Key] = MappingProxyType(
    {
        "filters": Key(list, default=[16, 32, 32], items=(1, 1024), about="filters of each convolution"),
        "kernel": Key(int, default=5, low=1, high=64, about="length of every kernel"),
        "pool": Key(int, default=2, low=1, high=16, about="how much each convolution's output shrinks"),
        "dense": Key(int, default=32, low=1, high=4096, about="units of the dense layer"),
        "dropout": Key(float, default=0.3, low=0.0, high=0.9, about="share dropped before the dense layer"),
    }
)


def build(
    keras: Any,
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    filters: list[int],
    kernel: int,
    pool: int,
    dense: int,
    dropout: float,
) -> Any:
    """(N, length, channels) float32 to (N, outputs) probabilities."""
    layers = keras.layers
    series = keras.Input(input_shape, name="series")
    x = layers.Reshape((1, *input_shape), name="as_image")(series)
    for number, size in enumerate(filters, start=1):
        x = layers.Conv2D(size, (1, kernel), padding="same", name=f"conv_{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"conv_{number}_norm")(x)
        x = layers.ReLU(name=f"conv_{number}_relu")(x)
        if pool > 1 and x.shape[2] >= pool:
            x = layers.MaxPooling2D((1, pool), name=f"pool_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(dense, activation="relu", name="dense")(x)
    scores = layers.Dense(outputs, activation="softmax", name="scores")(x)
    return keras.Model(series, scores, name="cnn_1d")
