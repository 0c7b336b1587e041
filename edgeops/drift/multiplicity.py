"""Many tests in one window: which of them may be believed so that few of those that are, are false."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLEET_RATE = 0.02
"""Of what is believed in a fleet's window so much may be false on average; below 5 % also as it is measured."""


def benjamini_hochberg(p: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    """Which of the p-values (n,) pass, so that at most ``rate`` of those that do are expected to be false.

    Benjamini & Hochberg, JRSS-B 1995; holds for independent and positively dependent tests.
    """
    order = np.argsort(p)
    passed = p[order] <= rate * np.arange(1, len(p) + 1) / len(p)
    last = int(np.max(np.nonzero(passed)[0])) if passed.any() else -1
    found = np.zeros(len(p), bool)
    found[order[: last + 1]] = True
    return found


def simes(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """One p-value for each row of (families, tests): of "none of them is true" (Simes, Biometrika 1986)."""
    tests = p.shape[-1]
    combined: NDArray[np.float64] = np.min(np.sort(p, axis=-1) * tests / np.arange(1, tests + 1), axis=-1)
    return combined


def hierarchical(p: NDArray[np.float64], rate: float = FLEET_RATE) -> NDArray[np.bool_]:
    """Which tests of (families, tests) pass: families first by ``simes`` and Benjamini-Hochberg, then within each that
    passed, at the rate scaled by the share of families that did (Benjamini & Bogomolov, JRSS-B 2014).

    For a fleet a family is a device, its tests are its features.
    """
    families = benjamini_hochberg(simes(p), rate)
    within = rate * families.mean() if len(families) else rate
    found = np.zeros(p.shape, bool)
    for family in np.nonzero(families)[0]:
        found[family] = benjamini_hochberg(p[family], within)
    return found
