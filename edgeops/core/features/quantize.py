"""Affine quantization as TensorFlow Lite defines it: real = scale * (q - zero_point)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantize(values: NDArray[np.float32], scale: float, zero_point: int) -> NDArray[np.int8]:
    """float32 of any shape to int8 of that shape: clip(round_half_even(x / scale) + zero_point, -128, 127)."""
    steps = np.rint(values / np.float32(scale)) + np.float32(zero_point)
    result: NDArray[np.int8] = np.clip(steps, -128, 127).astype(np.int8)
    return result


def dequantize(values: NDArray[np.int8], scale: float, zero_point: int) -> NDArray[np.float32]:
    """int8 of any shape to the float32 that it stands for."""
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
