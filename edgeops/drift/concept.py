"""Concept drift from labels: does the model err more often than it did?

A mixture of Shiryaev-Roberts statistics over the stream of errors (Pollak 1985; Tartakovsky, Nikiforov & Basseville,
"Sequential Analysis", 2014, section 6.3): for each odds ratio r of an error, R = (1 + R) * likelihood ratio. While
nothing changes the mean of R grows by 1 with each label, so that the mean run length to a false alarm is at least the
threshold, whatever the stream's length: the threshold *is* the allowed number of labels between false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

RUN_LENGTH = 30_000.0
"""Labels between two false alarms, at least."""
ODDS = (1.6, 2.4, 4.0)
WEIGHTS = (0.35, 0.5, 0.15)
"""Errors whose odds grew that much are looked for; from 10 % errors on: 15, 21 and 31 %."""
RECENT = 50
_MIN_RATE = 1e-4


@dataclass(frozen=True, slots=True)
class ErrorStream:
    """What is remembered of the labels so far; ``recent`` is the error rate of about the last fifty."""

    base_rate: float
    statistics: tuple[float, ...] = (0.0,) * len(ODDS)
    recent: float | None = None

    def take(self, wrong: bool) -> ErrorStream:
        """With one more label."""
        rate = min(max(self.base_rate, _MIN_RATE), 1 - _MIN_RATE)
        statistics = tuple(
            min(1e300, (1 + before) * _likelihood_ratio(rate, odds, wrong))
            for before, odds in zip(self.statistics, ODDS, strict=True)
        )
        return ErrorStream(self.base_rate, statistics, self.rate + (wrong - self.rate) / RECENT)

    @property
    def evidence(self) -> float:
        """The statistic: an alarm where it reaches the run length."""
        return sum(weight * value for weight, value in zip(WEIGHTS, self.statistics, strict=True))

    @property
    def rate(self) -> float:
        """The error rate lately; the base rate where there were no labels yet."""
        return self.base_rate if self.recent is None else self.recent


def first_alarms(
    base_rate: float, wrong: Iterable[bool], run_length: float = RUN_LENGTH
) -> list[tuple[int, ErrorStream]]:
    """(index of the label, state) of each alarm; after one, the stream is watched anew."""
    state, found = ErrorStream(base_rate), []
    for index, error in enumerate(wrong):
        state = state.take(bool(error))
        if state.evidence >= run_length:
            found.append((index, state))
            state = ErrorStream(base_rate)
    return found


def erring(counts: Mapping[str, tuple[int, int]], base_rate: float) -> list[str]:
    """Whose errors a risen error rate is: of devices with (errors, labels) those that err more than chance allows, by
    the binomial's upper tail at 1 % over all of them; where none stands out, all that erred.
    """
    from scipy.special import bdtrc

    most = 0.01 / max(1, len(counts))
    found = [
        name
        for name, (errors, labels) in counts.items()
        if errors and float(bdtrc(errors - 1, labels, base_rate)) <= most
    ]
    return found or [name for name, (errors, _) in counts.items() if errors]


def base_rate_of(errors: int, labels: int) -> tuple[float, float]:
    """(error rate, standard error) of a labelled reference, with Jeffreys' half error added."""
    rate = (errors + 0.5) / (labels + 1)
    return rate, math.sqrt(rate * (1 - rate) / labels) if labels else 0.5


def labels_needed(rate: float, error: float = 0.0025) -> int:
    """How many labels know an error rate to ``error``: one point too low costs three quarters of the run length."""
    return math.ceil(round(rate * (1 - rate) / error**2, 6))


def _likelihood_ratio(rate: float, odds: float, wrong: bool) -> float:
    # (r p / (1 - p + r p)) / p where wrong, and the same with 1 - p where right
    scale = 1 - rate + odds * rate
    return (odds if wrong else 1.0) / scale
