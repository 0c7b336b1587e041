"""How fast a rollout offers: a constant rate, or one that grows with what was offered or confirmed. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edgeops.core.errors import UsageError

FIX = "--rate 60/min, or one that doubles: --rate '10/min x2 per 50 confirmed'"
SECONDS = {"s": 1, "min": 60, "h": 3600}
MAX_FACTOR = 1000.0
_RATE = re.compile(
    r"(?P<base>\d+(?:\.\d+)?)/(?P<unit>s|min|h)"
    r"(?:\s+x(?P<factor>\d+(?:\.\d+)?)\s+per\s+(?P<every>\d+)\s+(?P<by>offered|confirmed))?"
)


@dataclass(frozen=True, slots=True)
class Pace:
    """``per_second`` offers at first, times ``factor`` for every ``every`` devices offered or confirmed.

    ``every`` 0 is a constant rate.
    """

    per_second: float
    factor: float = 1.0
    every: int = 0
    by: Literal["offered", "confirmed"] = "offered"

    def rate(self, offered: int, confirmed: int) -> float:
        """Offers per second, now that so many devices were offered the version and so many confirmed it."""
        if not self.every:
            return self.per_second
        steps = (offered if self.by == "offered" else confirmed) // self.every
        # an exponent that overflows a float is as good as no limit
        return self.per_second * self.factor ** min(steps, 64)


@dataclass(frozen=True, slots=True)
class Credit:
    """How many offers may be made at once, as it stood at ``at`` (seconds)."""

    offers: float = 1.0
    at: float | None = None

    def refill(self, pace: Pace, offered: int, confirmed: int, now: float) -> Credit:
        """What it is ``now``: at most one second's worth, at least one offer, is saved up.

        A clock that jumped back gives nothing and takes nothing.
        """
        rate = pace.rate(offered, confirmed)
        passed = 0.0 if self.at is None else max(0.0, now - self.at)
        return Credit(min(max(1.0, rate), self.offers + passed * rate), now)

    def spend(self, offers: int) -> Credit:
        """What is left after so many offers."""
        return Credit(self.offers - offers, self.at)


def parse_pace(text: str) -> Pace:
    """``60/min`` or ``10/min x2 per 50 confirmed``; raises ``UsageError``."""
    match = _RATE.fullmatch(text.strip())
    if match is None or not float(match["base"]):
        raise UsageError(f"rate {text!r} is not understood", fix=FIX, rate=text)
    per_second = float(match["base"]) / SECONDS[match["unit"]]
    if match["factor"] is None:
        return Pace(per_second)
    factor, every = float(match["factor"]), int(match["every"])
    if not 1 <= factor <= MAX_FACTOR or not every:
        raise UsageError(
            f"rate {text!r}: the factor is from 1 to {MAX_FACTOR:g}, per 1 device or more", fix=FIX
        )
    return Pace(per_second, factor, every, "offered" if match["by"] == "offered" else "confirmed")
