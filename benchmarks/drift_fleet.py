"""Made fleets: the windows of devices whose features are normal numbers, counted as devices count them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from drift_worlds import REFERENCE
from numpy.typing import NDArray

from edgeops.core.counters import Counters
from edgeops.drift.device_track import SeenWindow
from edgeops.drift.evidence import Counted
from edgeops.drift.reference import FeatureReference
from edgeops.drift.signals import References
from edgeops.drift.windows import count_windows

UNIT = 1_000  # to a deviation
MINUTE_MS = 60_000
DIGEST = b"made"
MARGINS = (60, 250)  # a model that is fairly sure


class Fleet:
    """Devices of one version, with a fresh reference of ``REFERENCE`` rows of ``features`` features and the margin."""

    def __init__(self, rng: np.random.Generator, devices: int, features: int) -> None:
        self._rng = rng
        self.names = [f"d{number:05}" for number in range(devices)]
        known = self._values(REFERENCE * features).reshape(features, REFERENCE)
        self._features = tuple(FeatureReference(f"x{column}", values) for column, values in enumerate(known))
        self._margin = FeatureReference("margin", rng.integers(*MARGINS, REFERENCE))
        self.references = References(DIGEST, self._features, self._margin)

    def windows(
        self, sequence: int, inputs: int, shifts: Mapping[str, float] | None = None
    ) -> list[SeenWindow]:
        """One window of each device, the ``sequence``-th from 1 on.

        ``shifts`` moves the first feature of the devices that it names by so many deviations.
        """
        counters = self.counters(len(self.names), inputs, self._moved(shifts or {}))
        return self.sent(sequence, counters)

    def counters(self, windows: int, inputs: int, moved: NDArray[np.float64] | float = 0.0) -> list[Counters]:
        """Counters of windows of so many inputs each; ``moved`` (windows,) is added to the first feature."""
        counted = []
        for column, reference in enumerate(self._features):
            values = self._values(windows * inputs).reshape(windows, inputs)
            if column == 0:
                values += np.round(UNIT * np.broadcast_to(moved, windows)).astype(np.int64)[:, np.newaxis]
            counted.append(_counted(reference, values))
        sure = _counted(self._margin, self._rng.integers(*MARGINS, (windows, inputs)))
        bins = np.stack([one.bins for one in counted], axis=1).tolist()
        moments = np.stack([_moments(one) for one in counted], axis=1).tolist()
        of_margin = zip(sure.bins.tolist(), _moments(sure).tolist(), strict=True)
        return [
            Counters(
                bins=DIGEST,
                inferences=inputs,
                errors=0,
                rejected_inputs=0,
                classes=(inputs,),
                confidence=(0,) * 15 + (inputs,),
                latency=(inputs,) + (0,) * 15,
                observed=inputs,
                features=tuple(map(tuple, of_features)),
                moments=tuple((total, squares) for total, squares in of_moments),
                margin=tuple(margin_bins),
                margin_moments=tuple(margin_moments),
            )
            for of_features, of_moments, (margin_bins, margin_moments) in zip(
                bins, moments, of_margin, strict=True
            )
        ]

    def sent(self, sequence: int, counters: list[Counters]) -> list[SeenWindow]:
        """These counters as the windows of the devices, one each, over again where there are fewer."""
        return [
            SeenWindow(
                id=sequence * len(self.names) + number,
                device=name,
                boot=1,
                sequence=sequence,
                start_ms=(sequence - 1) * MINUTE_MS,
                duration_ms=MINUTE_MS,
                trial=False,
                counters=counters[number % len(counters)],
            )
            for number, name in enumerate(self.names)
        ]

    def _values(self, count: int) -> NDArray[np.int64]:
        return np.round(self._rng.standard_normal(count) * UNIT).astype(np.int64)

    def _moved(self, shifts: Mapping[str, float]) -> NDArray[np.float64]:
        return np.array([shifts.get(name, 0.0) for name in self.names])


def _counted(reference: FeatureReference, values: NDArray[np.int64]) -> Counted:
    flat = values.ravel()
    return count_windows(reference, flat, np.ones(len(flat), np.bool_), values.shape[1])


def _moments(counted: Counted) -> NDArray[np.int64]:
    return np.stack([counted.sums, counted.squares], axis=1)
