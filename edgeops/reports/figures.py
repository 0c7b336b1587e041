"""A number with its uncertainty, and whether it was measured or estimated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgeops.core.observe import CONFIDENCE_BINS, LATENCY_BINS
from edgeops.drift.estimate import Estimate, measured_accuracy

Basis = Literal["measured", "estimated"]


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` between ``low`` and ``high``, from ``n`` predictions; all None where nothing is known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    basis: Basis | None = None
    n: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


UNKNOWN = Figure()


def of_estimate(estimate: Estimate | None, basis: Basis, n: int) -> Figure:
    """A figure from an estimate with its 95% interval."""
    return Figure(estimate.value, estimate.low, estimate.high, basis, n) if estimate else UNKNOWN


def measured(correct: int, n: int) -> Figure:
    """The share of correct ones in ``n`` labelled predictions; unknown when there are none."""
    return of_estimate(measured_accuracy(correct, n), "measured", n) if n else UNKNOWN


def pooled(figures: Iterable[Figure], basis: Basis) -> Figure:
    """One figure of several devices' with that basis, weighted by n; devices are taken as independent."""
    known = [f for f in figures if f.basis == basis and f.value is not None and f.n]
    n = sum(f.n for f in known)
    if not n:
        return UNKNOWN
    value = sum((f.value or 0.0) * f.n for f in known) / n
    if basis == "measured":
        return measured(round(value * n), n)
    margins = (((f.high or 0.0) - (f.low or 0.0)) / 2 * f.n / n for f in known)
    margin = math.sqrt(sum(m * m for m in margins))
    return Figure(value, max(0.0, value - margin), min(1.0, value + margin), basis, n)


def mean_confidence(counts: Sequence[int]) -> Figure:
    """Mean of the winning scores, from bin mid-points; the interval is the width of the bins."""
    n = sum(counts)
    if not n or len(counts) != CONFIDENCE_BINS:
        return UNKNOWN
    low = sum(i * count for i, count in enumerate(counts)) / (CONFIDENCE_BINS * n)
    return Figure(low + 0.5 / CONFIDENCE_BINS, low, low + 1 / CONFIDENCE_BINS, "estimated", n)


def latency_quantile(counts: Sequence[int], share: float) -> Figure:
    """The bucket in which a quantile of the latencies lies, in microseconds: ``value`` is its upper bound.

    The last bucket has no upper bound: ``value`` is then the lower one and ``high`` is None.
    """
    n = sum(counts)
    if not n or len(counts) != LATENCY_BINS:
        return UNKNOWN
    wanted, bucket, seen = share * n, 0, counts[0]
    while seen < wanted:
        bucket += 1
        seen += counts[bucket]
    low = 2 ** (bucket + 3) if bucket else 0
    if bucket == LATENCY_BINS - 1:
        return Figure(low, low, None, "measured", n)
    return Figure(2 ** (bucket + 4), low, 2 ** (bucket + 4), "measured", n)
