"""Made streams of numbers whose truth is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from edgeops.drift.arrays import Arrays


def normal(seed: int, rows: int, features: int = 1, rho: float = 0.0) -> NDArray[np.float64]:
    """(rows, features) values of mean 0 and variance 1, with the correlation ``rho`` between neighbours."""
    noise = np.random.default_rng(seed).standard_normal((rows + 200, features))
    if rho == 0:
        return noise[200:]
    return np.asarray(lfilter([np.sqrt(1 - rho * rho)], [1, -rho], noise, axis=0)[200:])


def arrays(x: NDArray[np.float64], **more: object) -> Arrays:
    """Arrays with the features x0, x1, ..."""
    return Arrays(x, tuple(f"x{column}" for column in range(x.shape[1])), **more)  # type: ignore[arg-type]
