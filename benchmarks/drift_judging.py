"""What a detector did on a stream, and which of several did better: delays, false alarms, misses. Pure.

A delay counts windows from the change on, 1 for the first; a change that was missed counts one more than was watched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from drift_worlds import upper_bound

OURS, ALWAYS = "EdgeOps", "always fires"


@dataclass
class Score:
    """What a detector did on one stream."""

    false: int = 0
    null: int = 0
    delays: list[int] = field(default_factory=list)
    missed: int = 0

    def add(self, windows: int, change: int | None, alarmed: Sequence[int]) -> None:
        """One run."""
        before = windows if change is None else change
        self.null += before
        self.false += sum(window < before for window in alarmed)
        if change is not None:
            after = [window for window in alarmed if window >= change]
            self.missed += not after
            self.delays.append(min(after, default=windows) - change + 1)

    @property
    def rate(self) -> float:
        """False alarms per 1,000 windows without drift."""
        return 1000 * self.false / max(1, self.null)

    @property
    def bound(self) -> float:
        """The upper 95 % bound of ``rate``; false alarms that follow each other make it too low."""
        return upper_bound(self.false, self.null)

    @property
    def delay(self) -> float:
        """Windows, the median."""
        return float(np.median(self.delays))

    @property
    def misses(self) -> float:
        """The share of the runs without an alarm after the change."""
        return self.missed / len(self.delays)

    def __str__(self) -> str:
        false = f"{self.rate:.1f}/1000 of {self.null} (at most {self.bound:.1f})"
        if not self.delays:
            return false
        return f"{false}, delay {self.delay:g} (mean {np.mean(self.delays):.1f}), missed {self.misses:.0%}"


def settings_of_peers(scores: Mapping[str, Score]) -> list[str]:
    """Every peer, at its default and as tuned: all but EdgeOps and the detector that always fires."""
    return [name for name in scores if name not in (OURS, ALWAYS)]


def best_of(scores: Mapping[str, Score], names: Sequence[str]) -> str:
    """The earliest of ``names`` by the median; of equally early ones the quietest, then who misses least."""
    return min(names, key=lambda name: (scores[name].delay, scores[name].rate, scores[name].misses))


def ahead_of_us(scores: Mapping[str, Score]) -> list[str]:
    """The peers' settings that are in no figure worse than EdgeOps, and better in one."""
    ours = _figures(scores[OURS])
    found = []
    for name in settings_of_peers(scores):
        theirs = _figures(scores[name])
        if theirs != ours and all(a <= b for a, b in zip(theirs, ours, strict=True)):
            found.append(name)
    return found


def _figures(score: Score) -> tuple[float, float, float]:
    return score.delay, score.rate, score.misses
