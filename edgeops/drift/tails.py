"""Tail probabilities of means that are nearly normal: with a spread that is only estimated, and with skewness."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NEGLIGIBLE = 1e-3


def two_sided(z: ArrayLike, df: float, below: float, above: float) -> NDArray[np.float64]:
    """p-values of standardised means ``z``, of any shape.

    ``df`` degrees of freedom stand behind the standard error (Student's t; infinite: known). ``below`` and ``above``
    are the skewness that the mean has towards either side; a tail is that of a shifted gamma distribution with it
    (Pearson's type III), which is exact for sums of squares. Non-finite ``z`` has the p-value 1: nothing was seen.
    """
    from scipy.special import ndtri, stdtr

    z = np.asarray(z, np.float64)
    seen = np.isfinite(z)
    clean = np.where(seen, z, 0.0)
    if not np.isinf(df):  # to the normal deviate of the same probability
        clean = np.sign(clean) * -ndtri(np.maximum(stdtr(df, -np.abs(clean)), 1e-300))
    one_side = np.where(clean > 0, _beyond(clean, above), _beyond(-clean, -below))
    result: NDArray[np.float64] = np.where(seen, np.minimum(1.0, 2 * one_side), 1.0)
    return result


def _beyond(z: NDArray[np.float64], skewness: float) -> NDArray[np.float64]:
    """P(Z > z) of a standardised variable whose skewness towards this side is ``skewness``."""
    from scipy.special import gammainc, gammaincc, ndtr

    if abs(skewness) < _NEGLIGIBLE:
        return np.asarray(ndtr(-z), np.float64)
    shape = 4 / skewness**2
    if skewness > 0:
        return np.asarray(gammaincc(shape, np.maximum(0.0, shape + z * shape**0.5)), np.float64)
    return np.asarray(gammainc(shape, np.maximum(0.0, shape - z * shape**0.5)), np.float64)
