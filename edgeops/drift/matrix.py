"""Counters of many windows as one matrix, a row a window, so that merging and testing are array operations. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from edgeops.core.counters import Counters
from edgeops.core.observe import BINS
from edgeops.drift.evidence import Counted

Row = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where what stands in a row; the same for windows that merge."""

    bins: bytes
    classes: int
    features: int
    margin: bool
    fourier: int

    @classmethod
    def of(cls, counters: Counters) -> Layout:
        """The layout of counters."""
        return cls(
            counters.bins,
            len(counters.classes),
            len(counters.features),
            bool(counters.margin),
            len(counters.fourier),
        )


def row_of(counters: Counters) -> Row:
    """Inferences, observed inputs, classes, then the bins and both moments of each feature and of the margin, and the
    Fourier sums; int64. Rows of one layout add up as their counters do.
    """
    binned = [
        *zip(counters.features, counters.moments, strict=True),
        *([(counters.margin, counters.margin_moments)] if counters.margin else []),
    ]
    flat = chain.from_iterable(chain(bins, moments) for bins, moments in binned)
    head = (counters.inferences, counters.observed)
    return np.fromiter(chain(head, counters.classes, flat, counters.fourier), np.int64)


class Matrix:
    """Rows of windows of one layout."""

    def __init__(self, layout: Layout, rows: NDArray[np.int64]) -> None:
        self.layout, self.rows = layout, rows

    @classmethod
    def of(cls, windows: Sequence[Counters]) -> Matrix:
        """Of one window or more, of one layout."""
        return cls(Layout.of(windows[0]), np.stack([row_of(window) for window in windows]))

    def chosen(self, rows: Sequence[int]) -> Matrix:
        """Some of the rows."""
        return Matrix(self.layout, self.rows[list(rows)])

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def inferences(self) -> NDArray[np.int64]:
        """(W,)."""
        return self.rows[:, 0]

    @property
    def observed(self) -> NDArray[np.int64]:
        """(W,)."""
        return self.rows[:, 1]

    @property
    def classes(self) -> NDArray[np.int64]:
        """(W, classes)."""
        return self.rows[:, 2 : 2 + self.layout.classes]

    def feature(self, column: int) -> Counted:
        """The counts of one feature."""
        start = 2 + self.layout.classes + column * (BINS + 2)
        return Counted(
            self.rows[:, start : start + BINS], self.rows[:, start + BINS], self.rows[:, start + BINS + 1]
        )

    def margin(self) -> Counted:
        """The counts of the margin, which stands behind the features."""
        return self.feature(self.layout.features)

    def fourier(self) -> NDArray[np.int64]:
        """(W, 64) sums."""
        return self.rows[:, len(self.rows[0]) - self.layout.fourier :]
