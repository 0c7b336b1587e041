"""Whole rounds of made fleets: false alarms of devices and of pools, shifts that are found, and the time of a round.

Windows are counted as devices count them and judged by ``judge_round``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from drift_fleet import Fleet
from drift_worlds import ALLOWED, FEATURES, WINDOW, upper_bound

from edgeops.drift.device_track import SPAN, Track
from edgeops.drift.rounds import Finding, Round, Terms, judge_round

DEVICES = 200
NULL_FLEETS, NULL_ROUNDS = 5, 20  # of DEVICES windows each
FLEETS, ROUNDS = 4, 50  # with a shift
LARGE_DEVICES, LARGE_FEATURES = 10_000, 32
TIMED = 3
DISTINCT = 1_000
"""Windows of the large fleet that differ: how long a round takes depends on none of their values."""
TERMS = Terms(lambda _: ALLOWED)
Shifts = Callable[[Fleet], dict[str, float]]


def rows() -> list[dict[str, Any]]:
    """All figures."""
    return [*_null(), _pooled(), *_one_device(), _seconds()]


def _row(name: str, value: float, unit: str, better: str, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": better, "peer": None, "note": note}


def _null() -> list[dict[str, Any]]:
    """Fleets that nothing happens to, each of two sites, watched over rounds that remember the ones before."""
    rng = np.random.default_rng(21)
    alone = pools = 0
    for _ in range(NULL_FLEETS):
        fleet = Fleet(rng, DEVICES, FEATURES)
        half = frozenset(fleet.names[: DEVICES // 2])
        cohorts = {"site=a": half, "site=b": frozenset(fleet.names) - half}
        tracks: dict[str, Track] = {}
        for sequence in range(1, NULL_ROUNDS + 1):
            done = _judge(fleet, sequence, WINDOW, {}, tracks, cohorts)
            tracks = done.tracks
            scopes = {_scope(finding) for finding in done.findings}
            pools += len(scopes - {"device"})
            alone += sum(_scope(finding) == "device" for finding in done.findings)
    rounds = NULL_FLEETS * NULL_ROUNDS
    windows = rounds * DEVICES
    said = (
        f"{alone} of {windows} windows in rounds of {DEVICES} devices, {FEATURES} features and the margin, all looks; "
        f"upper 95 % bound {upper_bound(alone, windows):.2f}"
    )
    told = (
        f"{pools} in {rounds} rounds, of the fleet and two cohorts; upper 95 % bound "
        f"{upper_bound(pools, rounds):.0f}; {1000 * ALLOWED:.2f} are allowed"
    )
    return [
        _row("rounds_null", 1000 * alone / windows, "per 1000", "lower", said),
        _row("rounds_null_pools", 1000 * pools / rounds, "per 1000", "lower", told),
    ]


def _pooled() -> dict[str, Any]:
    """Everybody moves by little: the pool shows it."""
    devices, inputs, shift = 20, 250, 0.1
    share = _share(
        22,
        devices,
        inputs,
        lambda fleet: dict.fromkeys(fleet.names, shift),
        lambda one: _scope(one) == "fleet",
    )
    note = f"one of {FEATURES} features by {shift} deviations on {devices} devices x {inputs} inputs; share of rounds"
    return _row("rounds_pooled_0.1", share, "share", "higher", note)


def _one_device() -> list[dict[str, Any]]:
    """One device of many moves; the more devices there are, the more Benjamini-Hochberg asks for."""
    found = []
    for devices in (20, DEVICES):
        share = _share(
            23,
            devices,
            WINDOW,
            lambda fleet: {fleet.names[0]: 0.5},
            lambda one: _scope(one) == "device" and one.window.device == "d00000",
        )
        note = f"one of {FEATURES} features by 0.5 deviations on one of {devices} devices, {WINDOW} inputs"
        found.append(_row(f"rounds_one_of_{devices}", share, "share", "higher", note))
    return found


def _share(seed: int, devices: int, inputs: int, shifts: Shifts, hit: Callable[[Finding], bool]) -> float:
    """The share of first rounds with a finding that hits."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(FLEETS):
        fleet = Fleet(rng, devices, FEATURES)
        for _ in range(ROUNDS):
            hits += any(hit(finding) for finding in _judge(fleet, 1, inputs, shifts(fleet), {}, {}).findings)
    return hits / (FLEETS * ROUNDS)


def _seconds() -> dict[str, Any]:
    """A round when every device has windows before it to be merged with and the calibrations are known."""
    fleet = Fleet(np.random.default_rng(24), LARGE_DEVICES, LARGE_FEATURES)
    counters = fleet.counters(DISTINCT, WINDOW)
    tracks: dict[str, Track] = {}
    taken = []
    for sequence in range(1, SPAN + TIMED + 1):
        windows = fleet.sent(sequence, counters[sequence:] + counters[:sequence])
        began = time.process_time()
        tracks = judge_round(tracks, windows, lambda _: fleet.references, {}, TERMS).tracks
        taken.append(time.process_time() - began)
    note = (
        f"processor time of a round of {LARGE_DEVICES:,} devices x {LARGE_FEATURES} features, each with {SPAN - 1} "
        f"windows before it, the least of {TIMED}"
    )
    return _row("rounds_seconds", min(taken[SPAN:]), "s", "lower", note)


def _judge(
    fleet: Fleet,
    sequence: int,
    inputs: int,
    shifts: dict[str, float],
    tracks: dict[str, Track],
    cohorts: dict[str, frozenset[str]],
) -> Round:
    windows = fleet.windows(sequence, inputs, shifts)
    return judge_round(tracks, windows, lambda _: fleet.references, cohorts, TERMS)


def _scope(finding: Finding) -> str:
    return "quality" if finding.quality else finding.shifts[0].scope


if __name__ == "__main__":
    for measured in rows():
        print(f"{measured['name']:24} {measured['value']:.4g} {measured['unit']:8} {measured['note']}")
