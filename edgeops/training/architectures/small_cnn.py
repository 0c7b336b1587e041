"""3x3 convolutions, halved once after the second, then one dense layer and a softmax."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgeops.training.schema import Key

PARAMETERS: Mapping[str, Key] = MappingProxyType(
    {
        "filters": Key(list, default=[8, 16, 32], items=(1, 1024), about="filters of each convolution"),
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
    dense: int,
    dropout: float,
) -> Any:
    """(N, height, width, channels) float32 to (N, outputs) probabilities."""
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x = image
    for number, size in enumerate(filters, start=1):
        x = layers.Conv2D(size, 3, padding="same", activation="relu", name=f"conv_{number}")(x)
        if number == min(2, len(filters)):
            x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(dense, activation="relu", name="dense")(x)
    scores = layers.Dense(outputs, activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name="small_cnn")
