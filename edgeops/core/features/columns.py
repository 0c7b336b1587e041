"""Normalising columns of unlike units, a few at a time: a manifest's step carries at most sixteen numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError

Float32 = NDArray[np.float32]
Shape = tuple[int, ...]

MOST = 7  # columns of one step: the first column's number, and two numbers each


def column_axis(shape: Shape) -> int:
    """The axis that the columns lie along: the last one, or the one before where that has a single place."""
    return len(shape) - 2 if len(shape) > 1 and shape[-1] == 1 else len(shape) - 1


def columns_shape(
    shape: Shape, *, first: int, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> Shape:
    """The shape of what keeps it; raises ``InputError`` where there are not so many columns."""
    del deviation
    if not shape or 0 in shape or first + len(mean) > shape[column_axis(shape)]:
        raise InputError(f"columns {first} to {first + len(mean) - 1} are not all in {shape}", shape=shape)
    return shape


def normalise_columns(
    values: Float32, *, first: int, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> Float32:
    """(x - mean) / deviation of the columns from ``first`` on, in float32; the others stay as they are."""
    place = _place(values.shape, first, len(mean))
    result = values.copy()
    lined = _lined(values.shape, len(mean))
    result[place] = (values[place] - _numbers(mean, lined)) / _numbers(deviation, lined)
    return result


def unnormalise_columns(
    values: Float32, *, first: int, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> Float32:
    """The inverse of ``normalise_columns``."""
    place = _place(values.shape, first, len(mean))
    result = values.copy()
    lined = _lined(values.shape, len(mean))
    result[place] = values[place] * _numbers(deviation, lined) + _numbers(mean, lined)
    return result


def _place(shape: Shape, first: int, count: int) -> tuple[slice, ...]:
    axis = column_axis(shape)
    return (*(slice(None),) * axis, slice(first, first + count))


def _lined(shape: Shape, count: int) -> Shape:
    """The shape in which so many numbers lie along the columns' axis."""
    axis = column_axis(shape)
    return tuple(count if place == axis else 1 for place in range(len(shape)))


def _numbers(values: tuple[float, ...], lined: Shape) -> Float32:
    return np.array(values, np.float32).reshape(lined)
