"""The counters of the window that a device is filling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeops.core.counters import SATURATED, Counters
from edgeops.core.errors import WireError
from edgeops.core.fourier import COMPONENTS, fourier_from
from edgeops.core.input_features import extract
from edgeops.core.moments import steps
from edgeops.core.observe import (
    BINS,
    CONFIDENCE_BINS,
    LATENCY_BINS,
    FeaturePlan,
    ObservePlan,
    bin_of,
    latency_bin,
)

_BATCH = 32  # NumPy's cost is per call: inputs are counted so many at a time
_MARGINS = 256  # all that a margin of int8 scores can be
_LATENCIES = LATENCY_BINS + 4  # in how many bits a latency is, as far as buckets tell it apart


class Window:
    """Counts predictions and inputs; memory is bounded by the plan and a batch of inputs."""

    def __init__(self, plan: ObservePlan) -> None:
        """Raises ``WireError`` for Fourier components that do not suit the plan's features."""
        self._plan = plan
        self._names = [feature.name for feature in plan.features]
        self._digest = plan.digest()
        self._fourier = None
        if plan.fourier is not None:
            self._fourier = fourier_from(plan.fourier, len(plan.features))
        self._fourier_sums = np.zeros(COMPONENTS, np.int64)
        self.inferences = 0
        self.errors = 0
        self.rejected_inputs = 0
        self.missing = 0
        self._stuck = 0
        self._observed = 0
        self._last: NDArray[np.int8] | None = None
        self._inputs: list[NDArray[np.int8]] = []
        self._classes = [0] * len(plan.classes)
        self._confidence = [0] * CONFIDENCE_BINS
        self._latency_bits = [0] * _LATENCIES
        self._features = [_Binned(feature) for feature in plan.features]
        self._margins = [0] * _MARGINS if plan.margin is not None else None
        if plan.margin is not None:
            _Binned(plan.margin)  # edges that cannot be counted in are found now

    def count_prediction(
        self, predicted: int, confidence: int, microseconds: int, scores: Sequence[int]
    ) -> None:
        """Count one inference: class, confidence bin, latency, and the int8 ``scores`` (labels,) of the margin.

        Plain lists and integers: an inference may take no more than some tens of microseconds, and each call into
        NumPy costs one.
        """
        self.inferences += 1
        self._classes[predicted] += 1
        self._confidence[confidence] += 1
        bits = microseconds.bit_length()
        self._latency_bits[bits if bits < _LATENCIES else -1] += 1
        if self._margins is not None:
            ranked = sorted(scores)
            self._margins[ranked[-1] - (ranked[-2] if len(ranked) > 1 else -128)] += 1

    def count_error(self) -> None:
        """Count an inference that failed; the counter stops at ``SATURATED``."""
        self.errors = min(self.errors + 1, SATURATED)

    def count_rejected(self, missing: bool) -> None:
        """Count an input that does not meet the contract, ``missing`` where it held what is no number."""
        self.rejected_inputs = min(self.rejected_inputs + 1, SATURATED)
        self.missing = min(self.missing + missing, SATURATED)

    def count_input(self, quantized: NDArray[np.int8]) -> None:
        """Count the features of one quantized input of the model's input shape; it must not change afterwards."""
        self._inputs.append(quantized)
        if len(self._inputs) >= _BATCH:
            self._count_inputs()

    def _count_inputs(self) -> None:
        if not self._inputs:
            return
        batch = np.stack(self._inputs)
        self._inputs.clear()
        self._observed += len(batch)
        self._count_stuck(batch)
        values = extract(self._names, batch)
        moved = [feature.count(values[:, column]) for column, feature in enumerate(self._features)]
        if self._fourier is not None:
            self._fourier_sums += self._fourier.transform(np.stack(moved, axis=1)).sum(axis=0)

    def _count_stuck(self, batch: NDArray[np.int8]) -> None:
        flat = batch.reshape(len(batch), -1)
        self._stuck += int((flat[1:] == flat[:-1]).all(axis=1).sum())
        if self._last is not None:
            self._stuck += int(np.array_equal(self._last, flat[0]))
        self._last = flat[-1].copy()  # a view would keep the whole batch

    def _margin(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Bins and moments of the margins."""
        if self._margins is None or self._plan.margin is None:
            return (), ()
        margin = _Binned(self._plan.margin)
        margin.count(np.repeat(np.arange(_MARGINS, dtype=np.int64), self._margins))
        return margin.bins, margin.moments

    def _latency(self) -> tuple[int, ...]:
        buckets = [0] * LATENCY_BINS
        for bits, count in enumerate(self._latency_bits):
            buckets[latency_bin((1 << bits) >> 1)] += count
        return tuple(buckets)

    def counters(self) -> Counters:
        """What was counted so far."""
        self._count_inputs()
        margin, margin_moments = self._margin()
        return Counters(
            bins=self._digest,
            inferences=self.inferences,
            errors=self.errors,
            rejected_inputs=self.rejected_inputs,
            classes=tuple(self._classes),
            confidence=tuple(self._confidence),
            latency=self._latency(),
            observed=self._observed,
            features=tuple(feature.bins for feature in self._features),
            moments=tuple(feature.moments for feature in self._features),
            margin=margin,
            margin_moments=margin_moments,
            missing=self.missing,
            stuck=self._stuck,
            fourier=tuple(self._fourier_sums.tolist()) if self._fourier is not None else (),
        )


class _Binned:
    """The bins and the moments of one feature."""

    def __init__(self, plan: FeaturePlan) -> None:
        if len(plan.edges) != BINS - 1:
            raise WireError(f"feature {plan.name!r} has {len(plan.edges)} bin edges", feature=plan.name)
        self._plan = plan
        self._counts = np.zeros(BINS, np.int64)
        self._sum = self._squares = 0

    def count(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count values (N,); returns their steps."""
        self._counts += np.bincount(bin_of(self._plan.edges, values), minlength=BINS)
        moved = steps(values, self._plan.mean, self._plan.deviation)
        self._sum += int(moved.sum())
        self._squares += int(moved @ moved)
        return moved

    @property
    def bins(self) -> tuple[int, ...]:
        return tuple(self._counts.tolist())

    @property
    def moments(self) -> tuple[int, int]:
        return self._sum, self._squares
