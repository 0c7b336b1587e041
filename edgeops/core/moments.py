"""Moments as small integers: how far values lie from the reference's mean, in sixteenths of its deviation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEPS = 16
MAX_STEPS = 4 * STEPS
"""Beyond four deviations a value counts as this far: one wild reading must not outweigh a window."""


def steps(values: NDArray[np.int64], mean: int, deviation: int) -> NDArray[np.int64]:
    """int64 values to int64 in -64..64: floor((value - mean) * 16 / deviation), clipped.

    A deviation of 0 counts as 1. The sum of the steps and of their squares are what a window carries.
    """
    scaled = (values - mean) * STEPS // max(1, deviation)
    return np.clip(scaled, -MAX_STEPS, MAX_STEPS)
