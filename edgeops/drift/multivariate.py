"""All features together: a shift in how they depend on each other, which none of them shows alone.

Maximum mean discrepancy by random Fourier features (Gretton et al., JMLR 2012; ``edgeops.core.fourier``): their means
over a window against the reference's, whitened by the reference, so that their squares add up to a chi-squared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeops.core.fourier import ONE, draw_fourier
from edgeops.drift.dispersion import Dispersion

_SMALLEST = 0.02  # of the largest eigenvalue: what varies less is noise of rounding
_PER_COMPONENT, _PER_COMPONENT_DEPENDENT = 8, 16
"""So many effective rows a component must have in a window for its mean to be nearly normal."""


class FourierReference:
    """The reference's Fourier features: ``steps`` (m, features) int64, rows without missing values."""

    def __init__(self, steps: NDArray[np.int64]) -> None:
        self._fourier = draw_fourier(steps.shape[1])
        values = self.transform(steps)
        self.rows, self._mean = len(values), values.mean(axis=0)
        eigenvalues, vectors = np.linalg.eigh(np.cov(values - self._mean, rowvar=False))
        kept = np.nonzero(eigenvalues > _SMALLEST * eigenvalues[-1])[0][::-1]  # the largest first
        self._whiten = vectors[:, kept] / np.sqrt(eigenvalues[kept])
        components = (values - self._mean) @ self._whiten
        self._spreads = [Dispersion(components[:, index]) for index in range(components.shape[1])]

    def transform(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, features) steps to (n, 64) values in -1..1."""
        return self._fourier.transform(steps) / ONE

    def p_values(self, sums: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        """(W,) p-values of windows of ``n`` rows with these sums (W, 64); 1 where windows are too short to tell."""
        from scipy.special import chdtrc, fdtrc

        inflations = [spread.inflation(n) for spread in self._spreads]
        independent = all(inflation.independent for inflation in inflations)
        effective = n / max(1.0, *(inflation.factor for inflation in inflations))
        each = _PER_COMPONENT if independent else _PER_COMPONENT_DEPENDENT
        count = min(len(inflations), int(effective // each))
        if count < 2:
            return np.ones(len(sums))
        factors = np.array([inflation.factor for inflation in inflations[:count]])
        whole = np.array([spread.inflation(self.rows).factor for spread in self._spreads[:count]])
        components = (sums / n - self._mean) @ self._whiten[:, :count]
        total = (components**2 / (factors / n + whole / self.rows)).sum(axis=1)
        df = min(inflation.df for inflation in inflations[:count])
        p = chdtrc(count, total) if np.isinf(df) else fdtrc(count, df, total / count)
        return np.asarray(p, np.float64)

    def distance(self, sums: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        """(W,) the maximum mean discrepancy, 0 for equal distributions, below about 1."""
        apart = sums / n - self._mean
        return np.asarray(np.sqrt(2 * np.mean(apart**2, axis=1)), np.float64)
