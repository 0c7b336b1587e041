"""The last step of a front end, measured on the train part: mean 0 and deviation 1, of all values or by column."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import ConfigError
from edgeops.core.features.columns import MOST, column_axis
from edgeops.core.features.steps import make_step
from edgeops.core.manifest import Step
from edgeops.training.arrays import Float32

MOST_STEPS = 8  # a manifest's core stays within 2 KB
_CHUNK = 1024
_SMALLEST = 1e-6  # a column that never changes is left in its own unit


def measured_steps(how: str, inputs: Float32, rows: NDArray[np.int64]) -> tuple[Step, ...]:
    """The steps that ``how`` (``no``, ``whole`` or ``columns``) asks for, from ``rows`` of (M, *shape).

    Raises ``ConfigError`` for more columns than a manifest has room for.
    """
    if how == "no":
        return ()
    axis = column_axis(inputs.shape[1:])
    if how == "whole":
        mean, deviation = _moments(inputs, rows, None)
        return (make_step("normalise", mean=_plain(mean)[0], deviation=_plain(deviation)[0]),)
    mean, deviation = _moments(inputs, rows, axis + 1)
    count = len(mean)
    if count > MOST * MOST_STEPS:
        raise ConfigError(
            f"{count} columns are more than the {MOST * MOST_STEPS} that a manifest has room to normalise",
            fix='set preprocessing.normalise = "whole", or leave columns out',
            key="preprocessing.normalise",
        )
    return tuple(
        make_step(
            "columns",
            first=start,
            mean=_plain(mean[start : start + MOST]),
            deviation=_plain(deviation[start : start + MOST]),
        )
        for start in range(0, count, MOST)
    )


def _moments(
    inputs: Float32, rows: NDArray[np.int64], axis: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation along ``axis``, or of everything; a chunk in memory at a time, in two passes."""
    count = 0
    total: NDArray[np.float64] = np.zeros(1)
    for values in _lined(inputs, rows, axis):
        total = total + values.sum(axis=0)
        count += len(values)
    mean = total / count
    squares: NDArray[np.float64] = np.zeros(1)
    for values in _lined(inputs, rows, axis):
        squares = squares + ((values - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / count)
    return mean, np.where(deviation < _SMALLEST, 1.0, deviation)


def _lined(inputs: Float32, rows: NDArray[np.int64], axis: int | None) -> Iterator[NDArray[np.float64]]:
    """Chunks as (values, columns)."""
    for start in range(0, len(rows), _CHUNK):
        chunk = np.asarray(inputs[rows[start : start + _CHUNK]], np.float64)
        if axis is None:
            yield chunk.reshape(-1, 1)
        else:
            yield np.moveaxis(chunk, axis, -1).reshape(-1, chunk.shape[axis])


def _plain(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Four significant digits: what a manifest carries is what is applied, and short."""
    return tuple(
        0.0 if value == 0 else round(float(value), 3 - math.floor(math.log10(abs(value)))) for value in values
    )
