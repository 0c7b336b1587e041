"""Counters as a device sends them: one block of bits in a report, at most 2 KB.

The digest of the bins (4 bytes), and then in the codes of ``edgeops.core.bit_codes``: flags (4 bits; 1: with a margin,
2: with moments, 4: with Fourier sums, 8 is always 0), the numbers of features (bounded by 32) and of classes (bounded
by 64), inferences (free, order 10), errors and rejected inputs together (free, order 4), of these the errors (bounded),
missing inputs (bounded by the rejected), observed inputs (bounded by the inferences), stuck ones (bounded by the
observed); the histograms of classes, confidence and latency over the inferences; with a margin its histogram and its
moments over the inferences; the histogram of each feature over the observed inputs; moments of each feature; Fourier
sums. No count is above 65,535.

Moments of n values are the sum of squares q (bounded by 64**2 * n) and the sum s, as (s + r) / 2 bounded by r: r is the
largest that a sum can be, min(q, floor(sqrt(n * q))) (Cauchy and Schwarz), less 1 where that is odd and q is even or
the other way round, for the sum of integers is odd where the sum of their squares is. Fourier sums are s + r bounded by
2 * r with r = 127 * n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from edgeops.core.bit_codes import BitReader, BitWriter
from edgeops.core.counters import Counters
from edgeops.core.errors import WireError
from edgeops.core.fourier import COMPONENTS, ONE
from edgeops.core.moments import MAX_STEPS
from edgeops.core.observe import (
    BINS,
    BINS_DIGEST,
    CONFIDENCE_BINS,
    LATENCY_BINS,
    MAX_CLASSES,
    MAX_FEATURES,
)

MAX_BLOCK = 2048
MAX_COUNT = 65_535
"""A prediction's id has two bytes for its place in the window; what a device cannot have counted is refused."""
T = TypeVar("T")
_MARGIN, _MOMENTS, _FOURIER = 1, 2, 4
_FLAG_BITS = 4
_INFERENCES_ORDER = 10
_FAILURES_ORDER = 4


def pack_counters(counters: Counters) -> bytes:
    """The block; raises ``WireError`` for counts that no device can have counted."""
    flags = _MARGIN * bool(counters.margin) | _MOMENTS * bool(counters.moments)
    flags |= _FOURIER * bool(counters.fourier)
    features, classes = len(counters.features), len(counters.classes)
    if len(counters.bins) != BINS_DIGEST or features > MAX_FEATURES or classes > MAX_CLASSES:
        raise WireError(f"counters of {features} features and {classes} classes cannot be sent")
    _check_counts(counters.inferences, counters.errors, counters.rejected_inputs)
    bits = BitWriter()
    bits.fixed(flags, _FLAG_BITS)
    bits.bounded(features, MAX_FEATURES)
    bits.bounded(classes, MAX_CLASSES)
    bits.free(counters.inferences, _INFERENCES_ORDER)
    failed = counters.errors + counters.rejected_inputs
    bits.free(failed, _FAILURES_ORDER)
    bits.bounded(counters.errors, failed)
    bits.bounded(counters.missing, counters.rejected_inputs)
    bits.bounded(counters.observed, counters.inferences)
    bits.bounded(counters.stuck, counters.observed)
    bits.histogram(counters.classes, counters.inferences)
    bits.histogram(_sized(counters.confidence, CONFIDENCE_BINS), counters.inferences)
    bits.histogram(_sized(counters.latency, LATENCY_BINS), counters.inferences)
    if counters.margin:
        bits.histogram(_sized(counters.margin, BINS), counters.inferences)
        _write_moments(bits, counters.margin_moments, counters.inferences)
    for bins in counters.features:
        bits.histogram(_sized(bins, BINS), counters.observed)
    if counters.moments:
        for moments in _sized(counters.moments, features):
            _write_moments(bits, moments, counters.observed)
    if counters.fourier:
        for total in _sized(counters.fourier, COMPONENTS):
            most = ONE * counters.observed
            bits.bounded(total + most, 2 * most)
    return counters.bins + bits.to_bytes()


