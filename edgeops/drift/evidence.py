"""How surely windows differ from the reference: level, spread and shape of each feature, as p-values.

Level and spread are tests of the moments; shape is Neyman's smooth test on the bins (components of the cells'
proportions, each beside its own inflation; their squares add up to a chi-squared, or to an F where the inflations are
only estimated). The uncertainty of the reference counts like that of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeops.core.observe import BINS, FeaturePlan
from edgeops.drift.reference import INNER, Calibration, Cells, Mean
from edgeops.drift.tails import two_sided

TESTS = ("level", "spread", "shape")
WEIGHTS = np.array([0.5, 0.2, 0.3])
"""What part of the allowed false alarms each test may use up."""
CONSTANT = 1e-6
"""A variance of steps, which are whole numbers, below that is none: what is left of it is rounding."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of one feature in W windows: ``bins`` (W, 12), ``sums`` and ``squares`` (W,) of the steps, int64."""

    bins: NDArray[np.int64]
    sums: NDArray[np.int64]
    squares: NDArray[np.int64]

    @property
    def n(self) -> NDArray[np.int64]:
        """Values behind each window, (W,)."""
        # a product is several times faster than a sum over a short axis, and this is done for each look
        total: NDArray[np.int64] = self.bins @ np.ones(self.bins.shape[1], np.int64)
        return total

    def __add__(self, other: Counted) -> Counted:
        """Merged, window by window."""
        return Counted(self.bins + other.bins, self.sums + other.sums, self.squares + other.squares)


class Known(Protocol):
    """A reference as far as evidence needs it."""

    @property
    def plan(self) -> FeaturePlan:
        """Its bins and counts."""

    @property
    def rows(self) -> int:
        """How many values it rests on."""


def p_values(reference: Known, counted: Counted, calibration: Calibration) -> NDArray[np.float64]:
    """(W, 3) p-values of ``TESTS``; 1 where a window has no values or the test is not made."""
    if calibration.level.variance < CONSTANT:
        return _of_constant(reference, counted)
    n = counted.n.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = counted.sums / n
        around = calibration.level.mean
        spread = counted.squares / n - 2 * around * level + around * around
        return np.stack(
            [
                _of_mean(calibration.level, level, n, reference.rows),
                _of_mean(calibration.spread, spread, n, reference.rows),
                _of_cells(calibration.cells, counted.bins, n, reference.rows),
            ],
            axis=1,
        )


def weighed(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """One p-value out of the three, (W,): the smallest in proportion to what each test may use up."""
    level, spread, shape = np.moveaxis(p / WEIGHTS, -1, 0)
    smallest: NDArray[np.float64] = np.minimum(1.0, np.minimum(np.minimum(level, spread), shape))
    return smallest


def _of_constant(reference: Known, counted: Counted) -> NDArray[np.float64]:
    """A reference that knew one value only: m values without another say that one in some m may differ.

    The number k of n that do is beta-binomial with the weights 1/2 and m + 1/2 (Jeffreys); the p-value is P(K >= k).
    """
    from scipy.stats import betabinom

    bin_of_all = int(np.argmax(reference.plan.reference))
    n = counted.n
    differ = n - counted.bins[:, bin_of_all]
    p = np.where(differ > 0, betabinom.sf(differ - 1, np.maximum(n, 1), 0.5, reference.rows + 0.5), 1.0)
    return np.stack([p, np.ones_like(p), np.ones_like(p)], axis=1)


def _of_mean(of: Mean, seen: NDArray[np.float64], n: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    error = np.sqrt(of.variance * (of.window.factor / n + of.whole / rows))
    return two_sided((seen - of.mean) / error, of.window.df, of.below, of.above)


def _of_cells(
    cells: Cells | None, bins: NDArray[np.int64], n: NDArray[np.float64], rows: int
) -> NDArray[np.float64]:
    from scipy.special import chdtrc, fdtrc

    if cells is None:
        return np.ones(len(bins))
    inner = bins[:, 1 : BINS - 1].copy()
    inner[:, 0] += bins[:, 0]
    inner[:, -1] += bins[:, -1]
    of_cell = np.zeros((len(bins), cells.basis.shape[0]))
    for source in range(INNER):
        of_cell[:, cells.group[source]] += inner[:, source]
    components = (of_cell / n[:, np.newaxis]) @ cells.basis
    factors = np.array([inflation.factor for inflation in cells.inflations])
    total = (components**2 / (factors / n[:, np.newaxis] + cells.whole / rows)).sum(axis=1)
    count, df = len(factors), min(inflation.df for inflation in cells.inflations)
    p = chdtrc(count, total) if np.isinf(df) else fdtrc(count, df, total / count)
    result: NDArray[np.float64] = np.where(np.isfinite(total), p, 1.0)
    return result
