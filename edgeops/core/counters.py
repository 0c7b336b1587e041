"""Counters of one model and one set of bins: what a report carries, and what merges by addition."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from edgeops.core.errors import WireError
from edgeops.core.fourier import COMPONENTS
from edgeops.core.observe import BINS, CONFIDENCE_BINS, LATENCY_BINS, ObservePlan

SATURATED = 65_535
"""A device counts errors and refused inputs no further in one window: this number means so many or more."""
_NO_MOMENTS = (0, 0)


@dataclass(frozen=True, slots=True)
class Counters:
    """Immutable; ``+`` merges, exactly and in any order.

    ``classes``, ``confidence``, ``latency`` and ``margin`` each add up to ``inferences``, every feature to
    ``observed``. ``moments`` has for each feature the sum and the sum of squares of its steps
    (``edgeops.core.moments``), ``margin_moments`` those of the margin. ``missing`` inputs of the refused ones held
    values that are no numbers; ``stuck`` of the observed ones were the same as the one before. ``fourier`` has the 64
    sums of ``edgeops.core.fourier``, or nothing. ``margin`` and its moments are empty where the plan has none.
    """

    bins: bytes
    inferences: int
    errors: int
    rejected_inputs: int
    classes: tuple[int, ...]
    confidence: tuple[int, ...]
    latency: tuple[int, ...]
    observed: int
    features: tuple[tuple[int, ...], ...]
    moments: tuple[tuple[int, int], ...] = ()
    margin: tuple[int, ...] = ()
    margin_moments: tuple[int, ...] = ()
    missing: int = 0
    stuck: int = 0
    fourier: tuple[int, ...] = ()

    def __add__(self, other: Counters) -> Counters:
        """The merged counters; raises ``WireError`` when bins or shapes differ."""
        if self.shape() != other.shape():
            raise WireError("counters of different bins do not merge")
        mine, theirs = _values(self), _values(other)
        merged: dict[str, Any] = {name: _sum(value, theirs[name]) for name, value in mine.items()}
        return replace(self, **merged)

    def shape(self) -> tuple[object, ...]:
        """What must be equal for two to merge."""
        lists = (self.classes, self.confidence, self.latency, self.moments, self.margin, self.fourier)
        return (self.bins, tuple(map(len, lists)), tuple(map(len, self.features)))

    @property
    def saturated(self) -> bool:
        """Whether one window reached the end of a counter: there may have been more. Of one report only."""
        return SATURATED in (self.errors, self.rejected_inputs, self.missing)


def empty_counters(plan: ObservePlan) -> Counters:
    """The neutral element of ``+`` for a plan."""
    has_margin = plan.margin is not None
    return Counters(
        bins=plan.digest(),
        inferences=0,
        errors=0,
        rejected_inputs=0,
        classes=(0,) * len(plan.classes),
        confidence=(0,) * CONFIDENCE_BINS,
        latency=(0,) * LATENCY_BINS,
        observed=0,
        features=((0,) * BINS,) * len(plan.features),
        moments=(_NO_MOMENTS,) * len(plan.features),
        margin=(0,) * BINS if has_margin else (),
        margin_moments=_NO_MOMENTS if has_margin else (),
        fourier=(0,) * COMPONENTS if plan.fourier is not None else (),
    )


def _values(counters: Counters) -> dict[str, object]:
    return {f.name: getattr(counters, f.name) for f in fields(counters) if f.name != "bins"}


def _sum(a: object, b: object) -> object:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return tuple(_sum(x, y) for x, y in zip(a, b, strict=True))
    assert isinstance(a, int) and isinstance(b, int)
    return a + b
