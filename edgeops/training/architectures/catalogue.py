"""The built-in architectures by name, with what each is for and the keys it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgeops.training.architectures import (
    autoencoder,
    cnn_1d,
    dense,
    ds_cnn,
    mobilenet_v1,
    resnet_8,
    small_cnn,
)
from edgeops.training.schema import Key


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """``rank``: how many dimensions an input must have (0: any); ``reconstructs``: gives back its input."""

    purpose: str
    rank: int
    parameters: Mapping[str, Key]
    build: Callable[..., Any]
    reconstructs: bool = False


ARCHITECTURES: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "small_cnn": BuiltIn("small images", 3, small_cnn.PARAMETERS, small_cnn.build),
        "ds_cnn": BuiltIn("spectrograms", 3, ds_cnn.PARAMETERS, ds_cnn.build),
        "cnn_1d": BuiltIn("bands or samples of a series", 2, cnn_1d.PARAMETERS, cnn_1d.build),
        "dense": BuiltIn("feature tables", 0, dense.PARAMETERS, dense.build),
        "resnet_8": BuiltIn("images of about 32x32", 3, resnet_8.PARAMETERS, resnet_8.build),
        "mobilenet_v1": BuiltIn("images of about 96x96", 3, mobilenet_v1.PARAMETERS, mobilenet_v1.build),
        "autoencoder": BuiltIn(
            "anomalies, from normal data only", 0, autoencoder.PARAMETERS, autoencoder.build, True
        ),
    }
)
