"""A fully connected autoencoder (Koizumi et al. 2020, DCASE task 2; the MLPerf Tiny reference).

With 640 inputs and the defaults: 0.264 M MACs and 269,992 parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgeops.training.schema import Key

PARAMETERS: Mapping[str, Key] = MappingProxyType(
    {
        "units": Key(int, default=128, low=1, high=4096, about="units of each hidden layer"),
        "layers": Key(int, default=4, low=1, high=8, about="hidden layers on each side"),
        "code": Key(int, default=8, low=1, high=1024, about="units in the middle"),
    }
)


def build(
    keras: Any, input_shape: tuple[int, ...], outputs: int, *, units: int, layers: int, code: int
) -> Any:
    """(N, *input_shape) float32 to the same shape; ``outputs`` is not used."""
    del outputs
    made = keras.layers
    features = keras.Input(input_shape, name="features")
    x = made.Flatten(name="flatten")(features) if len(input_shape) > 1 else features
    for number, size in enumerate([units] * layers + [code] + [units] * layers, start=1):
        x = made.Dense(size, name=f"dense_{number}")(x)
        x = made.BatchNormalization(momentum=0.9, name=f"dense_{number}_norm")(x)
        x = made.ReLU(name=f"dense_{number}_relu")(x)
    x = made.Dense(math.prod(input_shape), name="reconstruction")(x)
    if len(input_shape) > 1:
        x = made.Reshape(input_shape, name="as_input")(x)
    return keras.Model(features, x, name="autoencoder")
