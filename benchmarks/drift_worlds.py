"""Worlds without drift that detectors are watched on, and the terms of the watch: rows of eight normal features.

Null streams are independent, autocorrelated (lag-1 correlation 0.5 and 0.9), and with a daily cycle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FEATURES = 8
ALLOWED = 1 / 3000  # false alarms a window
REFERENCE = 20_000  # rows
WINDOW = 200  # rows
DAY = 1_440  # rows
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def autocorrelated(rho: float) -> Draw:
    """(rows, FEATURES) normal values of variance 1 with this correlation between neighbours."""

    def draw(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
        from scipy.signal import lfilter

        noise = rng.standard_normal((rows + 200, FEATURES))
        if rho == 0:
            return noise[200:]
        return np.asarray(lfilter([np.sqrt(1 - rho * rho)], [1, -rho], noise, axis=0)[200:])

    return draw


def daily(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Noise on a cycle of 1,440 rows that begins anywhere."""
    phase = 2 * np.pi * (np.arange(rows) + rng.integers(DAY)) / DAY
    return np.asarray((rng.standard_normal((rows, FEATURES)) + np.sin(phase)[:, np.newaxis]) / np.sqrt(1.5))


NULL: dict[str, Draw] = {
    "independent": autocorrelated(0.0),
    "correlation 0.5": autocorrelated(0.5),
    "correlation 0.9": autocorrelated(0.9),
    "daily cycle": daily,
}


def upper_bound(count: int, windows: int) -> float:
    """The upper 95 % bound of a rate per 1,000 windows of which ``count`` were false alarms (Poisson, exact)."""
    from scipy.stats import chi2

    return 1000 * float(chi2.ppf(0.95, 2 * (count + 1))) / 2 / windows
