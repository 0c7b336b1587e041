"""The daily window in which a rollout offers: ``22:00-05:00``, or ``22:00-05:00 Europe/Berlin``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edgeops.core.errors import UsageError

FIX = "--window '22:00-05:00 Europe/Berlin' (UTC where no zone is named)"
_WINDOW = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})(?:\s+(\S+))?")


@dataclass(frozen=True, slots=True)
class Hours:
    """From ``start`` to ``end`` in minutes after midnight of ``zone``; an end before the start is the next day."""

    start: int
    end: int
    zone: str = "UTC"

    def open_at(self, now: float) -> bool:
        """Whether offers may be made at ``now`` (seconds since the epoch)."""
        local = datetime.fromtimestamp(now, UTC if self.zone == "UTC" else ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def __str__(self) -> str:
        """As it is written."""
        clock = [f"{minutes // 60:02d}:{minutes % 60:02d}" for minutes in (self.start, self.end)]
        return f"{clock[0]}-{clock[1]} {self.zone}"


def parse_hours(text: str) -> Hours:
    """The window that ``text`` says; raises ``UsageError``, for an unknown time zone too."""
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"window {text!r} is not understood", fix=FIX, window=text)
    hours = [int(match[group]) for group in (1, 3)]
    minutes = [int(match[group]) for group in (2, 4)]
    if max(hours) > 23 or max(minutes) > 59:
        raise UsageError(f"window {text!r}: there is no such time of day", fix=FIX, window=text)
    zone = match[5] or "UTC"
    if zone != "UTC":
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UsageError(f"window {text!r}: no time zone {zone!r}", fix=FIX, window=text) from error
    start, end = (hour * 60 + minute for hour, minute in zip(hours, minutes, strict=True))
    if start == end:
        raise UsageError(f"window {text!r} is empty", fix=FIX, window=text)
    return Hours(start, end, zone)
