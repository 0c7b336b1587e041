"""What windows are held against: the reference's bins and moments, and how much its windows vary by themselves.

Built from the ordered reference, so that autocorrelation is calibrated and not assumed away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.core.moments import steps
from edgeops.core.observe import BINS, FeaturePlan, bin_of, plan_feature
from edgeops.drift.dispersion import BLOCKS, Dispersion, Inflation

INNER = BINS - 2
MIN_ROWS = 100
MATTERS = 1.5
"""A window whose means vary that much more than independent ones has to be seen often enough in the reference."""
PER_CELL, PER_CELL_DEPENDENT = 10, 25
"""So many effective values a cell must have in a window, of independent and of dependent values."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A quantity whose mean is tested: the reference's mean, the variance of one value, the skewness of a window's mean
    towards smaller and larger values, and how means of a window and of the whole reference are inflated.
    """

    mean: float
    variance: float
    below: float
    above: float
    window: Inflation
    whole: float


@dataclass(frozen=True, slots=True)
class Cells:
    """Orthonormal components of the cells' proportions (Neyman's smooth test): ``group`` maps the ten inner bins to
    cells, ``basis`` (cells, components) has mean 0 and variance 1 over the reference.
    """

    group: NDArray[np.int64]
    basis: NDArray[np.float64]
    inflations: tuple[Inflation, ...]
    whole: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """One feature at one window length: level and spread, and the cells where there are enough values for them."""

    level: Mean
    spread: Mean
    cells: Cells | None


class FeatureReference:
    """One feature's reference: ``values`` (m,) int64 in their order, missing ones left out."""

    def __init__(self, name: str, values: NDArray[np.int64]) -> None:
        self.plan: FeaturePlan = plan_feature(name, values)
        self.rows = len(values)
        self._steps = steps(values, self.plan.mean, self.plan.deviation).astype(np.float64)
        self._inner = np.clip(bin_of(self.plan.edges, values), 1, INNER) - 1
        self._calibrations: dict[int, Calibration] = {}

    def calibration(self, n: int) -> Calibration:
        """For windows of ``n`` values; raises ``DataError`` where the reference is too short to tell."""
        if n not in self._calibrations:
            self._calibrations[n] = self._calibrate(n)
        return self._calibrations[n]

    def needed(self, n: int) -> int:
        """How many rows a reference for windows of ``n`` values needs: few where they are independent."""
        inflated = max(self._level.inflation(n).factor, self._spread.inflation(n).factor)
        return MIN_ROWS if inflated < MATTERS else BLOCKS * n

    @property
    def calibration_mean(self) -> float:
        """The mean of the reference's steps, which flooring puts half a step below 0."""
        return float(self._steps.mean())

    @cached_property
    def _level(self) -> Dispersion:
        return Dispersion(self._steps)

    @cached_property
    def _squares(self) -> NDArray[np.float64]:
        return (self._steps - self._steps.mean()) ** 2

    @cached_property
    def _spread(self) -> Dispersion:
        return Dispersion(self._squares)

    def _calibrate(self, n: int) -> Calibration:
        needed = max(MIN_ROWS, self.needed(n))
        if self.rows < needed:
            raise DataError(
                f"the reference of {self.plan.name!r} has {self.rows} values; windows of {n} need {needed}"
                + ("" if needed == MIN_ROWS else ", since its values depend on their neighbours"),
                fix="give a longer reference, or shorter windows",
                feature=self.plan.name,
                needed=needed,
            )
        level = no_thinner(_mean_of(self._steps, self._level, n))
        spread = never_below_zero(_mean_of(self._squares, self._spread, n), n)
        if not (level.window.independent and spread.window.independent):
            level, spread = skewed(level), skewed_squares(level, spread, n)
        return Calibration(level, spread, self._cells(n, level, spread))

    def _cells(self, n: int, level: Mean, spread: Mean) -> Cells | None:
        independent = level.window.independent and spread.window.independent
        effective = n / max(1.0, level.window.factor, spread.window.factor)
        count = int(min(INNER, effective // (PER_CELL if independent else PER_CELL_DEPENDENT)))
        filled = np.bincount(self._inner, minlength=INNER)
        if count < 3 or (filled > 0).sum() < 3:
            return None
        group = grouped(filled, count)
        of_row = group[self._inner]
        basis = orthonormal(np.bincount(of_row) / self.rows)
        spreads = [Dispersion(basis[of_row, component]) for component in range(basis.shape[1])]
        return Cells(
            group,
            basis,
            tuple(s.inflation(n) for s in spreads),
            np.array([s.inflation(self.rows).factor for s in spreads]),
        )


def references(
    names: Sequence[str], values: NDArray[np.int64], seen: NDArray[np.bool_]
) -> list[FeatureReference]:
    """One per column of ``values`` (m, features) int64; ``seen`` says which are not missing.

    Raises ``DataError`` for a column with too few values.
    """
    found = []
    for column, name in enumerate(names):
        present = values[seen[:, column], column]
        if len(present) < MIN_ROWS:
            raise DataError(
                f"the reference of {name!r} has {len(present)} values; at least {MIN_ROWS} are needed",
                fix="give a longer reference",
                feature=name,
                needed=MIN_ROWS,
            )
        found.append(FeatureReference(name, present))
    return found


def _mean_of(series: NDArray[np.float64], dispersion: Dispersion, n: int) -> Mean:
    variance = float(series.var())
    third = float(np.mean((series - series.mean()) ** 3)) / variance**1.5 if variance > 0 else 0.0
    whole = dispersion.inflation(len(series)).factor
    inflation = dispersion.inflation(n)
    skewness = third * (inflation.factor / n) ** 0.5
    return Mean(float(series.mean()), variance, skewness, skewness, inflation, whole)


def no_thinner(of: Mean) -> Mean:
    """Without the thinner tails that skewness gives: they end somewhere, and where is known too badly to bet on it."""
    return replace(of, below=min(0.0, of.below), above=max(0.0, of.above))


def skewed(level: Mean) -> Mean:
    """Third moments add up over neighbours faster than second ones do; nothing is gained from a thinner tail."""
    steep = 1.5 * level.above
    return replace(level, below=min(0.0, steep), above=max(0.0, steep))


def skewed_squares(level: Mean, spread: Mean, n: int) -> Mean:
    """The upper tail of a mean of squares follows its largest eigenvalue, which is the level's inflation (the spectral
    density at 0), while its variance follows the squares' own.
    """
    factor = max(1.0, level.window.factor) / max(1.0, spread.window.factor)
    return replace(spread, below=_ends_at_zero(spread, n), above=spread.above * factor)


def never_below_zero(spread: Mean, n: int) -> Mean:
    """A mean of squares may come as near to 0 as it likes, however skewed an outlier makes the reference seem."""
    return replace(spread, below=min(spread.below, _ends_at_zero(spread, n)))


def _ends_at_zero(spread: Mean, n: int) -> float:
    """The skewness of the gamma distribution that has this mean and variance, and no more."""
    return 2 * (spread.variance * spread.window.factor / n) ** 0.5 / max(spread.mean, 1e-12)


def grouped(filled: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The cell of each bin: ``count`` cells of about equal mass, none of them empty."""
    before = np.cumsum(filled) - filled / 2
    cell = np.minimum((before * count / filled.sum()).astype(np.int64), count - 1)
    # bins without values join the one below; cells without values vanish
    return np.searchsorted(np.unique(cell[filled > 0]), cell, side="right").clip(1) - 1


def orthonormal(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Polynomials in the cell's number, (cells, cells - 1), orthonormal under ``shares`` and to the constant."""
    cells = len(shares)
    weights = np.sqrt(shares)[:, np.newaxis]
    powers = np.vander(np.linspace(-1, 1, cells), cells, increasing=True)
    q, _ = np.linalg.qr(weights * powers)
    basis: NDArray[np.float64] = (q / weights)[:, 1:]
    return basis
