"""Counters, not samples: in which bins a device counts a model's inputs and outputs.

Every feature is an integer function of the quantized input or output, so that Python and C count the same. The bin
edges of the reference travel with the model in an ``ObservePlan``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeops.core.codec import Bytes, ListOf, Message, Nested, SInt, Text, UInt, dump, wire
from edgeops.core.fourier import COMPONENTS

BINS = 12  # underflow, ten reference-quantile bins, overflow
CONFIDENCE_BINS = 16
LATENCY_BINS = 16  # bucket i holds latencies below 2**(i + 4) microseconds, the last all above
MAX_FEATURES = 32
MAX_CLASSES = 64
MARGIN = "margin"
BINS_DIGEST = 4
"""Bytes that name the bins. A report names its manifest too, so that these need only tell slips apart."""


@dataclass(frozen=True, slots=True)
class FeaturePlan(Message):
    """One feature: 11 edges (minimum, nine deciles, maximum of the reference) and the reference's counts.

    ``mean`` and ``deviation`` are what its moments are counted in (``edgeops.core.moments``).
    """

    name: str = wire(1, Text(16))
    edges: tuple[int, ...] = wire(2, ListOf(SInt(64), 11))
    reference: tuple[int, ...] = wire(3, ListOf(UInt(32), BINS))
    mean: int = wire(4, SInt(64))
    deviation: int = wire(5, UInt(64))


@dataclass(frozen=True, slots=True)
class ObservePlan(Message):
    """What to count, the reference to hold it against, and how sure each confidence bin was right.

    ``calibration`` has per confidence bin (predictions, of which correct) on the validation set. ``margin`` are the
    bins of how far the best score lies above the second (the logit bins of a model that gives logits); ``fourier`` the
    components of a multivariate test (``edgeops.core.fourier``), where one is wanted.
    """

    MAX_BYTES = 16384
    features: tuple[FeaturePlan, ...] = wire(1, ListOf(Nested(FeaturePlan), MAX_FEATURES))
    confidence: tuple[int, ...] = wire(2, ListOf(UInt(32), CONFIDENCE_BINS))
    classes: tuple[int, ...] = wire(3, ListOf(UInt(32), MAX_CLASSES))
    calibration: tuple[tuple[int, ...], ...] = wire(4, ListOf(ListOf(UInt(32), 2), CONFIDENCE_BINS))
    margin: FeaturePlan | None = wire(5, Nested(FeaturePlan), default=None)
    fourier: bytes | None = wire(6, Bytes(2 * COMPONENTS * (MAX_FEATURES + 1)), default=None)

    def digest(self) -> bytes:
        """Four bytes that name the bins: counters of different digests never merge.

        Only what counters are counted in makes a difference, so that another reference for the same bins is
        comparable.
        """
        counted = [*self.features, *([self.margin] if self.margin is not None else [])]
        bins = [[feature.name, *feature.edges, feature.mean, feature.deviation] for feature in counted]
        return hashlib.sha256(dump([bins, len(self.classes), self.fourier])).digest()[:BINS_DIGEST]


def bin_of(edges: Sequence[int], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bin of each value: 0 below edges[0], 11 above edges[10], else the number of edges not above it.

    The last inner bin is closed: a value equal to the maximum is no overflow.
    """
    index = np.searchsorted(np.asarray(edges, np.int64), values, side="right")
    return np.where(values == edges[-1], BINS - 2, index).astype(np.int64)


def plan_feature(name: str, values: NDArray[np.int64]) -> FeaturePlan:
    """Bins and reference counts of one feature from its reference values, (N,) int64."""
    edges = [int(v) for v in np.quantile(values, np.linspace(0, 1, 11), method="inverted_cdf")]
    counts = np.bincount(bin_of(edges, values), minlength=BINS)
    return FeaturePlan(
        name, tuple(edges), tuple(int(c) for c in counts), int(values.mean()), int(values.std())
    )


def confidence_bin(score: int) -> int:
    """The bin of an int8 score of the winning class: 16 equal bins of the quantized range."""
    return (score + 128) >> 4


def margins(scores: NDArray[np.int8]) -> NDArray[np.int64]:
    """(N, labels) int8 scores to (N,) int64 in 0..255: the best less the second; of one label its score from 0 on."""
    if scores.shape[1] == 1:
        return scores[:, 0].astype(np.int64) + 128
    best = np.partition(scores, scores.shape[1] - 2, axis=1)[:, -2:].astype(np.int64)
    apart: NDArray[np.int64] = best[:, 1] - best[:, 0]
    return apart


def latency_bin(microseconds: int) -> int:
    """The bucket of a latency; bucket 0 is below 16 us, each following one twice as wide."""
    return min(max(microseconds.bit_length() - 4, 0), LATENCY_BINS - 1)
