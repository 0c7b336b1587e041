"""Values that are none, or cannot be: missing more often than they were, or stuck at one reading."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeops.drift.alarm import Alarm

MORE_MISSING = 0.05
"""A share of missing values that rose by less is nobody's concern."""
LONGEST_RUNS = 4
MIN_RUN = 20
"""A sensor is stuck where one reading repeats at least so often, and that many times as long as ever before."""


class QualityDetector:
    """Missing and stuck values of each feature; NaN and infinities are missing, never zero.

    ``known`` and ``values`` are (rows, features) integers of the reference and the stream, ``known_seen`` and ``seen``
    say which are not missing.
    """

    kind = "quality"

    def __init__(
        self,
        names: Sequence[str],
        known: tuple[NDArray[np.int64], NDArray[np.bool_]],
        stream: tuple[NDArray[np.int64], NDArray[np.bool_]],
        window: int,
    ) -> None:
        self._names = names
        self._rows = len(known[0])
        self._known_missing = (~known[1]).sum(axis=0)
        self._longest = [longest_run(known[0][known[1][:, c], c]) for c in range(len(names))]
        windows = len(stream[0]) // window
        self._window = window
        self._values = stream[0][: windows * window].reshape(windows, window, -1)
        self._seen = stream[1][: windows * window].reshape(windows, window, -1)

    def look(self, span: int, allowed: float, size: float) -> list[Alarm]:
        """See ``Detector``; windows are looked at alone."""
        del size
        if span > 1:
            return []
        return self._missing(allowed / len(self._names)) + self._stuck()

    def _missing(self, allowed: float) -> list[Alarm]:
        from scipy.special import bdtrc

        alarms = []
        for column, name in enumerate(self._names):
            share = (self._known_missing[column] + 0.5) / (self._rows + 1)
            missing = (~self._seen[:, :, column]).sum(axis=1)
            p = np.where(missing > 0, bdtrc(np.maximum(missing - 1, 0), self._window, share), 1.0)
            more = missing / self._window - share
            alarms += [
                Alarm(int(w), self.kind, (name,), float(p[w]), float(missing[w] / self._window))
                for w in np.nonzero((p <= allowed) & (more >= MORE_MISSING))[0]
            ]
        return alarms

    def _stuck(self) -> list[Alarm]:
        alarms = []
        for column, name in enumerate(self._names):
            least = max(MIN_RUN, LONGEST_RUNS * self._longest[column])
            if least > self._window:
                continue
            values = self._values[:, :, column]
            repeats = (values[:, 1:] == values[:, :-1]).sum(axis=1) + (~self._seen[:, :, column]).sum(axis=1)
            for window in np.nonzero(repeats >= least - 1)[0].tolist():
                run = longest_run(values[window][self._seen[window, :, column]])
                if run >= least:
                    alarms.append(Alarm(window, self.kind, (name,), 0.0, run / self._window))
        return alarms


def longest_run(values: NDArray[np.int64]) -> int:
    """How often one value follows itself at the most, counting the first."""
    if not len(values):
        return 0
    changes = np.nonzero(np.diff(values))[0]
    ends = np.concatenate([changes, [len(values) - 1]])
    starts = np.concatenate([[-1], changes])
    return int((ends - starts).max())
