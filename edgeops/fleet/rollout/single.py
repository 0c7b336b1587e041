"""The evidence of a gate with a fixed limit: the mean of one figure in 0..1 against it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeops.fleet.rollout.betting import Capital, capital_from_dict
from edgeops.fleet.rollout.evidence import ALPHA


@dataclass(frozen=True, slots=True)
class Single:
    """The capital won against "the mean is at most the limit"."""

    capital: Capital = field(default_factory=Capital)

    def take(self, value: float, limit: float) -> Single:
        """With one more figure; a limit of 1 cannot be passed, one of 0 is taken as one in a thousand."""
        if limit >= 1:
            return self
        return Single(self.capital.bet(value, max(limit, 0.001)))

    def refuses(self, evidence: int) -> bool:
        """Whether the limit is passed, by at least so many figures."""
        return self.capital.count >= evidence and self.capital.rejects(ALPHA)

    def leans(self, evidence: int) -> bool:
        """Whether it stands against the version without being enough to refuse it."""
        return self.capital.leaning and not self.refuses(evidence)

    @property
    def odds(self) -> float:
        """The highest capital so far; a gate says no at 1/alpha."""
        return math.exp(min(700.0, self.capital.highest))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return self.capital.to_dict()


def single_from_dict(stored: Mapping[str, Any]) -> Single:
    """The inverse of ``Single.to_dict``; nothing stored is no evidence yet."""
    return Single(capital_from_dict(stored)) if stored else Single()
