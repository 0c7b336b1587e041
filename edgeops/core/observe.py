"""Counters, not samples: what a device counts of a model's inputs and outputs.

Every feature is an integer function of the quantized input, so that Python and C count the same. The bin
edges of the reference travel with the model in an ``ObservePlan``. A window's counters merge by addition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeops.core.codec import ListOf, Message, Nested, SInt, Text, UInt, dump, wire
from edgeops.core.errors import WireError

BINS = 12  # underflow, ten reference-quantile bins, overflow
CONFIDENCE_BINS = 16
LATENCY_BINS = 16  # bucket i holds latencies below 2**(i + 4) microseconds, the last all above
MAX_FEATURES = 32
MAX_CLASSES = 64
_BATCH = 32  # NumPy's cost is per call: inputs are counted so many at a time
FEATURES = ("level", "spread", "contrast", "sharpness")


@dataclass(frozen=True, slots=True)
class FeaturePlan(Message):
    """One feature: 11 edges (minimum, nine deciles, maximum of the reference) and the reference's counts."""

    name: str = wire(1, Text(16))
    edges: tuple[int, ...] = wire(2, ListOf(SInt(64), 11))
    reference: tuple[int, ...] = wire(3, ListOf(UInt(32), BINS))
    mean: int = wire(4, SInt(64))
    deviation: int = wire(5, UInt(64))


@dataclass(frozen=True, slots=True)
class ObservePlan(Message):
    """What to count, the reference to hold it against, and how sure each confidence bin was right.

    ``calibration`` has per confidence bin (predictions, of which correct) on the validation set.
    """

    MAX_BYTES = 16384
    features: tuple[FeaturePlan, ...] = wire(1, ListOf(Nested(FeaturePlan), MAX_FEATURES))
    confidence: tuple[int, ...] = wire(2, ListOf(UInt(32), CONFIDENCE_BINS))
    classes: tuple[int, ...] = wire(3, ListOf(UInt(32), MAX_CLASSES))
    calibration: tuple[tuple[int, ...], ...] = wire(4, ListOf(ListOf(UInt(32), 2), CONFIDENCE_BINS))

    def digest(self) -> bytes:
        """Eight bytes that name the bins: counters of different digests never merge.

        Only names, edges and the number of classes count, so that another reference for the same bins is
        comparable.
        """
        bins = [[feature.name, *feature.edges] for feature in self.features]
        return hashlib.sha256(dump([bins, len(self.classes)])).digest()[:8]


