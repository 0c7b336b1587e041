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


def other_rate(before: Sequence[float], latest: Sequence[float]) -> float | None:
    """By what factor all the latest rates (inputs a second) differ from the median before; None where they do not.

    Both lists are of whole windows; too few say nothing.
    """
    if len(before) < MIN_RATES or len(latest) < SUSTAINED or median(before) <= 0:
        return None
    ratios = [rate / median(before) for rate in latest]
    if min(ratios) >= OTHER_RATE or max(ratios) <= 1 / OTHER_RATE:
        return median(ratios)
    return None
