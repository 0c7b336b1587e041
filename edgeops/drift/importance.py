"""How much a feature means to a model: how far what it predicts, and how surely, depends on it. Pure.

The larger of Cramér's V between the feature's bins and the predicted classes (Cramér 1946, with the bias correction of
Bergsma 2013), and the correlation ratio of the margin given the bins (Fisher 1925), both 0 to 1. It says which shifts
to look at first; it is no proof that a feature is the cause.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeops.core.observe import BINS


def importance(bins: NDArray[np.int64], predicted: NDArray[np.int64], margin: NDArray[np.int64]) -> float:
    """Of a feature's bins (V,), predicted classes (V,) and margins (V,) of the same inputs."""
    return max(_cramers_v(bins, predicted), _correlation_ratio(bins, margin.astype(np.float64)))


def _cramers_v(bins: NDArray[np.int64], classes: NDArray[np.int64]) -> float:
    table = np.zeros((BINS, int(classes.max(initial=0)) + 1))
    np.add.at(table, (bins, classes), 1)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n, (rows, columns) = table.sum(), table.shape
    if n < 2 or rows < 2 or columns < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    free = (rows - 1) * (columns - 1)
    phi = max(0.0, float(((table - expected) ** 2 / expected).sum()) / n - free / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return math.sqrt(min(1.0, phi / least)) if least > 0 else 0.0


def _correlation_ratio(bins: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    total = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    if total <= 0:
        return 0.0
    counts = np.bincount(bins, minlength=BINS)
    means = np.bincount(bins, values, BINS) / np.maximum(1, counts)
    between = float((counts * (means - values.mean()) ** 2).sum())
    groups = int((counts > 0).sum())
    if len(values) <= groups:
        return 0.0
    # epsilon squared (Kelley 1935): without the part that chance explains
    explained = 1 - (total - between) / (len(values) - groups) / (total / (len(values) - 1))
    return math.sqrt(min(1.0, max(0.0, explained)))