def extract(names: Sequence[str], batch: NDArray[np.int8]) -> NDArray[np.int64]:
    """Features of a batch of quantized inputs: (N, *shape) int8 to (N, len(names)) int64.

    With u = q + 128 in 0..255 and n values an input: level = 256 * sum(u) // n; spread = 256 * sum(|n*u -
    sum(u)|) // n**2 (mean absolute deviation); contrast = max(u) - min(u); sharpness = 256 * the mean absolute
    difference of neighbours along the first two axes (images) or the first (series). All in int64, floor
    division.
    """
    u = batch.astype(np.int64) + 128
    flat = u.reshape(len(u), -1)
    n = flat.shape[1]
    columns = []
    for name in names:
        if name == "level":
            columns.append(256 * flat.sum(axis=1) // n)
        elif name == "spread":
            total = flat.sum(axis=1, keepdims=True)
            columns.append(256 * np.abs(n * flat - total).sum(axis=1) // (n * n))
        elif name == "contrast":
            columns.append(flat.max(axis=1) - flat.min(axis=1))
        elif name == "sharpness":
            columns.append(_sharpness(u))
        else:
            raise WireError(f"feature {name!r} is not known to this version", feature=name)
    return np.stack(columns, axis=1) if columns else np.zeros((len(u), 0), np.int64)


def _sharpness(u: NDArray[np.int64]) -> NDArray[np.int64]:
    total, pairs = np.zeros(len(u), np.int64), 0
    for axis in (1, 2) if u.ndim >= 3 else (1,):
        steps = np.abs(np.diff(u, axis=axis)).reshape(len(u), -1)
        total, pairs = total + steps.sum(axis=1), pairs + steps.shape[1]
    return 256 * total // max(pairs, 1)


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


def latency_bin(microseconds: int) -> int:
    """The bucket of a latency; bucket 0 is below 16 us, each following one twice as wide."""
    return min(max(microseconds.bit_length() - 4, 0), LATENCY_BINS - 1)


@dataclass(frozen=True, slots=True)
class Counters:
    """Immutable counters of one model and one set of bins; ``+`` merges, exactly and in any order."""

    bins: bytes
    inferences: int
    errors: int
    rejected_inputs: int
    classes: tuple[int, ...]
    confidence: tuple[int, ...]
    latency: tuple[int, ...]
    observed: int
    features: tuple[tuple[int, ...], ...]

    def __add__(self, other: Counters) -> Counters:
        """The merged counters; raises ``WireError`` when bins or shapes differ."""
        mine, theirs = self._shape(), other._shape()
        if mine != theirs:
            raise WireError("counters of different bins do not merge")
        return Counters(
            self.bins,
            self.inferences + other.inferences,
            self.errors + other.errors,
            self.rejected_inputs + other.rejected_inputs,
            _add(self.classes, other.classes),
            _add(self.confidence, other.confidence),
            _add(self.latency, other.latency),
            self.observed + other.observed,
            tuple(_add(a, b) for a, b in zip(self.features, other.features, strict=True)),
        )

    def _shape(self) -> tuple[object, ...]:
        return (
            self.bins,
            len(self.classes),
            len(self.confidence),
            len(self.latency),
            tuple(len(feature) for feature in self.features),
        )


def _add(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def empty_counters(plan: ObservePlan) -> Counters:
    """The neutral element of ``+`` for a plan."""
    return Counters(
        plan.digest(),
        0,
        0,
        0,
        (0,) * len(plan.classes),
        (0,) * CONFIDENCE_BINS,
        (0,) * LATENCY_BINS,
        0,
        ((0,) * BINS,) * len(plan.features),
    )


class Window:
    """The counters of the window that a device is filling."""

    def __init__(self, plan: ObservePlan) -> None:
        self._names = [feature.name for feature in plan.features]
        self._edges = [feature.edges for feature in plan.features]
        self._digest = plan.digest()
        self.inferences = 0
        self.errors = 0
        self.rejected_inputs = 0
        self._observed = 0
        self._waiting: list[NDArray[np.int8]] = []
        self._classes = [0] * len(plan.classes)
        self._confidence = [0] * CONFIDENCE_BINS
        self._latency = [0] * LATENCY_BINS
        self._features = [[0] * BINS for _ in plan.features]

    def count_prediction(self, predicted: int, confidence: int, microseconds: int) -> None:
        """Count one inference: class, confidence bin and latency."""
        self.inferences += 1
        self._classes[predicted] += 1
        self._confidence[confidence] += 1
        self._latency[latency_bin(microseconds)] += 1

    def count_input(self, quantized: NDArray[np.int8]) -> None:
        """Count the features of one quantized input of the model's input shape."""
        self._waiting.append(quantized)
        if len(self._waiting) >= _BATCH:
            self._count_waiting()

    def _count_waiting(self) -> None:
        if not self._waiting:
            return
        values = extract(self._names, np.stack(self._waiting))
        for column, (counts, edges) in enumerate(zip(self._features, self._edges, strict=True)):
            for index, count in enumerate(np.bincount(bin_of(edges, values[:, column]), minlength=BINS)):
                counts[index] += int(count)
        self._observed += len(self._waiting)
        self._waiting.clear()

    def counters(self) -> Counters:
        """What was counted so far."""
        self._count_waiting()
        return Counters(
            self._digest,
            self.inferences,
            self.errors,
            self.rejected_inputs,
            tuple(self._classes),
            tuple(self._confidence),
            tuple(self._latency),
            self._observed,
            tuple(tuple(counts) for counts in self._features),
        )
