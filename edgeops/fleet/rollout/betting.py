"""A test that may be looked at at any time: capital won by betting against the null hypothesis. Pure.

Observations lie in 0..1 and the null says that their mean, given all that came before, is at most ``null``. The
capital starts at 1 and is multiplied by 1 + bet * (x - null) for each observation x, with a bet that depends on
earlier observations only. Under the null it is a non-negative supermartingale, so that the probability of its ever
reaching 1/alpha is at most alpha (Ville's inequality). The bet is the aGRAPA one of Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting", JRSS-B 2024, eq. 31, kept below ``BOLDNESS`` / null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BOLDNESS = 0.75
LEANING = 4.0
"""Under the null the odds ever stand this high in at most one run of four, and then fall again."""


@dataclass(frozen=True, slots=True)
class Capital:
    """What was won against one null, and what the next bet is made from."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    log_capital: float = 0.0
    highest: float = 0.0

    def bet(self, value: float, null: float) -> Capital:
        """The capital after an observation ``value`` in 0..1 (it is clipped to that); ``null`` in 0..1, exclusive."""
        value = min(1.0, max(0.0, value))
        # One observation of a half and a variance of a quarter stand for what is not known yet.
        mean = (0.5 + self.total) / (self.count + 1)
        variance = max(1e-4, (0.25 + self.squares) / (self.count + 1))
        edge = mean - null
        stake = min(max(0.0, edge / (variance + edge * edge)), BOLDNESS / null)
        log_capital = self.log_capital + math.log1p(stake * (value - null))
        count, total = self.count + 1, self.total + value
        deviation = value - (0.5 + total) / (count + 1)
        return Capital(
            count, total, self.squares + deviation * deviation, log_capital, max(self.highest, log_capital)
        )

    @property
    def leaning(self) -> bool:
        """Whether what was seen speaks against the null by ``LEANING`` to 1 or more as it stands."""
        return self.log_capital >= math.log(LEANING)

    def rejects(self, alpha: float) -> bool:
        """Whether the null is rejected at level ``alpha``: once it was, it stays so."""
        return self.highest >= -math.log(alpha)

    @property
    def mean(self) -> float:
        """The mean of the observations; NaN without any."""
        return self.total / self.count if self.count else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "count": self.count,
            "total": self.total,
            "squares": self.squares,
            "log_capital": self.log_capital,
            "highest": self.highest,
        }


def capital_from_dict(stored: Mapping[str, Any]) -> Capital:
    """The inverse of ``Capital.to_dict``."""
    return Capital(**{name: stored[name] for name in ("count", "total", "squares", "log_capital", "highest")})