def unpack_counters(block: bytes) -> Counters:
    """The inverse of ``pack_counters``; raises ``WireError`` for anything that it does not write."""
    if not BINS_DIGEST < len(block) <= MAX_BLOCK:
        raise WireError(f"{len(block)} bytes of counters")
    bits = BitReader(block[BINS_DIGEST:])
    flags = bits.fixed(_FLAG_BITS)
    features, classes = bits.bounded(MAX_FEATURES), bits.bounded(MAX_CLASSES)
    if flags > _MARGIN | _MOMENTS | _FOURIER or (flags & _MOMENTS and not features):
        raise WireError(f"counters of {features} features with the flags {flags}")
    inferences = bits.free(_INFERENCES_ORDER)
    failed = bits.free(_FAILURES_ORDER)
    _check_counts(inferences, failed // 2)
    errors = bits.bounded(failed)
    rejected = failed - errors
    _check_counts(errors, rejected)
    missing = bits.bounded(rejected)
    observed = bits.bounded(inferences)
    stuck = bits.bounded(observed)
    of_class = bits.histogram(classes, inferences)
    confidence = bits.histogram(CONFIDENCE_BINS, inferences)
    latency = bits.histogram(LATENCY_BINS, inferences)
    margin = bits.histogram(BINS, inferences) if flags & _MARGIN else ()
    margin_moments = _read_moments(bits, inferences) if flags & _MARGIN else ()
    bins = tuple(bits.histogram(BINS, observed) for _ in range(features))
    moments = tuple(_read_moments(bits, observed) for _ in range(features if flags & _MOMENTS else 0))
    most = ONE * observed
    fourier = tuple(bits.bounded(2 * most) - most for _ in range(COMPONENTS if flags & _FOURIER else 0))
    bits.end()
    return Counters(
        bins=block[:BINS_DIGEST],
        inferences=inferences,
        errors=errors,
        rejected_inputs=rejected,
        classes=of_class,
        confidence=confidence,
        latency=latency,
        observed=observed,
        features=bins,
        moments=moments,
        margin=margin,
        margin_moments=margin_moments,
        missing=missing,
        stuck=stuck,
        fourier=fourier,
    )


class CounterBlock:
    """The field of a report that holds ``Counters``: a byte string on the wire."""

    def pack(self, value: object, where: str) -> object:
        """See ``edgeops.core.codec.FieldKind``."""
        if not isinstance(value, Counters):
            raise WireError(f"{where}: expected counters", where=where)
        return pack_counters(value)

    def unpack(self, item: object, where: str) -> Counters:
        """See ``edgeops.core.codec.FieldKind``; every block has one form."""
        if not isinstance(item, bytes):
            raise WireError(f"{where}: expected a block of counters", where=where)
        try:
            return unpack_counters(item)
        except WireError as error:
            raise WireError(f"{where}: {error.message}", where=where) from error

    def cddl(self) -> str:
        """See ``edgeops.core.codec.FieldKind``."""
        return f"bstr .size ({BINS_DIGEST + 1}..{MAX_BLOCK})"


def _sized(items: Sequence[T], size: int) -> Sequence[T]:
    if len(items) != size:
        raise WireError(f"{len(items)} counters where there are {size}")
    return items


def _write_moments(bits: BitWriter, moments: Sequence[int], n: int) -> None:
    total, squares = _sized(moments, 2)
    bits.bounded(squares, MAX_STEPS**2 * n)
    most = _largest_sum(squares, n)
    if (total ^ squares) & 1:
        raise WireError(f"steps cannot add up to {total}, and their squares to {squares}")
    bits.bounded((total + most) // 2, most)


def _read_moments(bits: BitReader, n: int) -> tuple[int, int]:
    squares = bits.bounded(MAX_STEPS**2 * n)
    most = _largest_sum(squares, n)
    return 2 * bits.bounded(most) - most, squares


def _largest_sum(squares: int, n: int) -> int:
    """Of ``n`` integers with so large a sum of squares; odd where that is odd."""
    most = min(squares, math.isqrt(n * squares))
    return most - ((most ^ squares) & 1)


def _check_counts(*counts: int) -> None:
    for count in counts:
        if not 0 <= count <= MAX_COUNT:
            raise WireError(f"a count of {count} where a window has at most {MAX_COUNT}")
