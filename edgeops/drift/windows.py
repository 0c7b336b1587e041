"""Rows counted into windows, as a device counts them: bins, sums and squares of steps, and what was missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeops.core.moments import steps
from edgeops.core.observe import BINS, bin_of
from edgeops.drift.evidence import Counted
from edgeops.drift.reference import FeatureReference


def count_windows(
    reference: FeatureReference, values: NDArray[np.int64], seen: NDArray[np.bool_], size: int
) -> Counted:
    """Counts of one feature, (rows,) int64, in whole windows of ``size`` rows; a part at the end is left out."""
    windows = len(values) // size
    rows = windows * size
    of_window = np.repeat(np.arange(windows), size)[seen[:rows]]
    present = values[:rows][seen[:rows]]
    cell = of_window * BINS + bin_of(reference.plan.edges, present)
    moved = steps(present, reference.plan.mean, reference.plan.deviation)

    def total(weights: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(of_window, weights, windows).astype(np.int64)  # exact below 2**53

    bins = np.bincount(cell, minlength=windows * BINS).reshape(windows, BINS)
    return Counted(bins.astype(np.int64), total(moved), total(moved * moved))


def merged(counted: Counted, span: int) -> Counted:
    """Each window with the ``span`` - 1 before it; the first ones have less."""
    return Counted(_rolled(counted.bins, span), _rolled(counted.sums, span), _rolled(counted.squares, span))


def rolled(values: NDArray[np.float64], span: int) -> NDArray[np.float64]:
    """Sums over each window and the ``span`` - 1 before it, along the first axis."""
    total = np.cumsum(values, axis=0)
    result = total.copy()
    result[span:] -= total[:-span]
    return result


def _rolled(values: NDArray[np.int64], span: int) -> NDArray[np.int64]:
    total = np.cumsum(values, axis=0)
    result: NDArray[np.int64] = total.copy()
    result[span:] -= total[:-span]
    return result
