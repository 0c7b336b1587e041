"""Counts of categories that have no order, such as predicted classes: the same test as on bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeops.drift.dispersion import Dispersion

_EXPECTED = 5
"""Categories of which a window should have fewer are counted together."""


class CategoryReference:
    """Reference categories in their order, (m,) int64 from 0 on; what is negative is not counted."""

    def __init__(self, values: NDArray[np.int64]) -> None:
        self.values = values[values >= 0]
        self.counts = np.bincount(self.values, minlength=1)

    def p_values(self, counts: NDArray[np.int64], n: int) -> NDArray[np.float64]:
        """(W,) p-values of windows with these counts, (W, categories); ``n`` is a whole window's number of values."""
        from scipy.special import chdtrc, fdtrc

        width = max(counts.shape[1], len(self.counts))
        known = np.pad(self.counts, (0, width - len(self.counts)))
        seen = np.pad(counts, ((0, 0), (0, width - counts.shape[1])))
        rows = len(self.values)
        frequent = np.nonzero(known * n / max(1, rows) >= _EXPECTED)[0]
        group = np.full(width, len(frequent))
        group[frequent] = np.arange(len(frequent))
        cells = int(group.max()) + 1
        total = seen.sum(axis=1)
        if cells < 2:
            return np.ones(len(counts))
        # a class that the reference does not have at all counts as half a row
        mass = np.bincount(group, known, cells)
        shares = np.maximum(mass, 0.5) / np.maximum(mass, 0.5).sum()
        weights = np.sqrt(shares)[:, np.newaxis]
        q, _ = np.linalg.qr(np.hstack([weights, np.eye(cells)[:, : cells - 1]]))
        basis = (q / weights)[:, 1:]
        spreads = [Dispersion(basis[group[self.values], index]) for index in range(cells - 1)]
        inflations = [spread.inflation(n) for spread in spreads]
        factors = np.array([inflation.factor for inflation in inflations])
        whole = np.array([spread.inflation(rows).factor for spread in spreads])
        of_cell = np.stack([seen[:, group == cell].sum(axis=1) for cell in range(cells)], axis=1)
        size = np.maximum(1, total)[:, np.newaxis]
        components = (of_cell / size) @ basis
        statistic = (components**2 / (factors / size + whole / rows)).sum(axis=1)
        df = min(inflation.df for inflation in inflations)
        count = cells - 1
        p = chdtrc(count, statistic) if np.isinf(df) else fdtrc(count, df, statistic / count)
        return np.where(total > 0, p, 1.0)
