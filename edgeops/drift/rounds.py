"""One round of a fleet: the windows that came in it, judged together. Pure.

A window drifted where a look passes its part of the allowance and is large enough to matter, and where hierarchical
Benjamini-Hochberg over all the round's windows believes it: so a device raises no more false alarms than it
was allowed, and of what a large fleet raises in a round few are false. What no device shows by itself is looked for
in the windows together: of the fleet, and of every cohort that an attribute makes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgeops.drift.device_quality import Fault
from edgeops.drift.device_track import (
    SPAN,
    SeenWindow,
    Track,
    faults_of,
    flagged,
    flagged_with_others,
    follows,
    overlaps,
    taken,
)
from edgeops.drift.learned import learned_together
from edgeops.drift.matrix import Layout, Matrix, Row
from edgeops.drift.multiplicity import hierarchical
from edgeops.drift.pooled import MIN_DEVICES, look_at_pool
from edgeops.drift.signals import Looks, References, look_at
from edgeops.drift.size import DEFAULT_SIZE

ALONE, TOGETHER = 0.85, 0.15
"""What part of the allowance the look at one window and that at ``SPAN`` windows may use up."""
MOST_COHORTS = 50
FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Shift:
    """One look that passed: ``kind`` and ``signal`` as in ``signals.References``, ``scope`` whose windows it was.

    ``distance`` is the Jensen-Shannon distance (of all features together the maximum mean discrepancy; of quality the
    share of inputs, or the ratio of rates), ``n`` the inputs behind it, ``merged`` the windows of a device.
    """

    kind: str
    signal: str
    p_value: float
    distance: float
    direction: str
    n: int
    merged: int = 1
    scope: str = "device"


@dataclass(frozen=True, slots=True)
class Finding:
    """A device that drifted, or whose inputs are at fault, and the window that said so."""

    window: SeenWindow
    shifts: tuple[Shift, ...]
    quality: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """``allowed`` is the probability of a false alarm that a window of so many seconds may have; a pool is looked at
    once in ``round_s``.
    """

    allowed: Callable[[float], float]
    size: float = DEFAULT_SIZE
    min_inputs: int = 40
    round_s: float = math.inf


@dataclass
class Round:
    """What a round came to; ``notes`` has (device, what was wrong with what it sent), ``usable`` the windows that can
    be judged or learned from.
    """

    tracks: dict[str, Track]
    usable: list[SeenWindow] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Judged:
    window: SeenWindow
    references: References
    layout: Layout
    history: tuple[Row, ...]


def judge_round(
    tracks: Mapping[str, Track],
    windows: Sequence[SeenWindow],
    references: Callable[[SeenWindow], References | None],
    cohorts: Mapping[str, frozenset[str]],
    terms: Terms,
) -> Round:
    """Judge the windows of a round, in the order in which they came.

    ``tracks`` is what is remembered by device. ``references`` gives what a window is held against, None for one that
    is not judged. ``cohorts`` names the devices of each cohort.
    """
    done = Round(dict(tracks))
    judged: list[_Judged] = []
    for window in windows:
        track = done.tracks.get(window.device, Track())
        if not follows(track, window):
            done.notes.append((window.device, "a window older than the last"))
            continue
        if overlaps(track, window):
            done.notes.append((window.device, "windows that overlap"))
            # its end is believed again from here on: one lie must not blind for the whole boot
            done.tracks[window.device] = replace(track, last=window.position, end_ms=window.end_ms)
            continue
        track = taken(track, window)
        done.tracks[window.device] = _look_for_faults(done, track, window)
        if done.tracks[window.device].faulty:
            continue  # what a broken sensor shows is judged by nothing, and merged with nothing
        if window.trial or not window.counters.observed:
            continue
        done.usable.append(window)
        against = references(window)
        if against is None:
            continue
        if sum(int(row[0]) for row in track.history) < terms.min_inputs:
            done.notes.append((window.device, "windows too small to be judged, even four together"))
        else:
            judged.append(_Judged(window, against, Layout.of(window.counters), track.history))
    _judge_windows(done, judged, terms)
    _judge_pools(done, judged, cohorts, terms)
    return done


def _look_for_faults(done: Round, track: Track, window: SeenWindow) -> Track:
    found = faults_of(track, window)
    if found and not track.faulty:
        done.findings.append(Finding(window, tuple(_of_fault(fault) for fault in found), quality=True))
    return replace(track, faulty=bool(found), history=() if found else track.history)


def _of_fault(fault: Fault) -> Shift:
    way = ("up" if fault.share > 1 else "down") if fault.name == "rate" else "both"
    return Shift("quality", fault.name, 0.0, fault.share, way, fault.n)


def _judge_windows(done: Round, judged: Sequence[_Judged], terms: Terms) -> None:
    """Flag each judged window; the same references make one family of looks."""
    by_references: dict[int, list[_Judged]] = {}
    for one in judged:
        by_references.setdefault(id(one.references), []).append(one)
    groups = [_Looked(group, terms) for group in by_references.values()]
    if not groups:
        return
    width = max(group.p.shape[1] for group in groups)
    p = np.concatenate(
        [np.pad(g.p, ((0, 0), (0, width - g.p.shape[1])), constant_values=1.0) for g in groups]
    )
    believed = hierarchical(p)
    at = 0
    shifts: dict[int, tuple[Shift, ...]] = {}
    for group in groups:
        rows = believed[at : at + len(group.windows), : group.p.shape[1]]
        at += len(group.windows)
        for row, window in enumerate(group.windows):
            shifts[window.id] = group.shifts(row, rows[row])
    for one in judged:
        window, passed = one.window, shifts[one.window.id]
        track = done.tracks[window.device]
        if passed:
            done.findings.append(Finding(window, passed))
        done.tracks[window.device] = flagged(track, bool(passed))


class _Looked:
    """Windows under the same references, looked at alone and with those before them."""

    def __init__(self, group: Sequence[_Judged], terms: Terms) -> None:
        self.windows = [one.window for one in group]
        references = group[0].references
        self._signals = references.signals()
        self._terms = terms
        layout = group[0].layout
        self._alone = look_at(references, Matrix(layout, np.stack([one.history[-1] for one in group])))
        long = [row for row, one in enumerate(group) if len(one.history) == SPAN]
        p = np.ones_like(self._alone.p)
        size, moved = np.zeros_like(p), np.full_like(p, np.nan)
        if long:
            found = look_at(
                references, Matrix(layout, np.array([group[row].history for row in long]).sum(axis=1))
            )
            p[long], size[long], moved[long] = found.p, found.size, found.moved
        self._together = Looks(p, size, moved)
        self._n = [(int(one.history[-1][1]), sum(int(row[1]) for row in one.history)) for one in group]
        # what is too small to matter is no evidence
        small = np.array([one.window.counters.inferences < terms.min_inputs for one in group])
        matters = self._matters(self._alone) & ~small[:, np.newaxis]
        self._of_alone = np.where(matters, self._alone.p / ALONE, 1.0)
        self._of_together = np.where(self._matters(self._together), self._together.p / TOGETHER, 1.0)
        self.p: NDArray[np.float64] = np.minimum(1.0, np.minimum(self._of_alone, self._of_together))
        allowed = np.array([terms.allowed(window.duration_ms / 1000) for window in self.windows])
        self._passes = self.p <= allowed[:, np.newaxis] * references.shares()

    def shifts(self, row: int, believed: NDArray[np.bool_]) -> tuple[Shift, ...]:
        """The looks of a window that passed, the largest first."""
        found = []
        for column in np.nonzero(self._passes[row] & believed)[0].tolist():
            alone = self._of_alone[row, column] <= self._of_together[row, column]
            looks, merged = (self._alone, 1) if alone else (self._together, SPAN)
            found.append(_shift(self._signals[column], looks, row, column, self._n[row][not alone], merged))
        return tuple(sorted(found, key=lambda shift: (-shift.distance, shift.signal)))

    def _matters(self, looks: Looks) -> NDArray[np.bool_]:
        matters: NDArray[np.bool_] = looks.size >= self._terms.size
        for column, (kind, _) in enumerate(self._signals):
            if kind == "multivariate":  # its distance has another measure
                matters[:, column] = True
        return matters


def _judge_pools(
    done: Round, judged: Sequence[_Judged], cohorts: Mapping[str, frozenset[str]], terms: Terms
) -> None:
    """What the windows of a scope say together, of devices that do not drift by themselves."""
    said = {finding.window.device for finding in done.findings}
    latest = {one.window.device: one for one in judged if one.window.device not in said}
    pool = _comparable(latest)
    if len(pool) < MIN_DEVICES:
        return
    lasted = float(np.median([one.window.duration_ms for one in pool.values()])) / 1000
    seconds = min(lasted, terms.round_s)
    smaller = {
        name: inside
        for name, devices in sorted(cohorts.items())[:MOST_COHORTS]
        if MIN_DEVICES <= len(inside := devices & pool.keys()) < len(pool)
    }
    scopes = {FLEET: frozenset(pool), **smaller}
    for scope, devices in scopes.items():
        part = 1.0 if not smaller else 0.5 if scope == FLEET else 0.5 / len(smaller)
        passed = _pool_shifts(
            done, [pool[name] for name in sorted(devices)], scope, terms, part * terms.allowed(seconds)
        )
        for name in sorted(devices) if passed else ():
            done.findings.append(Finding(pool[name].window, passed))
            done.tracks[name] = flagged_with_others(done.tracks[name])
        if passed:
            return  # the widest scope that moved says it


def _pool_shifts(
    done: Round, members: Sequence[_Judged], scope: str, terms: Terms, allowed: float
) -> tuple[Shift, ...]:
    references = members[0].references
    if references.before is not None:
        references = learned_together([one.references for one in members])
    pool = look_at_pool(references, Matrix(members[0].layout, np.stack([one.history[-1] for one in members])))
    if pool is None:
        return ()
    for index in pool.left_out:
        done.notes.append(
            (members[index].window.device, "a window far larger than the fleet's, left out of it")
        )
    signals, looks = references.signals(), pool.looks
    passes = (looks.p[0] <= allowed * references.shares()) & (looks.size[0] >= terms.size)
    found = [
        replace(_shift(signals[column], looks, 0, column, pool.n, 1), scope=scope)
        for column in np.nonzero(passes)[0].tolist()
    ]
    return tuple(sorted(found, key=lambda shift: (-shift.distance, shift.signal)))


def _shift(signal: tuple[str, str], looks: Looks, row: int, column: int, n: int, merged: int) -> Shift:
    return Shift(
        signal[0],
        signal[1],
        float(looks.p[row, column]),
        float(looks.size[row, column]),
        looks.direction(row, column),
        n,
        merged,
    )


def _comparable(latest: Mapping[str, _Judged]) -> dict[str, _Judged]:
    """The largest group of devices that one reference serves: the same, or learned from the same beginning."""
    groups: dict[tuple[int, bool], dict[str, _Judged]] = {}
    for name, one in latest.items():
        before = one.references.before
        key = (id(before or one.references), before is not None)
        groups.setdefault(key, {})[name] = one
    return max(groups.values(), key=len, default={})
