"""Depthwise-separable CNN for keywords (Zhang et al. 2017, "Hello Edge"; the MLPerf Tiny reference).

With 49x10x1 inputs, 12 classes and the defaults: 2.66 M MACs and 24,908 parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgeops.training.schema import Key

PARAMETERS: Mapping[str, Key] = MappingProxyType(
    {
        "filters": Key(int, default=64, low=1, high=1024, about="filters of every convolution"),
        "blocks": Key(int, default=4, low=1, high=16, about="depthwise-separable blocks"),
        "kernel": Key(list, default=[10, 4], items=(1, 64), length=2, about="first kernel: frames, bands"),
        "strides": Key(list, default=[2, 2], items=(1, 16), length=2, about="first strides: frames, bands"),
        "dropout": Key(float, default=0.4, low=0.0, high=0.9, about="share dropped before the scores"),
    }
)


def build(
    keras: Any,
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    filters: int,
    blocks: int,
    kernel: list[int],
    strides: list[int],
    dropout: float,
) -> Any:
    """(N, frames, bands, 1) float32 to (N, outputs) probabilities."""
    layers = keras.layers
    spectrogram = keras.Input(input_shape, name="spectrogram")

    def normed(x: Any, name: str) -> Any:
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    x = layers.Conv2D(filters, tuple(kernel), strides=tuple(strides), padding="same", name="conv")(
        spectrogram
    )
    x = layers.Dropout(dropout / 2, name="conv_dropout")(normed(x, "conv"))
    for number in range(1, blocks + 1):
        x = layers.DepthwiseConv2D(3, padding="same", name=f"depthwise_{number}")(x)
        x = normed(x, f"depthwise_{number}")
        x = layers.Conv2D(filters, 1, padding="same", name=f"pointwise_{number}")(x)
        x = normed(x, f"pointwise_{number}")
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.AveragePooling2D(tuple(x.shape[1:3]), name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    scores = layers.Dense(outputs, activation="softmax", name="scores")(x)
    return keras.Model(spectrogram, scores, name="ds_cnn")
