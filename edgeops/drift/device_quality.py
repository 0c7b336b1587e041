"""A sensor that gives nothing usable: values that are missing or stuck, or at another rate. Never a changed world.

Pure: windows in, what is wrong out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from edgeops.core.counters import Counters

MISSING_SHARE = 0.05
"""A share of inputs with missing values from which a sensor is at fault."""
STUCK_SHARE = 0.5
"""A share of inputs that repeat the one before to the bit."""
MIN_INPUTS = 20
OTHER_RATE = 2.0
"""Inputs come so many times faster or slower than they did."""
RATES = 8
MIN_RATES = 5
SUSTAINED = 2
BY_CHANCE = 1e-6
"""So seldom at the most may inputs that come by chance come as fast or as slowly."""

Pace = tuple[int, int]
"""Inferences of a window, and how long it lasted in milliseconds."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``name`` is ``missing``, ``stuck`` or ``rate``; ``share`` what part of the inputs, or the ratio of the rates."""

    name: str
    share: float
    n: int


def faults(window: Counters) -> tuple[Fault, ...]:
    """What one window says by itself."""
    tried = window.inferences + window.rejected_inputs
    found = []
    if tried >= MIN_INPUTS and window.missing / tried >= MISSING_SHARE:
        found.append(Fault("missing", window.missing / tried, tried))
    if window.observed >= MIN_INPUTS and window.stuck / window.observed >= STUCK_SHARE:
        found.append(Fault("stuck", window.stuck / window.observed, window.observed))
    return tuple(found)


def other_rate(before: Sequence[Pace], latest: Sequence[Pace]) -> float | None:
    """By what factor the rates of all the latest windows differ from the one before; None where they do not.

    As many inputs must be expected in each as ``MIN_INPUTS``, and a Poisson count must hardly ever lie so far off, or
    a device that has few would always be at fault. Too few windows say nothing.
    """
    from scipy.special import pdtr, pdtrc

    lasted = sum(duration for _, duration in before)
    if len(before) < MIN_RATES or len(latest) < SUSTAINED or lasted <= 0:
        return None
    rate = median(count / duration for count, duration in before)
    ratios = []
    for count, duration in latest:
        expected = rate * duration
        if expected < MIN_INPUTS:
            return None
        ratios.append(count / expected)
        chance = float(pdtrc(count - 1, expected) if count > expected else pdtr(count, expected))
        if chance > BY_CHANCE:
            return None
    if min(ratios) >= OTHER_RATE or max(ratios) <= 1 / OTHER_RATE:
        return median(ratios)
    return None
