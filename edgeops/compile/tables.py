"""Functions of one int8 value as tables of 256, each computed exactly as TensorFlow Lite Micro computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgeops.compile import fixed_point as fixed
from edgeops.compile.network import quantized_range
from edgeops.compile.refusals import unsupported
from edgeops.tflite.graph import Tensor

Table = NDArray[np.int8]
Options = Mapping[str, float]

_VALUES = np.arange(-128, 128, dtype=np.int64)
_SIGMOID_INTEGER_BITS = 4


def requantize(source: Tensor, made: Tensor, options: Options) -> Table:
    """QUANTIZE from one int8 scale to another."""
    del options
    multiplier, shift = fixed.quantize_multiplier(source.scale / made.scale)
    return _held(fixed.multiply(_VALUES - source.zero_point, multiplier, shift) + made.zero_point)


def relu(source: Tensor, made: Tensor, options: Options) -> Table:
    """RELU, which may change the scale."""
    return np.maximum(requantize(source, made, options), quantized_range(made, "RELU")[0]).astype(np.int8)


def relu6(source: Tensor, made: Tensor, options: Options) -> Table:
    """RELU6: the kernel only clamps, so the scale has to stay."""
    del options
    if source.scale != made.scale or source.zero_point != made.zero_point:
        raise unsupported("RELU6", "it changes the scale")
    return np.clip(_VALUES, *quantized_range(made, "RELU6")).astype(np.int8)


def leaky_relu(source: Tensor, made: Tensor, options: Options) -> Table:
    """LEAKY_RELU: one multiplier on each side of zero."""
    steps = _VALUES - source.zero_point
    ratio = source.scale / made.scale
    alpha = float(options.get("alpha", 0.0))
    if not abs(alpha) <= 1:
        raise unsupported("LEAKY_RELU", f"its slope is {alpha:.3g}")
    sloped = source.scale * alpha / made.scale
    above, below = fixed.quantize_multiplier(ratio), fixed.quantize_multiplier(sloped)
    answers = np.where(steps >= 0, fixed.multiply(steps, *above), fixed.multiply(steps, *below))
    return _held(answers + made.zero_point)


def logistic(source: Tensor, made: Tensor, options: Options) -> Table:
    """LOGISTIC, to the scale 1/256."""
    del options
    if made.zero_point != -128:
        raise unsupported("LOGISTIC", "its output's zero point is not -128")
    return _sigmoid(source, fixed.logistic, 23, -128)


def tanh(source: Tensor, made: Tensor, options: Options) -> Table:
    """TANH, to the scale 1/128."""
    del options
    if made.zero_point != 0:
        raise unsupported("TANH", "its output's zero point is not 0")
    return _sigmoid(source, fixed.tanh, 24, 0)


def _sigmoid(
    source: Tensor, function: Callable[[fixed.Int64, int], fixed.Int64], down: int, zero_point: int
) -> Table:
    multiplier, shift = fixed.quantize_multiplier(source.scale * (1 << (31 - _SIGMOID_INTEGER_BITS)))
    radius = fixed.input_radius(_SIGMOID_INTEGER_BITS, shift)
    steps = _VALUES - source.zero_point
    inside = np.clip(steps, -max(radius - 1, 0), max(radius - 1, 0))
    answers = function(fixed.multiply(inside, multiplier, shift), _SIGMOID_INTEGER_BITS)
    rounded = _held(fixed.rounding_shift_right(answers, down) + zero_point).astype(np.int64)
    return np.where(steps <= -radius, -128, np.where(steps >= radius, 127, rounded)).astype(np.int8)


def hard_swish(source: Tensor, made: Tensor, options: Options) -> Table:
    """HARD_SWISH: x * relu6(x + 3) / 6 in 16 bits, both factors rounded and saturated on the way."""
    del options
    fine = np.float32(1.0 / 128.0) * np.float32(source.scale)
    with np.errstate(over="ignore"):
        ratios = float(fine / np.float32(made.scale)), float(fine / (np.float32(3.0) / np.float32(32768.0)))
    if not max(ratios) < 2**14:
        raise unsupported("HARD_SWISH", "its scales are too far apart")
    (output, output_shift), (reluish, reluish_shift) = _multiplier_16(ratios[0]), _multiplier_16(ratios[1])
    if output_shift > 0:
        raise unsupported("HARD_SWISH", "its output's scale is too small for its integer multiplier")
    x = (_VALUES - source.zero_point) << 7
    on_output_scale = _doubling_high_16(x, output, rounds=True)
    gate = x
    if reluish_shift > 0:
        gate = np.clip(gate << (reluish_shift - 1), -32768, 32767)
    gate = _doubling_high_16(gate, reluish, rounds=True)
    if reluish_shift > 0:
        gate = np.clip(gate << 1, -32768, 32767)
    if reluish_shift < 0:
        gate = fixed.rounding_shift_right(gate, -reluish_shift)
    gate = (gate + 32768) >> 1
    product = _doubling_high_16(gate, on_output_scale, rounds=False)
    return _held(fixed.rounding_shift_right(product, -output_shift) + made.zero_point)


def _multiplier_16(real: float) -> tuple[int, int]:
    multiplier, shift = fixed.quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, 32767), shift


def _doubling_high_16(a: fixed.Int64, b: fixed.Int64 | int, rounds: bool) -> fixed.Int64:
    """2ab / 2**16 of two int16: rounded with halves upwards, or cut towards zero."""
    product = a * b
    if rounds:
        product = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    cut: fixed.Int64 = np.sign(product) * (np.abs(product) >> 15)
    return np.clip(cut, -32768, 32767)


def _held(x: fixed.Int64) -> Table:
    return np.clip(x, -128, 127).astype(np.int8)


TABLES: Mapping[str, Callable[[Tensor, Tensor, Options], Table]] = {
    "QUANTIZE": requantize,
    "RELU": relu,
    "RELU6": relu6,
    "LEAKY_RELU": leaky_relu,
    "LOGISTIC": logistic,
    "TANH": tanh,
    "HARD_SWISH": hard_swish,
}
