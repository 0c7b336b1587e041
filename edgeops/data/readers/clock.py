"""The sample rate that a recording's column of time gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME_RATE = 0.02  # rates that differ by less are one: clocks are written with few digits
_JITTER = 0.2  # of the median step; beyond it a file is irregular
_FEWEST = 3
_SCALES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "µs", "usec", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nanoseconds"), "ns"),
}
_NAME = re.compile(
    r"(?:t|time|timestamp|datetime|elapsed)(?:(?:[ _]|[ _]?[\[(])(" + "|".join(_UNITS) + r")[\])]?)?"
)
# of a time since 1970: from when to when numbers of this size can only mean this unit
_EPOCHS = (("s", 5e8, 5e9), ("ms", 5e11, 5e12), ("us", 5e14, 5e15), ("ns", 5e17, 5e18))


@dataclass(frozen=True, slots=True)
class Clock:
    """``rate_hz`` is 0 where the steps say none; ``regular``: all steps are alike; ``guessed``: the unit is."""

    rate_hz: float
    regular: bool
    guessed: bool


def is_time(name: str) -> bool:
    """Whether a column of this name is one of time: ``t``, ``time``, ``time_ms``, ``Time [s]``, ``timestamp``."""
    return _NAME.fullmatch(name.strip().lower()) is not None


def clock_of(name: str, values: NDArray[np.float64] | Sequence[str]) -> Clock:
    """What a column says: (samples,) numbers, or texts that are dates.

    Numbers are in the unit that the name says. Without one they are seconds where steps are below 1 or the
    numbers are a time since 1970, and otherwise taken as milliseconds, which is a guess; steps of exactly 1 say
    nothing, since they may count samples.
    """
    if isinstance(values, np.ndarray):
        ticks, unit, guessed = values, _unit(name, values), False
        if not unit:
            step = float(np.median(np.diff(values))) if len(values) > 1 else 0.0
            unit, guessed = ("s", False) if 0 < step < 1 else ("ms", True) if 1 < step <= 1000 else ("", True)
    else:
        ticks, unit, guessed = _dates(values), "s", False
    if len(ticks) < _FEWEST or not unit or not np.isfinite(ticks).all():
        return Clock(0.0, False, guessed)
    steps = np.diff(ticks) * _SCALES[unit]
    middle = float(np.median(steps))
    if middle <= 0:
        return Clock(0.0, False, guessed)
    regular = bool((np.abs(steps - middle) <= _JITTER * middle).all())
    return Clock(_rounded(1 / float(steps.mean() if regular else middle)), regular, guessed)


def same_rate(first: float, second: float) -> bool:
    """Whether two rates in Hz differ by no more than the digits that clocks are written with."""
    return abs(first - second) <= SAME_RATE * max(first, second)


def _unit(name: str, values: NDArray[np.float64]) -> str:
    """The unit that the name or, since 1970, the size of the numbers says; empty where neither does."""
    found = _NAME.fullmatch(name.strip().lower())
    if found is not None and found.group(1):
        return _UNITS[found.group(1)]
    first = float(values[0]) if len(values) else 0.0
    return next((unit for unit, low, high in _EPOCHS if low <= first < high), "")


def _dates(texts: Sequence[str]) -> NDArray[np.float64]:
    """Seconds since the first of them; empty where they are not all ISO 8601."""
    plain = [re.sub(r"(Z|[+-]\d\d:?\d\d)$", "", text) if ":" in text else text for text in texts]
    try:
        dates = np.array(plain, "datetime64[us]")
    except ValueError:
        return np.zeros(0)
    return (dates - dates[:1]) / np.timedelta64(1, "s")


def _rounded(rate: float) -> float:
    """Without what is noise of the clock: two digits or a whole number where they are within a thousandth."""
    for plain in (float(f"{rate:.2g}"), float(round(rate))):
        if plain and abs(plain - rate) <= 1e-3 * rate:
            return plain
    return float(f"{rate:.4g}")
