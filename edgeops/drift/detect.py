"""How far merged counters have moved from the reference that travels with the model.

Evidence is the chi-squared test of homogeneity of two samples, the reference being the second one and so only
an estimate, too. Its statistic is the likelihood ratio G = 2 * sum(O * ln(O / E)) (Wilks 1938; Sokal &
Rohlf, Biometry, ch. 17) and not Pearson's, which overstates the evidence of thin cells: nine counts or more
where two are expected have probability 2e-4, Pearson says 7e-7 and G says 3e-4. Size is the Jensen-Shannon
distance, base 2 (Lin 1991; Endres & Schindelin 2003): 0 for equal proportions, 1 for disjoint ones. Much data
makes a negligible shift certain and little data makes noise large, so an alarm needs both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgeops.core.errors import WireError
from edgeops.core.observe import Counters, ObservePlan

Direction = Literal["up", "down", "both"]

CONFIDENCE = "confidence"
CLASSES = "classes"
MIN_EXPECTED = 2.0  # a cell of which the window should have less is merged into its neighbour ...
MIN_SEEN = 5  # ... unless the window has this many there: mass beyond the reference's range stays visible
_ONE_SIDED = 3.0  # so many times more mass moved one way than the other: the shift has that direction


@dataclass(frozen=True, slots=True)
class Limits:
    """When a shift is an alarm: p-value at most ``alpha``, distance at least ``distance``, enough inputs.

    ``spans`` are the numbers of latest windows that are merged and tested.
    The default evidence is for a fleet that looks often: 20 devices x 30 windows are about 6,000 tests; at
    1e-6 one run in 200 of fair draws raised an alarm.
    """

    alpha: float = 1e-8
    distance: float = 0.15
    min_inputs: int = 40
    spans: tuple[int, ...] = (1, 4)

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing."""
        if not (0 < self.alpha < 1 and 0 <= self.distance <= 1 and self.min_inputs > 0):
            raise ValueError(f"drift limits out of range: {self}")
        if not self.spans or min(self.spans) < 1:
            raise ValueError(f"drift limits need spans of at least one window, not {self.spans}")


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Shift:
    """How one signal differs from its reference; ``n`` is the number of inputs behind it."""

    signal: str
    p_value: float
    distance: float
    direction: Direction
    n: int

    @property
    def alarming(self) -> bool:
        """Whether this signal may raise an alarm: a device may simply see other classes."""
        return self.signal != CLASSES

    def passes(self, limits: Limits) -> bool:
        """Whether evidence, size and number of inputs all pass the limits."""
        enough = self.n >= limits.min_inputs
        return self.alarming and enough and self.p_value <= limits.alpha and self.distance >= limits.distance


def shifts(plan: ObservePlan, counters: Counters) -> tuple[Shift, ...]:
    """The shift of every signal that has counts: each feature, the confidence, the predicted classes.

    Raises ``WireError`` when the counters were counted in other bins than the plan's.
    """
    if counters.bins != plan.digest():
        raise WireError("counters were counted in other bins than the reference's")
    signals = [(f.name, f.reference, seen) for f, seen in zip(plan.features, counters.features, strict=True)]
    signals.append((CONFIDENCE, plan.confidence, counters.confidence))
    signals.append((CLASSES, plan.classes, counters.classes))
    found = (compare(name, reference, seen) for name, reference, seen in signals)
    return tuple(shift for shift in found if shift is not None)


def alarming(plan: ObservePlan, counters: Counters, limits: Limits = DEFAULT_LIMITS) -> tuple[Shift, ...]:
    """The shifts that pass the limits, the largest first."""
    passed = [shift for shift in shifts(plan, counters) if shift.passes(limits)]
    return tuple(sorted(passed, key=lambda shift: (-shift.distance, shift.signal)))


def compare(signal: str, reference: Sequence[int], seen: Sequence[int]) -> Shift | None:
    """The shift of one signal's counts from its reference counts; None when either has no counts."""
    if len(reference) != len(seen):
        raise WireError(f"{signal}: {len(seen)} counts do not fit a reference of {len(reference)}")
    n = sum(seen)
    if n == 0 or sum(reference) == 0:
        return None
    cells = merge_cells(reference, seen)
    direction: Direction = "both" if signal == CLASSES else _direction(cells)
    return Shift(signal, _homogeneity(cells), _jensen_shannon(cells), direction, n)


def merge_cells(reference: Sequence[int], seen: Sequence[int]) -> list[tuple[int, int]]:
    """(reference, seen) per cell, cells too thin to test alone merged into a neighbour.

    A cell stands alone when the pooled proportions let the seen sample expect ``MIN_EXPECTED`` counts there,
    or when it has ``MIN_SEEN``. Thin cells go to the next one up, what remains at the top to the last cell.
    """
    share = sum(seen) / (sum(seen) + sum(reference))
    cells: list[tuple[int, int]] = []
    r = s = 0
    for ref_count, seen_count in zip(reference, seen, strict=True):
        r, s = r + ref_count, s + seen_count
        if (r + s) * share >= MIN_EXPECTED or s >= MIN_SEEN:
            cells.append((r, s))
            r = s = 0
    if (r or s) and cells:
        last_r, last_s = cells.pop()
        r, s = r + last_r, s + last_s
    return [*cells, (r, s)] if r or s else cells


def _homogeneity(cells: Sequence[tuple[int, int]]) -> float:
    """p-value of the G test that both samples have the same proportions."""
    if len(cells) < 2:
        return 1.0
    from scipy.special import chdtrc

    reference, seen = sum(r for r, _ in cells), sum(s for _, s in cells)
    total = reference + seen
    statistic = 0.0
    for r, s in cells:
        if r:
            statistic += r * math.log(r * total / ((r + s) * reference))
        if s:
            statistic += s * math.log(s * total / ((r + s) * seen))
    return float(chdtrc(len(cells) - 1, max(2 * statistic, 0.0)))


def _jensen_shannon(cells: Sequence[tuple[int, int]]) -> float:
    """Square root of the mean Kullback-Leibler divergence of both from their midpoint, base 2."""
    reference, seen = sum(r for r, _ in cells), sum(s for _, s in cells)
    divergence = 0.0
    for r, s in cells:
        p, q = r / reference, s / seen
        if p == q:
            continue
        middle = (p + q) / 2
        divergence += sum(x * math.log2(x / middle) for x in (p, q) if x > 0) / 2
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def _direction(cells: Sequence[tuple[int, int]]) -> Direction:
    """Where mass moved: the two signed parts of the area between the cumulative proportions."""
    reference, seen = sum(r for r, _ in cells), sum(s for _, s in cells)
    up = down = gap = 0.0
    for r, s in cells:
        gap += r / reference - s / seen
        up, down = up + max(gap, 0.0), down + max(-gap, 0.0)
    if up > _ONE_SIDED * down:
        return "up"
    return "down" if down > _ONE_SIDED * up else "both"
