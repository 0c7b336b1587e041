"""References that are learned from a device's own first windows: where its world is not that of the training data.

Only counters are there, so how much windows vary by themselves is estimated from how much they did, shrunk towards what
the training reference says as if that were ``PRIOR`` windows more. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgeops.core.counters import Counters
from edgeops.core.observe import BINS, FeaturePlan
from edgeops.drift.dispersion import Inflation
from edgeops.drift.evidence import Counted
from edgeops.drift.matrix import Matrix
from edgeops.drift.reference import (
    INNER,
    MATTERS,
    PER_CELL_DEPENDENT,
    Calibration,
    Cells,
    Mean,
    grouped,
    no_thinner,
    orthonormal,
    skewed,
    skewed_squares,
)
from edgeops.drift.signals import BinnedReference, References

PRIOR = 10
MOST_TOGETHER = 500
MOST_LEARNED = 64
"""So many first windows of a device are its reference at the most."""
_LEAST_VARIANCE = 1e-9
_DOUBT = 0.05
LEAST_CELLS = 3


@dataclass(frozen=True)
class LearnedFeature:
    """A feature as these windows had it; ``before`` is the reference whose variation is taken for granted at first."""

    before: BinnedReference
    counted: Counted
    plan: FeaturePlan
    calibrations: dict[int, Calibration] = field(default_factory=dict, compare=False, repr=False)

    @property
    def rows(self) -> int:
        """Values behind it."""
        return int(self.counted.n.sum())

    @property
    def calibration_mean(self) -> float:
        """The mean of its steps."""
        return float(self.counted.sums.sum() / max(1, self.rows))

    def calibration(self, n: int) -> Calibration:
        """For windows of ``n`` values; raises ``DataError`` where the reference before is too short to tell."""
        if n not in self.calibrations:
            self.calibrations[n] = self._calibrate(n)
        return self.calibrations[n]

    def _calibrate(self, n: int) -> Calibration:
        usual = self.before.calibration(n)
        lengths = np.maximum(1, self.counted.n).astype(np.float64)
        means = self.counted.sums / lengths
        centre = self.calibration_mean
        squares = self.counted.squares / lengths - 2 * centre * means + centre * centre
        variance = max(float(self.counted.squares.sum() / max(1, self.rows)) - centre * centre, 0.0)
        # the squares' own variance is not in the counters: in proportion to what it was
        ratio = variance / max(usual.level.variance, _LEAST_VARIANCE)
        level = no_thinner(_learned(usual.level, means, lengths, centre, variance))
        spread = _learned(usual.spread, squares, lengths, variance, usual.spread.variance * ratio * ratio)
        spread = no_thinner(spread)
        widest = max(level.window.factor, spread.window.factor)
        if widest >= MATTERS:
            # neighbours depend on each other: tails are theirs, and cells need more values each
            level, spread = skewed(level), skewed_squares(level, spread, n)
            if n / widest < LEAST_CELLS * PER_CELL_DEPENDENT:
                return Calibration(level, spread, None)
        return Calibration(level, spread, self._cells(usual.cells, lengths))

    def _cells(self, usual: Cells | None, lengths: NDArray[np.float64]) -> Cells | None:
        if usual is None:
            return None
        inner = self.counted.bins[:, 1 : BINS - 1].copy()
        inner[:, 0] += self.counted.bins[:, 0]
        inner[:, -1] += self.counted.bins[:, -1]
        filled = inner.sum(axis=0)
        if (filled > 0).sum() < 3:
            return None
        group = grouped(filled, usual.basis.shape[0])
        cells = int(group.max()) + 1
        if cells < 3:
            return None
        of_cell = np.zeros((len(inner), cells))
        for source in range(INNER):
            of_cell[:, group[source]] += inner[:, source]
        basis = orthonormal(of_cell.sum(axis=0) / self.rows)
        components = of_cell / lengths[:, np.newaxis] @ basis
        factors = [
            _shrunk(
                usual.inflations[min(column, len(usual.inflations) - 1)],
                components[:, column],
                lengths,
                0.0,
                1.0,
            )
            for column in range(cells - 1)
        ]
        return Cells(group, basis, tuple(factors), np.array([factor.factor for factor in factors]))


@dataclass(frozen=True)
class LearnedClasses:
    """Predicted classes as these windows had them."""

    counts: NDArray[np.int64]
    factor: float

    def p_values(self, counts: NDArray[np.int64], n: int) -> NDArray[np.float64]:
        """(W,) p-values of a chi-squared on classes of which a window should have five; see ``CategoryReference``."""
        from scipy.special import chdtrc

        total = max(1, int(self.counts.sum()))
        frequent = self.counts * n / total >= 5
        if frequent.sum() < 1 or len(counts) == 0:
            return np.ones(len(counts))
        known = np.append(self.counts[frequent], max(0.5, float(self.counts[~frequent].sum())))
        seen = np.column_stack([counts[:, frequent], counts[:, ~frequent].sum(axis=1)])
        size = np.maximum(1, seen.sum(axis=1, keepdims=True))
        shares = known / known.sum()
        apart = (seen / size - shares) ** 2 / (shares * self.factor * (1 / size + 1 / total))
        p: NDArray[np.float64] = chdtrc(len(known) - 1, apart.sum(axis=1))
        return p


def learn(before: References, windows: Sequence[Counters]) -> References:
    """The references of a device that had these windows, two or more, at first.

    All features together are not looked at: their sums say nothing of how they vary.
    """
    return _learned_from(before, Matrix.of(windows))


def learned_together(devices: Sequence[References]) -> References:
    """One reference of several devices that learned theirs, from the windows of all; at most ``MOST_TOGETHER``."""
    before, first = devices[0].before, [one.learned_from for one in devices if one.learned_from is not None]
    assert before is not None and first
    rows = np.concatenate([matrix.rows for matrix in first])
    every = max(1, -(-len(rows) // MOST_TOGETHER))
    return _learned_from(before, Matrix(first[0].layout, rows[::every]))


def _learned_from(before: References, windows: Matrix) -> References:
    features = tuple(
        _learn_feature(reference, windows.feature(column)) for column, reference in enumerate(before.features)
    )
    margin = None if before.margin is None else _learn_feature(before.margin, windows.margin())
    classes = None
    if before.classes is not None:
        classes = LearnedClasses(windows.classes.sum(axis=0), _class_factor(windows.classes))
    return References(before.bins, features, margin, classes, None, before, windows)


def _learn_feature(before: BinnedReference, counted: Counted) -> LearnedFeature:
    plan = replace(before.plan, reference=tuple(int(count) for count in counted.bins.sum(axis=0)))
    return LearnedFeature(before, counted, plan)


def _learned(
    usual: Mean, means: NDArray[np.float64], lengths: NDArray[np.float64], centre: float, variance: float
) -> Mean:
    variance = max(variance, 0.0)
    window = _shrunk(usual.window, means, lengths, centre, variance)
    return replace(
        usual, mean=centre, variance=variance, window=window, whole=max(window.factor, usual.whole)
    )


def _shrunk(
    usual: Inflation, means: NDArray[np.float64], lengths: NDArray[np.float64], centre: float, variance: float
) -> Inflation:
    """How much window means vary beside independent ones, with the usual inflation as ``PRIOR`` windows more."""
    from scipy.special import chdtrc

    free = len(means) - 1
    if variance <= _LEAST_VARIANCE or free < 1:
        return Inflation(usual.factor, PRIOR)
    measured = float((lengths * (means - centre) ** 2).sum() / free / variance)
    if chdtrc(free, free * measured / max(usual.factor, _LEAST_VARIANCE)) < _DOUBT:
        return Inflation(measured * (1 + 2 / free), free)  # what was taken for granted does not hold here
    return Inflation((PRIOR * usual.factor + free * measured) / (PRIOR + free), PRIOR + free)


def _class_factor(counts: NDArray[np.int64]) -> float:
    """The dispersion of class counts between windows, 1 for independent predictions, shrunk towards that."""
    total, sizes = counts.sum(axis=0), counts.sum(axis=1, keepdims=True)
    expected = sizes * total / max(1, total.sum())
    cells = expected >= 1
    free = max(1, (len(counts) - 1) * (counts.shape[1] - 1))
    measured = float((((counts - expected) ** 2)[cells] / expected[cells]).sum()) / free
    return max(1.0, (PRIOR + (len(counts) - 1) * measured) / (PRIOR + len(counts) - 1))
