"""How many false alarms a person allows, in time, and what that leaves for each look.

``1 per 30 days per device`` with a window a minute is one in 43,200 windows. Half-hidden looks count too: a window is
looked at alone and merged with those before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeops.core.errors import UsageError

_UNITS = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0, "week": 604_800.0, "month": 2_592_000.0}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s+per\s+(?:(\d+(?:\.\d+)?)\s+)?([a-z]+?)s?(?:\s+per\s+device)?\s*")
SHORTEST_S, LONGEST_S = 1.0, 86_400.0
MOST = 0.1
"""No window may be a false alarm more often, whatever was asked for."""
FIX = "write it as '1 per 30 days per device' or '1 per 3000 windows'"


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """``count`` false alarms in ``windows`` windows, or in ``seconds``, of one device."""

    count: float
    windows: float | None = None
    seconds: float | None = None

    def per_window(self, interval_s: float | None = None) -> float:
        """The probability of a false alarm that each window may have; ``interval_s`` from one window to the next.

        Raises ``UsageError`` where the allowance is in time and the interval is not known, or is more than certain.
        """
        if self.windows is not None:
            rate = self.count / self.windows
        elif self.seconds is not None and interval_s:
            rate = self.count * interval_s / self.seconds
        else:
            raise UsageError(
                "how long a window lasts is not known here",
                fix="say it, e.g. --interval 1m, or write '1 per 3000 windows'",
            )
        if not 0 < rate < 0.5:
            raise UsageError(f"{rate:g} false alarms a window leave nothing to find", fix=FIX)
        return rate

    def of_window(self, lasted_s: float) -> float:
        """As ``per_window`` for a window of a device whose clock may say anything: at least a second, at most a day."""
        rate = self.count / self.windows if self.windows is not None else 0.0
        if self.seconds is not None:
            rate = self.count * min(max(lasted_s, SHORTEST_S), LONGEST_S) / self.seconds
        return min(rate, MOST)


def parse_false_alarms(text: str) -> FalseAlarms:
    """``N per M days [per device]`` or ``N per M windows``; raises ``UsageError``."""
    match = _FORM.fullmatch(text.lower())
    if match is not None:
        count, many, unit = float(match[1]), float(match[2] or 1), match[3]
        if unit == "window" and count and many:
            return FalseAlarms(count, windows=many)
        if unit in _UNITS and count and many:
            return FalseAlarms(count, seconds=many * _UNITS[unit])
    raise UsageError(f"{text!r} is no rate of false alarms", fix=FIX)
