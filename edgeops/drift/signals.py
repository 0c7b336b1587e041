"""What a version's windows are held against, and every look that is taken at each of them, as p-values and sizes.

Vectorised over windows: the windows of a whole fleet are judged in one go. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.core.fourier import ONE
from edgeops.core.moments import STEPS
from edgeops.core.observe import FeaturePlan
from edgeops.drift.evidence import Counted, p_values, weighed
from edgeops.drift.matrix import Matrix
from edgeops.drift.reference import Calibration
from edgeops.drift.size import jensen_shannon

Direction = Literal["up", "down", "both"]
SHARES = {"data": 0.75, "confidence": 0.1, "multivariate": 0.05, "prediction": 0.05, "quality": 0.05}
"""What part of the allowance a kind of signal may use up; kinds that are not there leave theirs to the others."""
CLASSES = "classes"
ALL = "all features"
ONE_SIDED = 1.0
"""A mean that moved by so many sixteenths of a deviation or more has a direction."""


_Column = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""p-values, sizes, moves: (W,) each."""


class BinnedReference(Protocol):
    """A feature's reference, from stored values or learned from windows."""

    @property
    def plan(self) -> FeaturePlan:
        """Bins and reference counts."""

    @property
    def rows(self) -> int:
        """How many values it rests on."""

    @property
    def calibration_mean(self) -> float:
        """The mean of its steps."""

    def calibration(self, n: int) -> Calibration:
        """For windows of ``n`` values; raises ``DataError``."""


class ClassReference(Protocol):
    """Reference counts of predicted classes."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """(classes,)."""

    def p_values(self, counts: NDArray[np.int64], n: int) -> NDArray[np.float64]:
        """(W,) p-values of windows with these counts (W, classes) of ``n`` values each."""


class AllReference(Protocol):
    """The reference of all features together."""

    def p_values(self, sums: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        """(W,) p-values of Fourier sums (W, 64) over ``n`` rows."""

    def distance(self, sums: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        """(W,) maximum mean discrepancies."""


@dataclass(frozen=True)
class References:
    """All that a version's windows are held against; what is None is not looked at.

    Where a device learned its own, ``learned_from`` are the windows, and ``before`` is what it was shrunk towards.
    """

    bins: bytes
    features: tuple[BinnedReference, ...]
    margin: BinnedReference | None = None
    classes: ClassReference | None = None
    together: AllReference | None = None
    before: References | None = None
    learned_from: Matrix | None = None

    def signals(self) -> tuple[tuple[str, str], ...]:
        """(kind, name) of each look, in the order of the columns of ``Looks``."""
        found = [("data", reference.plan.name) for reference in self.features]
        if self.margin is not None:
            found.append(("confidence", self.margin.plan.name))
        if self.classes is not None:
            found.append(("prediction", CLASSES))
        if self.together is not None:
            found.append(("multivariate", ALL))
        return tuple(found)

    def shares(self) -> NDArray[np.float64]:
        """What part of a window's allowance each look may use up, (signals,); they add up to 1."""
        kinds = [kind for kind, _ in self.signals()]
        total = sum(SHARES[kind] for kind in set(kinds))
        return np.array([SHARES[kind] / total / kinds.count(kind) for kind in kinds])


@dataclass(frozen=True)
class Looks:
    """p-values, sizes, and by how many deviations the mean moved (NaN where there is none), each (W, signals)."""

    p: NDArray[np.float64]
    size: NDArray[np.float64]
    moved: NDArray[np.float64]

    def direction(self, window: int, signal: int) -> Direction:
        """Where the mean went."""
        moved = self.moved[window, signal] * STEPS
        if not np.isfinite(moved) or abs(moved) < ONE_SIDED:
            return "both"
        return "up" if moved > 0 else "down"


def usual_length(n: int) -> int:
    """Window lengths are calibrated for three binary digits: as good, and few are to be made."""
    cut = max(0, n.bit_length() - 3)
    return n >> cut << cut


def look_at(references: References, windows: Matrix) -> Looks:
    """Every look at every window; the windows must have been counted in the references' bins.

    Windows for which the reference is too short have the p-value 1; ``too_short`` says so.
    """
    signals = len(references.signals())
    p = np.ones((len(windows), signals))
    size, moved = np.zeros_like(p), np.full_like(p, np.nan)
    for (inferences, observed), rows in _by_length(windows).items():
        found = _look(references, windows.chosen(rows), inferences, observed)
        p[rows], size[rows], moved[rows] = found.p, found.size, found.moved
    return Looks(p, size, moved)


def too_short(references: References, n: int) -> str | None:
    """Why windows of ``n`` observed inputs cannot be judged, with the number of rows that are needed; or None."""
    for reference in references.features if n else ():
        try:
            reference.calibration(usual_length(n))
        except DataError as error:
            return error.message
    return None


def _by_length(windows: Matrix) -> dict[tuple[int, int], list[int]]:
    found: dict[tuple[int, int], list[int]] = {}
    lengths = zip(windows.inferences.tolist(), windows.observed.tolist(), strict=True)
    for row, (inferences, observed) in enumerate(lengths):
        found.setdefault((usual_length(inferences), usual_length(observed)), []).append(row)
    return found


def _look(references: References, windows: Matrix, inferences: int, observed: int) -> Looks:
    columns: list[_Column] = []
    for column, reference in enumerate(references.features):
        columns.append(_binned(reference, windows.feature(column), observed))
    if references.margin is not None:
        columns.append(_binned(references.margin, windows.margin(), inferences))
    if references.classes is not None:
        columns.append(_classes(references.classes, windows.classes, inferences))
    if references.together is not None:
        columns.append(_together(references.together, windows, observed))
    p, size, moved = (np.stack(of, axis=1) for of in zip(*columns, strict=True))
    return Looks(p, size, moved)


def _classes(reference: ClassReference, counts: NDArray[np.int64], n: int) -> _Column:
    p = reference.p_values(counts, n) if n else np.ones(len(counts))
    width = max(counts.shape[1], len(reference.counts))
    known = np.pad(reference.counts, (0, width - len(reference.counts)))
    size = jensen_shannon(known, np.pad(counts, ((0, 0), (0, width - counts.shape[1]))))
    return p, size, np.full(len(counts), np.nan)


def _together(reference: AllReference, windows: Matrix, n: int) -> _Column:
    nowhere = np.full(len(windows), np.nan)
    if not n:
        return np.ones(len(windows)), np.zeros(len(windows)), nowhere
    # as many rows as the calibration is for
    sums = windows.fourier() / ONE / np.maximum(windows.observed, 1)[:, np.newaxis] * n
    return reference.p_values(sums, n), reference.distance(sums, n), nowhere


def _binned(reference: BinnedReference, counted: Counted, n: int) -> _Column:
    size = jensen_shannon(np.array(reference.plan.reference), counted.bins)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = (counted.sums / counted.n - reference.calibration_mean) / STEPS
    if not n:
        return np.ones(len(size)), size, moved
    try:
        calibration = reference.calibration(n)
    except DataError:
        return np.ones(len(size)), size, moved
    return weighed(p_values(reference, counted, calibration)), size, moved
