"""How accurate a model is: estimated without labels, measured with them.

Without labels this is confidence-based performance estimation (CBPE, as in NannyML): each confidence bin is
taken to be as often right as it was on the validation set. It cannot see concept drift: inputs that look and
score as before but mean something else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeops.core.counters import Counters
from edgeops.core.errors import WireError
from edgeops.core.observe import ObservePlan

_Z = 1.959963984540054  # two-sided 95%
_PRIOR = 0.5  # Jeffreys' Beta(1/2, 1/2): half a right and half a wrong answer added to every bin


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95% interval."""

    value: float
    low: float
    high: float


def estimated_accuracy(plan: ObservePlan, counters: Counters) -> Estimate | None:
    """Accuracy expected from the confidence counts and the plan's calibration; None without either.

    value = sum(n_b * p_b) / n. The variance has two parts: which of these inputs are right,
    sum(n_b * p_b * (1 - p_b)) / n**2, and how well the validation set knows p_b, the Beta posterior's
    sum((n_b / n)**2 * p_b * (1 - p_b) / (m_b + 2)) with m_b predictions in the bin. Raises ``WireError``
    on other bins.
    """
    if counters.bins != plan.digest():
        raise WireError("counters were counted in other bins than the reference's")
    n = sum(counters.confidence)
    calibrated = calibration_curve(plan.calibration)
    if n == 0 or calibrated is None:
        return None
    value = variance = 0.0
    for count, p, (seen, _) in zip(counters.confidence, calibrated, plan.calibration, strict=True):
        share = count / n
        value += share * p
        variance += p * (1 - p) * (share / n + share**2 / (seen + 1 + 2 * _PRIOR))
    margin = _Z * math.sqrt(variance)
    return Estimate(value, max(0.0, value - margin), min(1.0, value + margin))


def calibration_curve(calibration: Sequence[Sequence[int]]) -> tuple[float, ...] | None:
    """How often each confidence bin is right, from its (predictions, of which correct); None if all empty.

    (correct + 1/2) / (predictions + 1); an empty bin lies on the line between its nearest filled neighbours,
    and beyond the last one takes that one's value.
    """
    known = {b: (right + _PRIOR) / (seen + 2 * _PRIOR) for b, (seen, right) in enumerate(calibration) if seen}
    if not known:
        return None
    return tuple(known[b] if b in known else _between(known, b) for b in range(len(calibration)))


def _between(known: dict[int, float], index: int) -> float:
    below = max((b for b in known if b < index), default=None)
    above = min((b for b in known if b > index), default=None)
    if below is None or above is None:
        return known[max(known) if above is None else min(known)]
    weight = (index - below) / (above - below)
    return known[below] * (1 - weight) + known[above] * weight


def measured_accuracy(correct: int, n: int) -> Estimate:
    """The share of ``correct`` in ``n`` labelled predictions, with Wilson's score interval (Wilson 1927).

    Raises ``ValueError`` when there is nothing to measure or the counts are impossible.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} correct of {n} predictions is not a measurement")
    return share_of(correct / n, n)


def share_of(share: float, n: float) -> Estimate:
    """A share in 0..1 with Wilson's interval, measured on ``n`` > 0 independent items, which may be a fraction."""
    z2 = _Z * _Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    margin = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(share, max(0.0, min(share, centre - margin)), min(1.0, max(share, centre + margin)))
