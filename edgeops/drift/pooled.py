"""Windows of many devices together: a shift that none of them shows alone.

Devices differ from each other. Where their means lie farther apart than chance puts them, that counts as variation,
with as many degrees of freedom as there are devices: one broken sensor among many does not move the fleet. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.core.moments import STEPS
from edgeops.drift.dispersion import Inflation
from edgeops.drift.evidence import Counted, p_values, weighed
from edgeops.drift.matrix import Matrix
from edgeops.drift.reference import Calibration, Mean
from edgeops.drift.signals import BinnedReference, Looks, References, usual_length
from edgeops.drift.size import jensen_shannon

MIN_DEVICES = 3
CAP = 10
"""A window of more than so many times the usual inputs does not speak for the others: it is left out, and told of."""
_DOUBT = 0.05


@dataclass(frozen=True)
class Pool:
    """The looks at a pool, one row, at the signals ``data`` and ``confidence``; its inputs; and who was left out."""

    looks: Looks
    n: int
    left_out: tuple[int, ...]


def look_at_pool(references: References, windows: Matrix) -> Pool | None:
    """One look at all windows together, one of each device; None where there are fewer than ``MIN_DEVICES``."""
    sizes = windows.observed
    some = sizes[sizes > 0]
    limit = CAP * float(np.median(some)) if len(some) else 0.0
    left_out = tuple(int(i) for i in np.nonzero(sizes > limit)[0])
    rows = [i for i in np.nonzero(sizes)[0].tolist() if i not in left_out]
    if len(rows) < MIN_DEVICES:
        return None
    kept = windows.chosen(rows)
    signals = references.signals()
    p, size = np.ones((1, len(signals))), np.zeros((1, len(signals)))
    moved = np.full((1, len(signals)), np.nan)
    for column, reference in enumerate(references.features):
        p[0, column], size[0, column], moved[0, column] = _look(reference, kept.feature(column))
    if references.margin is not None:
        column = len(references.features)
        p[0, column], size[0, column], moved[0, column] = _look(references.margin, kept.margin())
    return Pool(Looks(p, size, moved), int(kept.observed.sum()), left_out)


def _look(reference: BinnedReference, counted: Counted) -> tuple[float, float, float]:
    n = counted.n
    total = Counted(
        counted.bins.sum(axis=0, keepdims=True),
        counted.sums.sum(keepdims=True),
        counted.squares.sum(keepdims=True),
    )
    size = float(jensen_shannon(np.array(reference.plan.reference), total.bins)[0])
    moved = float(total.sums[0] / total.n[0] - reference.calibration_mean) / STEPS
    length = usual_length(int(np.median(n)))
    try:
        calibration = reference.calibration(length)
        if calibration.level.window.independent and calibration.spread.window.independent:
            length = usual_length(int(n.sum()))
            calibration = reference.calibration(length)
    except DataError:
        return 1.0, size, moved
    of_all = _of_as_many(_between_devices(calibration, counted), length, int(n.sum()))
    return float(weighed(p_values(reference, total, of_all))[0]), size, moved


def _of_as_many(calibration: Calibration, n: int, together: int) -> Calibration:
    """The skewness of a mean falls with the root of how many values are behind it."""
    less = (n / together) ** 0.5
    level, spread = (
        replace(of, below=of.below * less, above=of.above * less)
        for of in (calibration.level, calibration.spread)
    )
    return replace(calibration, level=level, spread=spread)


def _between_devices(calibration: Calibration, counted: Counted) -> Calibration:
    n = counted.n.astype(np.float64)
    means = counted.sums / n
    around = calibration.level.mean
    squares = counted.squares / n - 2 * around * means + around * around
    level, by_level = _widened(calibration.level, means, n)
    spread, by_spread = _widened(calibration.spread, squares, n)
    cells = calibration.cells
    if cells is not None and max(by_level, by_spread) > 1:
        widest = max(by_level, by_spread)
        df = float(len(n) - 1)
        cells = replace(
            cells,
            inflations=tuple(Inflation(i.factor * widest, min(i.df, df)) for i in cells.inflations),
        )
    return Calibration(level, spread, cells)


def _widened(of: Mean, means: NDArray[np.float64], n: NDArray[np.float64]) -> tuple[Mean, float]:
    from scipy.special import chdtrc

    df = len(means) - 1
    if of.variance == 0:
        return of, 1.0
    centre = float((means * n).sum() / n.sum())
    statistic = float((n * (means - centre) ** 2).sum() / (of.variance * of.window.factor))
    if chdtrc(df, statistic) > _DOUBT:
        return of, 1.0
    factor = max(1.0, statistic / df)
    return replace(of, window=Inflation(of.window.factor * factor, min(of.window.df, float(df)))), factor
