"""The integer arithmetic of TensorFlow Lite Micro, for what is computed once, when a plan is made.

Values are int64 arrays that hold int32; ``q`` in a name is the number of integer bits of a fixed-point value. The
functions of one variable are those of the gemmlowp library's fixed-point part, which the kernels use: an
exponential by a fourth-order polynomial and one factor for each bit, and divisions by Newton's method.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

_MIN, _MAX = -(2**31), 2**31 - 1
_ONE_THIRD = 715827883  # Q0.31
_EXP_MINUS_EIGHTH = 1895147668  # Q0.31
# exp(-(2**power)) in Q0.31, by power
_EXP_OF_POWERS = {
    -2: 1672461947,
    -1: 1302514674,
    0: 790015084,
    1: 290630308,
    2: 39332535,
    3: 720401,
    4: 242,
}
_48_OVER_17, _32_OVER_17 = 1515870810, 1010580540  # Q2.29


def quantize_multiplier(real: float) -> tuple[int, int]:
    """``real`` as (multiplier, shift): multiplier * 2**(shift - 31), the multiplier in 31 bits.

    What is smaller than 2**-32 becomes (0, 0), as in the kernels.
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    scaled = fraction * (1 << 31)
    multiplier = math.floor(abs(scaled) + 0.5) * (1 if scaled > 0 else -1)
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def wrapped(x: Int64) -> Int64:
    """``x`` as an int32 that has overflowed."""
    return (x + 2**31) % 2**32 - 2**31


def doubling_high(a: Int64, b: Int64 | int) -> Int64:
    """The high half of 2ab, rounded; halves go up."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    return np.where((a == _MIN) & (np.asarray(b) == _MIN), _MAX, high)


def rounding_shift_right(x: Int64, exponent: int) -> Int64:
    """``x / 2**exponent``, rounded half away from zero."""
    if exponent == 0:
        return x
    remainder: Int64 = x & ((1 << exponent) - 1)
    threshold = ((1 << exponent) - 1 >> 1) + (x < 0)
    shifted: Int64 = x >> exponent
    rounded: Int64 = shifted + (remainder > threshold)
    return rounded


def saturating_shift_left(x: Int64, exponent: int) -> Int64:
    """``x * 2**exponent``, held to 32 bits."""
    held: Int64 = np.clip(x << exponent, _MIN, _MAX)
    return held


def multiply(x: Int64, multiplier: int, shift: int) -> Int64:
    """``x * multiplier * 2**(shift - 31)``, rounded twice: after the product and after the shift."""
    left, right = max(shift, 0), max(-shift, 0)
    return rounding_shift_right(doubling_high(wrapped(x << left), multiplier), right)


def rescaled(q: Int64, steps: int) -> Int64:
    """The same number with ``steps`` fewer integer bits, saturating; negative steps give more, rounding."""
    return saturating_shift_left(q, steps) if steps >= 0 else rounding_shift_right(q, -steps)


def exp_of_negative(x: Int64, integer_bits: int) -> Int64:
    """exp(x) in Q0.31 of x <= 0 in fixed point with ``integer_bits``, at most 5."""
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    within = (x & (quarter - 1)) - quarter
    result = _exp_of_last_quarter(rescaled(within, integer_bits))
    remainder = within - x
    for power, factor in _EXP_OF_POWERS.items():
        if integer_bits > power:
            has_bit = remainder & (1 << (fraction_bits + power)) != 0
            result = np.where(has_bit, doubling_high(result, factor), result)
    return np.where(x == 0, _MAX, result)


def _exp_of_last_quarter(a: Int64) -> Int64:
    """exp(a) in Q0.31 of a in -1/4..0, a Taylor polynomial around -1/8."""
    x = a + (1 << 28)
    x2 = doubling_high(x, x)
    x3, x4 = doubling_high(x2, x), doubling_high(x2, x2)
    higher = doubling_high(rounding_shift_right(x4, 2) + x3, _ONE_THIRD) + x2
    return _EXP_MINUS_EIGHTH + doubling_high(x + rounding_shift_right(higher, 1), _EXP_MINUS_EIGHTH)


def _reciprocal_of_half_of_one_plus(a: Int64) -> Int64:
    """2 / (1 + a) in Q2.29 of a in 0..1 in Q0.31, by three steps of Newton's method."""
    half = (a + _MAX + 1) >> 1
    x = _48_OVER_17 + doubling_high(half, -_32_OVER_17)
    for _ in range(3):
        error = (1 << 29) - doubling_high(half, x)
        x = x + saturating_shift_left(doubling_high(x, error), 2)
    return x


def logistic(x: Int64, integer_bits: int) -> Int64:
    """1 / (1 + exp(-x)) in Q0.31."""
    of_size = rescaled(_reciprocal_of_half_of_one_plus(exp_of_negative(-np.abs(x), integer_bits)), 1)
    return np.where(x == 0, 1 << 30, np.where(x > 0, of_size, _MAX - of_size))


def tanh(x: Int64, integer_bits: int) -> Int64:
    """tanh(x) in Q0.31."""
    exponential = exp_of_negative(-np.abs(x), integer_bits + 1)
    of_size = rescaled(_reciprocal_of_half_of_one_plus(exponential) - (1 << 29), 2)
    return np.where(x == 0, 0, np.where(x > 0, of_size, -of_size))


def input_radius(integer_bits: int, left_shift: int, total_bits: int = 31) -> int:
    """How far from the zero point an input may lie before its fixed-point form overflows."""
    return math.floor(((1 << integer_bits) - 1) * 2.0 ** (total_bits - integer_bits) / 2.0**left_shift)
