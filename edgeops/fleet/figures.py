"""What one window of counters says about a model: error rate, mean confidence, slow inferences. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeops.core.messages import Report
from edgeops.core.observe import CONFIDENCE_BINS, LATENCY_BINS

MIN_INFERENCES = 5
"""A window with fewer says too little to be an observation of its own."""


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """Figures of a window, each 0..1; ``latency`` has the inferences per bucket of ``observe.latency_bin``."""

    inferences: int
    errors: float
    confidence: float | None
    latency: tuple[int, ...]


def figures_of(report: Report) -> WindowFigures | None:
    """The figures of a report; None for a window that is too small to say anything."""
    counters = report.counters
    tried = counters.inferences + counters.errors
    if tried < MIN_INFERENCES:
        return None
    total = sum(counters.confidence)
    weights = (count * (index + 0.5) / CONFIDENCE_BINS for index, count in enumerate(counters.confidence))
    return WindowFigures(
        counters.inferences,
        counters.errors / tried,
        sum(weights) / total if total else None,
        tuple(counters.latency),
    )


def latency_p95(histogram: Sequence[int]) -> float | None:
    """The 95th percentile in microseconds, interpolated within its bucket on a logarithmic scale; None if empty."""
    total = sum(histogram)
    if not total:
        return None
    passed = 0.0
    for index, count in enumerate(histogram):
        if count and passed + count >= 0.95 * total:
            low, high = bucket_bounds(index)
            share = (0.95 * total - passed) / count
            return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        passed += count
    return None


def share_slower(histogram: Sequence[int], microseconds: float) -> float:
    """The share of inferences that were certainly slower: those of buckets that lie above as a whole."""
    total = sum(histogram)
    above = sum(
        count for index, count in enumerate(histogram) if index and bucket_bounds(index)[0] >= microseconds
    )
    return above / total if total else 0.0


def bucket_bounds(index: int) -> tuple[float, float]:
    """A latency bucket in microseconds, from and below; the first begins at 1, the last is taken to double."""
    low = 1.0 if index == 0 else float(2 ** (index + 3))
    return low, float(2 ** (index + 4)) if index < LATENCY_BINS - 1 else 2 * low
