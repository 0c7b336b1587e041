"""Detectors over a counted stream: each looks at merged windows and says which of them raise an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeops.core.moments import steps
from edgeops.drift.alarm import Alarm
from edgeops.drift.categories import CategoryReference
from edgeops.drift.evidence import Counted, p_values, weighed
from edgeops.drift.multivariate import FourierReference
from edgeops.drift.reference import FeatureReference
from edgeops.drift.size import jensen_shannon
from edgeops.drift.windows import merged, rolled


class Detector(Protocol):
    """``kind`` names it in alarms and in the shares of the allowance."""

    kind: str

    def look(self, span: int, allowed: float, size: float) -> list[Alarm]:
        """The alarms where each window is merged with the ``span`` - 1 before it.

        ``allowed`` is the probability of a false alarm a window, ``size`` the smallest shift that matters. Raises
        ``DataError`` where the reference is too small for so long a look.
        """


class FeatureDetector:
    """Features that have bins: level, spread and shape of each (kinds ``data`` and ``confidence``)."""

    def __init__(
        self, kind: str, references: Sequence[FeatureReference], counted: Sequence[Counted], window: int
    ) -> None:
        self.kind = kind
        self._references = references
        self._counted = counted
        self._window = window

    def look(self, span: int, allowed: float, size: float) -> list[Alarm]:
        """See ``Detector``; the allowance is split evenly over the features (Bonferroni)."""
        looks = [self._of(*pair, span) for pair in zip(self._references, self._counted, strict=True)]
        p = np.stack([p for p, _ in looks], axis=1)
        apart = np.stack([distance for _, distance in looks], axis=1)
        passes = (p <= allowed / len(looks)) & (apart >= size)
        passes[: span - 1] = False
        alarms = []
        for window in np.nonzero(passes.any(axis=1))[0].tolist():
            which = sorted(np.nonzero(passes[window])[0].tolist(), key=lambda column: -apart[window, column])
            names = tuple(self._references[column].plan.name for column in which)
            alarms.append(
                Alarm(
                    int(window),
                    self.kind,
                    names,
                    float(p[window, which].min()),
                    float(apart[window, which].max()),
                    span,
                )
            )
        return alarms

    def _of(
        self, reference: FeatureReference, counted: Counted, span: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        together = merged(counted, span)
        p = weighed(p_values(reference, together, reference.calibration(self._window * span)))
        return p, jensen_shannon(np.array(reference.plan.reference), together.bins)


class MultivariateDetector:
    """All features together by their Fourier sums; windows with missing values are left to the others."""

    kind = "multivariate"

    def __init__(
        self,
        references: Sequence[FeatureReference],
        known: NDArray[np.int64],
        values: NDArray[np.int64],
        window: int,
    ) -> None:
        self._names = tuple(reference.plan.name for reference in references)
        self._plans = [reference.plan for reference in references]
        self._reference = FourierReference(self._steps(known))
        self._window = window
        rows = len(values) // window * window
        fourier = self._reference.transform(self._steps(values[:rows]))
        self._sums = fourier.reshape(-1, window, fourier.shape[1]).sum(axis=1)

    def look(self, span: int, allowed: float, size: float) -> list[Alarm]:
        """See ``Detector``; ``size`` is the other detectors', which have another measure."""
        del size
        sums, n = rolled(self._sums, span), self._window * span
        p, apart = self._reference.p_values(sums, n), self._reference.distance(sums, n)
        whole = np.arange(len(p)) >= span - 1
        return [
            Alarm(int(w), self.kind, self._names, float(p[w]), float(apart[w]), span)
            for w in np.nonzero((p <= allowed) & whole)[0]
        ]

    def _steps(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        columns = zip(self._plans, values.T, strict=True)
        return np.stack([steps(column, plan.mean, plan.deviation) for plan, column in columns], axis=1)


class PredictionDetector:
    """Which classes a model says, whatever is true."""

    kind = "prediction"

    def __init__(self, known: NDArray[np.int64], predicted: NDArray[np.int64], window: int) -> None:
        self._reference = CategoryReference(known)
        self._window = window
        windows = len(predicted) // window
        classes = max(int(predicted.max(initial=0)), int(known.max(initial=0))) + 1
        rows = predicted[: windows * window]
        of_window = np.repeat(np.arange(windows), window)[rows >= 0]
        cell = of_window * classes + rows[rows >= 0]
        self._counts = np.bincount(cell, minlength=windows * classes).reshape(windows, classes)

    def look(self, span: int, allowed: float, size: float) -> list[Alarm]:
        """See ``Detector``."""
        counts = np.round(rolled(self._counts.astype(np.float64), span)).astype(np.int64)
        p = self._reference.p_values(counts, self._window * span)
        known = np.pad(self._reference.counts, (0, counts.shape[1] - len(self._reference.counts)))
        apart = jensen_shannon(known, counts)
        return [
            Alarm(int(w), self.kind, (), float(p[w]), float(apart[w]), span)
            for w in np.nonzero((p <= allowed) & (apart >= size))[0]
        ]
