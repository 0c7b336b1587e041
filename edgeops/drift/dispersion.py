"""How much the mean of n neighbouring values varies, beside the mean of n independent ones: the variance inflation.

Sensor data is autocorrelated: a window of 200 readings may say no more than ten independent ones. Two estimates are
made of the ordered reference. An autoregressive model (Yule-Walker, order by BIC) uses all of it and is exact where
the values are independent: then the order is 0 and the inflation 1. Overlapping batch means (Meketon & Schmeiser 1984)
look at blocks as long as the window and see what no short model does, such as a daily cycle; they are noisy and count
only where they are larger beyond doubt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_ORDER = 10
BLOCKS = 10
"""A reference of dependent values must be at least so many windows long."""
_DOUBT = 0.001
_EVIDENCE = 6.0  # a memory must be worth more than BIC's bare minimum: many series are looked at
_MAX_LAG = 4_000


@dataclass(frozen=True, slots=True)
class Inflation:
    """``factor``: variance of the mean of n values, over that of n independent ones; ``df``: how well it is known, in
    degrees of freedom, infinite where the values are independent.
    """

    factor: float
    df: float

    @property
    def independent(self) -> bool:
        """Whether the values were found independent."""
        return math.isinf(self.df)


class Dispersion:
    """The inflation of one ordered series, (m,) numbers, for windows of any length."""

    def __init__(self, series: NDArray[np.float64]) -> None:
        self._m = len(series)
        centred = series - series.mean()
        self._variance = float(centred.var())
        self._sums = np.concatenate([[0.0], np.cumsum(centred)])
        self._correlations = _autocorrelations(centred, self._variance)
        self._model = _autoregression(self._correlations, self._m)

    @property
    def independent(self) -> bool:
        """Whether no model with memory explains the series better than one without."""
        return not len(self._model)

    def inflation(self, n: int) -> Inflation:
        """The inflation for windows of ``n`` values; the reference may be too short to tell, see ``BLOCKS``."""
        if self._variance == 0:
            return Inflation(1.0, math.inf)
        factor = self._by_model(n)
        df = math.inf
        if not self.independent:
            # the estimate is biased towards zero by the mean that was taken off, and by the coefficients
            factor, df = factor * (1 + 4 * factor / self._m), max(2.0, self._m / (4 * factor))
        if self._m >= 8 * n > 8:
            measured, freedom = self._by_batches(n)
            if measured > factor * _chi2_quantile(1 - _DOUBT, freedom) / freedom:
                return Inflation(measured * (1 + 2 / freedom), freedom)
        return Inflation(factor, df)

    def _by_model(self, n: int) -> float:
        """1 + 2 * sum over lags k below n of (1 - k / n) * rho_k, with the model's correlations."""
        order = len(self._model)
        lags = min(n, _MAX_LAG)
        if not order or lags < 2:
            return 1.0
        rho = np.empty(max(lags, order + 1))
        rho[: order + 1] = self._correlations[: order + 1]
        for lag in range(order + 1, lags):
            rho[lag] = np.dot(self._model, rho[lag - 1 : lag - order - 1 : -1])
        k = np.arange(1, lags)
        return max(float(1 + 2 * np.sum((1 - k / n) * rho[1:lags])), 1 / n)

    def _by_batches(self, n: int) -> tuple[float, float]:
        """(inflation, degrees of freedom) by overlapping blocks of ``n`` values."""
        means = (self._sums[n:] - self._sums[:-n]) / n
        shrunk = self._m / (self._m - n)  # blocks share the mean that was taken off
        return float(n * np.mean(means * means) * shrunk / self._variance), 1.5 * self._m / n


def _autocorrelations(centred: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    """rho_0 .. rho_MAX_ORDER."""
    m = len(centred)
    lags = min(MAX_ORDER, max(0, m - 1)) + 1
    if variance == 0:
        return np.eye(1, MAX_ORDER + 1)[0]
    rho = [float(np.dot(centred[lag:], centred[: m - lag])) / (m * variance) for lag in range(lags)]
    return np.array(rho + [0.0] * (MAX_ORDER + 1 - lags))


def _autoregression(rho: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """The coefficients of the best model by BIC (Levinson-Durbin recursion); none where there is no memory."""
    model, error = np.zeros(0), 1.0
    best, lowest = model, -_EVIDENCE
    for order in range(1, MAX_ORDER + 1):
        reflection = (rho[order] - float(np.dot(model, rho[order - 1 : 0 : -1]))) / error
        model = np.append(model - reflection * model[::-1], reflection)
        error *= 1 - reflection * reflection
        if error <= 1e-12:
            return model
        criterion = m * math.log(error) + order * math.log(max(m, 2))
        if criterion < lowest:
            best, lowest = model, criterion
    return best


def _chi2_quantile(probability: float, df: float) -> float:
    """By Wilson and Hilferty (1931): close enough for a doubt of one in a thousand."""
    from scipy.special import ndtri

    spread = 2 / (9 * df)
    return float(df * (1 - spread + float(ndtri(probability)) * math.sqrt(spread)) ** 3)
