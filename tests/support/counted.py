"""Counters for tests: any that a window can make, and those that need the most bits."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeops.core.counters import Counters
from edgeops.core.fourier import COMPONENTS, ONE
from edgeops.core.moments import MAX_STEPS
from edgeops.core.observe import BINS, CONFIDENCE_BINS, LATENCY_BINS

OF_BINS = b"bins"


def empty(features: int = 1, classes: int = 1, bins: bytes = OF_BINS) -> Counters:
    """Counters of nothing, without moments or a margin."""
    nothing = (0,) * BINS
    return Counters(
        bins=bins,
        inferences=0,
        errors=0,
        rejected_inputs=0,
        classes=(0,) * classes,
        confidence=(0,) * CONFIDENCE_BINS,
        latency=(0,) * LATENCY_BINS,
        observed=0,
        features=(nothing,) * features,
    )


@st.composite
def histograms(draw: st.DrawFn, size: int, total: int) -> tuple[int, ...]:
    """Any ``size`` counts that add up to ``total``."""
    cuts = sorted(draw(st.lists(st.integers(0, total), min_size=size - 1, max_size=size - 1)))
    return tuple(b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True))


@st.composite
def moments(draw: st.DrawFn, n: int) -> tuple[int, int]:
    """The moments of ``n`` steps of at most five sizes."""
    sizes = draw(st.lists(st.integers(-MAX_STEPS, MAX_STEPS), min_size=5, max_size=5))
    times = draw(histograms(5, n))
    pairs = list(zip(sizes, times, strict=True))
    return sum(s * t for s, t in pairs), sum(s * s * t for s, t in pairs)


@st.composite
def counters(
    draw: st.DrawFn, features: int | None = None, classes: int | None = None, parts: tuple[bool, ...] = ()
) -> Counters:
    """Any that a window can make; ``parts``: with a margin, moments, Fourier sums."""
    features = draw(st.integers(0, 4)) if features is None else features
    classes = draw(st.integers(1, 6)) if classes is None else classes
    margin, moved, fourier = parts or draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    n, rejected = draw(st.integers(0, 65_535)), draw(st.integers(0, 65_535))
    observed = draw(st.integers(0, n))
    most = ONE * observed
    sums = st.lists(st.integers(-most, most), min_size=COMPONENTS, max_size=COMPONENTS)
    return Counters(
        bins=OF_BINS,
        inferences=n,
        errors=draw(st.integers(0, 65_535)),
        rejected_inputs=rejected,
        classes=draw(histograms(classes, n)),
        confidence=draw(histograms(CONFIDENCE_BINS, n)),
        latency=draw(histograms(LATENCY_BINS, n)),
        observed=observed,
        features=tuple(draw(histograms(BINS, observed)) for _ in range(features)),
        moments=tuple(draw(moments(observed)) for _ in range(features)) if moved else (),
        margin=draw(histograms(BINS, n)) if margin else (),
        margin_moments=draw(moments(n)) if margin else (),
        missing=draw(st.integers(0, rejected)),
        stuck=draw(st.integers(0, observed)),
        fourier=tuple(draw(sums)) if fourier else (),
    )


def bounded_bits(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """The length of the ``bounded`` code of each value."""
    width = (most + 1).bit_length() - 1
    return np.where(values < (2 << width) - most - 1, width, width + 1)


@cache
def _costs(size: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per total up to ``most``: the bits of its longest histogram of ``size`` counts, and the first half's sum."""
    longest, split = np.zeros(most + 1, np.int64), np.zeros(most + 1, np.int64)
    if size < 2:
        return longest, split
    below, above = _costs(size // 2, most)[0], _costs(size - size // 2, most)[0]
    for total in range(1, most + 1):
        halves = np.arange(total + 1)
        bits = bounded_bits(halves, total) + below[: total + 1] + above[total::-1]
        split[total] = bits.argmax()
        longest[total] = bits.max()
    return longest, split


def longest_histogram(size: int, total: int) -> tuple[int, ...]:
    """Of all lists of ``size`` counts that add up to ``total``, one whose code is the longest."""
    if size < 2:
        return (total,) * size
    below = int(_costs(size, total)[1][total]) if total else 0
    return (*longest_histogram(size // 2, below), *longest_histogram(size - size // 2, total - below))


def longest_moments(n: int) -> tuple[int, int]:
    """Moments of ``n`` steps whose code is the longest."""
    return MAX_STEPS * n - 1, MAX_STEPS**2 * n - (2 * MAX_STEPS - 1)


def longest_counters(features: int, classes: int, inputs: int) -> Counters:
    """The counters of so many inferences, with a margin and moments, whose block is the longest."""
    n = inputs
    return Counters(
        bins=OF_BINS,
        inferences=n,
        errors=0,
        rejected_inputs=0,
        classes=longest_histogram(classes, n),
        confidence=longest_histogram(CONFIDENCE_BINS, n),
        latency=longest_histogram(LATENCY_BINS, n),
        observed=n,
        features=(longest_histogram(BINS, n),) * features,
        moments=(longest_moments(n),) * features,
        margin=longest_histogram(BINS, n),
        margin_moments=longest_moments(n),
        stuck=n,
    )
