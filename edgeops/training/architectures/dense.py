"""Fully connected layers, for feature tables."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgeops.training.schema import Key

PARAMETERS: Mapping[str, Key] = MappingProxyType(
    {
        "units": Key(list, default=[64, 32], items=(1, 4096), about="units of each hidden layer"),
        "dropout": Key(float, default=0.2, low=0.0, high=0.9, about="share dropped before the scores"),
    }
)


def build(keras: Any, input_shape: tuple[int, ...], outputs: int, *, units: list[int], dropout: float) -> Any:
    """(N, *input_shape) float32 to (N, outputs) probabilities."""
    layers = keras.layers
    features = keras.Input(input_shape, name="features")
    x = layers.Flatten(name="flatten")(features) if len(input_shape) > 1 else features
    for number, size in enumerate(units, start=1):
        x = layers.Dense(size, activation="relu", name=f"dense_{number}")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    scores = layers.Dense(outputs, activation="softmax", name="scores")(x)
    return keras.Model(features, scores, name="dense")
