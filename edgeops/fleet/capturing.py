"""Capture policies: as plain data in a desired state, and the bins that have become fuller, which they can ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeops.core.counters import Counters
from edgeops.core.messages import MAX_SHIFTED, CapturePolicy, ShiftedBins
from edgeops.core.observe import ObservePlan

FULLER = 1.5
"""A bin is asked for when its share of a window is so many times what it was in the reference."""
NOTABLE = 0.02  # ... and has grown by so much, since of a few inputs every share is large


def capture_as_plain(policy: CapturePolicy) -> list[Any]:
    """[permille, budget, uncertain_below, [[feature, bins], ...], daily_bytes], as JSON has it."""
    shifted = [[one.feature, one.bins] for one in policy.shifted]
    return [policy.permille, policy.budget, policy.uncertain_below, shifted, policy.daily_bytes]


def capture_from_plain(stored: Sequence[Any]) -> CapturePolicy:
    """The inverse of ``capture_as_plain``; [permille, budget] is what earlier versions wrote."""
    permille, budget, *rest = stored
    if not rest:
        return CapturePolicy(permille, budget)
    uncertain_below, shifted, daily_bytes = rest
    bins = tuple(ShiftedBins(feature, mask) for feature, mask in shifted)
    return CapturePolicy(permille, budget, uncertain_below, bins, daily_bytes)


def fuller_bins(plan: ObservePlan, counters: Counters, most: int = MAX_SHIFTED) -> tuple[ShiftedBins, ...]:
    """The bins of each feature that have become fuller than in the reference; of the features that grew most.

    ``counters`` must be counted in the plan's bins.
    """
    found: list[tuple[float, ShiftedBins]] = []
    for index, (feature, counted) in enumerate(zip(plan.features, counters.features, strict=True)):
        before, now = sum(feature.reference) or 1, sum(counted) or 1
        mask, grown = 0, 0.0
        for place, (was, has) in enumerate(zip(feature.reference, counted, strict=True)):
            more = has / now - was / before
            if more >= NOTABLE and has / now >= FULLER * was / before:
                mask, grown = mask | 1 << place, grown + more
        if mask:
            found.append((grown, ShiftedBins(index, mask)))
    chosen = sorted(found, key=lambda pair: (-pair[0], pair[1].feature))[:most]
    return tuple(sorted((bins for _, bins in chosen), key=lambda bins: bins.feature))
