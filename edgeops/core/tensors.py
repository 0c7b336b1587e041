"""What is known about a model's input or output tensor, and the two ways a float32 scale is written."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape without the batch dimension, dtype (``int8``), float32 scale and zero point.

    real value = scale * (quantized - zero_point), as in TensorFlow Lite's quantization specification.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


def scale_to_integers(scale: float) -> tuple[int, int]:
    """An exact float32 ``scale`` > 0 as (mantissa of 24 bits, exponent): scale = mantissa * 2**exponent."""
    fraction, exponent = math.frexp(scale)
    return int(fraction * 2**24), exponent - 24


def scale_from_integers(mantissa: int, exponent: int) -> float:
    """The inverse of ``scale_to_integers``."""
    return math.ldexp(mantissa, exponent)
