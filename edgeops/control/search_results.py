"""What a search has found: its trials, and the front of those that no other is better than."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeops.training.search_trial import TrialFigures

OK, DOES_NOT_FIT, FAILED = "OK", "does not fit", "failed"


@dataclass(frozen=True, slots=True)
class FoundTrial:
    """One finished trial: its ``values`` by dimension, and its figures, or the ``error`` that ended it."""

    number: int
    values: Mapping[str, Any]
    figures: TrialFigures | None
    error: str = ""

    @property
    def state(self) -> str:
        """A word: OK, does not fit, failed."""
        if self.figures is None:
            return FAILED
        return OK if self.figures.feasible else DOES_NOT_FIT

    @property
    def quality(self) -> float:
        """Of a feasible trial."""
        assert self.figures is not None and self.figures.quality is not None
        return self.figures.quality

    @property
    def arena_bytes(self) -> int:
        """Of a feasible trial."""
        assert self.figures is not None and self.figures.fit is not None
        return self.figures.fit.arena_bytes or 0

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON: sizes in bytes, latencies in milliseconds (estimated)."""
        fit = self.figures.fit if self.figures is not None else None
        latency = fit.latency_ms if fit is not None else None
        return {
            "trial": self.number,
            "state": self.state,
            "quality": self.figures.quality if self.figures is not None else None,
            "arena_bytes": fit.arena_bytes if fit is not None else None,
            "flash_bytes": fit.flash_bytes if fit is not None else None,
            "macs": fit.macs if fit is not None else None,
            "latency_ms": None if latency is None else {"low": latency[0], "high": latency[1]},
            "values": dict(self.values),
            "reasons": [self.error] if self.figures is None else list(self.figures.reasons),
            "seconds": None if self.figures is None else round(self.figures.seconds, 2),
        }


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which of (quality, size) no other beats: as good or better in both, and better in one.

    Places in ``points``, from the smallest size to the largest, hence from the least quality to the most; of
    equal points only the first.
    """
    order = sorted(range(len(points)), key=lambda place: (points[place][1], -points[place][0], place))
    front: list[int] = []
    for place in order:
        if not front or points[place][0] > points[front[-1]][0]:
            front.append(place)
    return front


def front_of(trials: Sequence[FoundTrial]) -> list[FoundTrial]:
    """The feasible trials on the front of quality against arena, the smallest arena first."""
    feasible = [trial for trial in trials if trial.state == OK]
    return [feasible[place] for place in pareto_front([(t.quality, t.arena_bytes) for t in feasible])]
