"""Seasons: a world that repeats by the day or the week is held against what it was at the same hour. Pure."""

from __future__ import annotations

import time

SEASONS = ("", "day", "week")


def slot_of(season: str, at: float) -> int:
    """The slot of a time (seconds since 1970, UTC): the hour of the day or of the week; 0 without a season."""
    clock = time.gmtime(at)
    if season == "day":
        return clock.tm_hour
    return clock.tm_wday * 24 + clock.tm_hour if season == "week" else 0
