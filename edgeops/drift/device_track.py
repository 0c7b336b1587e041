"""What is remembered of one device and version between rounds. Pure; rebuilt from stored windows after a restart."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeops.core.counters import Counters
from edgeops.drift.device_quality import RATES, SUSTAINED, Fault, Pace, faults, other_rate
from edgeops.drift.matrix import Layout, Row, row_of

SPAN = 4
"""So many latest windows are also looked at together."""
QUIET = 8
"""A device that drifted counts as drifted until so many judged windows in a row were quiet."""
FLAGS = 16


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """One stored window of a device; times in milliseconds of uptime, ``id`` its number in the registry.

    ``slot`` is that of the season (``edgeops.drift.seasons``): windows of different slots are not merged.
    """

    id: int
    device: str
    boot: int
    sequence: int
    start_ms: int
    duration_ms: int
    trial: bool
    counters: Counters
    slot: int = 0

    @property
    def position(self) -> tuple[int, int]:
        """Its place in the device's order."""
        return self.boot, self.sequence

    @property
    def end_ms(self) -> int:
        """When it closed."""
        return self.start_ms + self.duration_ms


@dataclass(frozen=True, slots=True)
class Track:
    """``history`` are the latest windows as rows, at most ``SPAN``; ``flags`` says which of those judged last drifted.

    ``drifted`` lasts until enough windows were quiet.
    """

    last: tuple[int, int] = (-1, -1)
    end_ms: int = 0
    slot: int = 0
    layout: Layout | None = None
    history: tuple[Row, ...] = ()
    paces: tuple[Pace, ...] = ()
    flags: tuple[bool, ...] = ()
    drifted: bool = False
    faulty: bool = False

    @property
    def quiet(self) -> int:
        """Judged windows since the last that drifted."""
        for back, flag in enumerate(reversed(self.flags)):
            if flag:
                return back
        return len(self.flags)


def follows(track: Track, window: SeenWindow) -> bool:
    """Whether a window is newer than all that were taken; one of an earlier boot is not."""
    return window.position > track.last


def overlaps(track: Track, window: SeenWindow) -> bool:
    """Whether a window says to have begun before the one before it ended: its inputs would count twice."""
    return window.boot == track.last[0] and window.start_ms < track.end_ms


def taken(track: Track, window: SeenWindow) -> Track:
    """With one more window."""
    layout = Layout.of(window.counters)
    history = track.history if (track.slot, track.layout) == (window.slot, layout) else ()
    paces = track.paces
    if window.duration_ms > 0 and window.counters.inferences:
        paces = (*paces, (window.counters.inferences, window.duration_ms))[-RATES - SUSTAINED :]
    return replace(
        track,
        last=window.position,
        end_ms=window.end_ms,
        slot=window.slot,
        layout=layout,
        history=(*history, row_of(window.counters))[-SPAN:],
        paces=paces,
    )


def flagged(track: Track, flag: bool) -> Track:
    """With the judgement of one more window."""
    flags = (*track.flags, flag)[-FLAGS:]
    after = replace(track, flags=flags)
    drifted = flag or (track.drifted and after.quiet < QUIET)
    return replace(after, drifted=drifted)


def flagged_with_others(track: Track) -> Track:
    """The pool that its last judged window was in drifted."""
    return replace(track, flags=(*track.flags[:-1], True), drifted=True)


def faults_of(track: Track, window: SeenWindow) -> tuple[Fault, ...]:
    """What is wrong with the device's inputs, with this window taken already."""
    found = faults(window.counters)
    ratio = other_rate(track.paces[:-SUSTAINED], track.paces[-SUSTAINED:])
    if ratio is not None:
        found = (*found, Fault("rate", ratio, window.counters.inferences))
    return found
