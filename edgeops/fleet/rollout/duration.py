"""``90s``, ``10m``, ``2h``, ``1d`` to seconds, and back. Pure."""

from __future__ import annotations

import re

from edgeops.core.errors import UsageError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 365 * 86_400


def parse_duration(text: str, what: str) -> float:
    """Seconds; raises ``UsageError`` that names ``what``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    seconds = float(match[1]) * UNITS[match[2]] if match else -1.0
    if not 0 <= seconds <= LONGEST_S:
        raise UsageError(
            f"{what} {text!r} is not a duration", fix="write it as 90s, 10m, 2h or 1d", value=text
        )
    return seconds


def duration_words(seconds: float) -> str:
    """The largest unit that says it exactly, else seconds."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNITS[unit] == 0:
            return f"{seconds / UNITS[unit]:g}{unit}"
    return f"{seconds:.15g}s"
