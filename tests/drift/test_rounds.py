"""A fleet's windows, judged in rounds: who drifted, who is at fault, and what only all of them together show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from drift.fleet_windows import UNIT, counted, dependent, margins, references, window, world

from edgeops.core.counters import Counters
from edgeops.drift.budget import parse_false_alarms
from edgeops.drift.device_track import QUIET, SeenWindow, Track
from edgeops.drift.learned import learn, learned_together
from edgeops.drift.matrix import Matrix
from edgeops.drift.pooled import look_at_pool
from edgeops.drift.rounds import Round, Terms, judge_round
from edgeops.drift.signals import References, look_at

AGAINST = references()
TERMS = Terms(parse_false_alarms("1 per 3000 windows").of_window)
FLEET = tuple(f"cam-{number:02}" for number in range(20))


class Watched:
    """A fleet that is judged round by round."""

    def __init__(
        self,
        cohorts: Mapping[str, frozenset[str]] | None = None,
        against: Callable[[SeenWindow], References | None] = lambda window: AGAINST,
        terms: Terms = TERMS,
    ) -> None:
        self.tracks: dict[str, Track] = {}
        self._cohorts, self._against, self._terms = cohorts or {}, against, terms

    def round(self, windows: Sequence[SeenWindow]) -> Round:
        done = judge_round(self.tracks, windows, self._against, self._cohorts, self._terms)
        self.tracks = done.tracks
        return done


def named(done: Round) -> set[str]:
    return {finding.window.device for finding in done.findings}


def quiet_fleet(sequence: int, shift: Sequence[float] = (), n: int = 200) -> list[SeenWindow]:
    return [window(AGAINST, name, sequence, n, shift) for name in FLEET]


def test_a_fleet_in_its_usual_world_raises_about_as_many_alarms_as_were_allowed() -> None:
    watched = Watched()
    raised = sum(len(watched.round(quiet_fleet(sequence)).findings) for sequence in range(1, 61))
    assert raised <= 3  # 1,200 windows at 1 per 3,000: 0.4 are expected, four or more come once in 1,300 runs


def test_one_device_that_drifts_is_named_and_no_other() -> None:
    watched = Watched()
    watched.round(quiet_fleet(1))
    windows = quiet_fleet(2)
    windows[7] = window(AGAINST, "cam-07", 2, 200, (0.5,))
    done = watched.round(windows)
    assert named(done) == {"cam-07"}
    (finding,) = done.findings
    assert (finding.shifts[0].kind, finding.shifts[0].signal, finding.shifts[0].direction) == (
        "data",
        "x0",
        "up",
    )
    assert finding.shifts[0].scope == "device"


def test_what_no_device_shows_is_seen_of_all_together() -> None:
    watched = Watched()
    done = watched.round(quiet_fleet(1, (0.0, 0.12), n=250))
    pooled = [finding for finding in done.findings if finding.shifts[0].scope == "fleet"]
    assert {finding.window.device for finding in pooled} | named(done) == set(FLEET)
    assert len(pooled) >= 15
    assert pooled[0].shifts[0].signal == "x1"
    assert pooled[0].shifts[0].n >= 15 * 250


def test_a_cohort_that_an_attribute_makes_is_looked_at_together() -> None:
    north = frozenset(FLEET[:8])
    watched = Watched({'site = "north"': north, 'site = "south"': frozenset(FLEET[8:])})
    shifted = [window(AGAINST, name, 1, 150, (0.22,) if name in north else ()) for name in FLEET]
    done = watched.round(shifted)
    scopes = {finding.shifts[0].scope for finding in done.findings} - {"device"}
    assert scopes == {'site = "north"'}
    assert named(done) == north


def test_devices_that_differ_among_themselves_are_less_evidence_than_devices_that_agree() -> None:
    def evidence(shifts: Sequence[float]) -> float:
        named = zip(FLEET, shifts, strict=True)
        windows = [window(AGAINST, name, 1, 200, (s,)).counters for name, s in named]
        pool = look_at_pool(AGAINST, Matrix.of(windows))
        assert pool is not None
        return float(pool.looks.p[0, 0])

    apart = [0.1 + (-1) ** number * 0.35 for number in range(len(FLEET))]
    assert evidence([0.1] * len(FLEET)) < 1e-4
    assert evidence(apart) > 1e-3


def test_a_pool_that_drifted_goes_on_drifting_and_is_told_of_while_it_does() -> None:
    watched = Watched()
    for sequence in range(1, 3 * QUIET):
        watched.round(quiet_fleet(sequence, (0.0, 0.15), n=250))
    assert all(track.drifted for track in watched.tracks.values())


def test_a_device_is_quiet_again_after_enough_quiet_windows() -> None:
    watched = Watched()
    for sequence in range(1, 3):
        watched.round([window(AGAINST, "a", sequence, 200, (1.0,))])
    assert watched.tracks["a"].drifted
    after = 3
    while watched.tracks["a"].drifted and after < 40:
        watched.round([window(AGAINST, "a", after)])
        after += 1
    # the last three of the long looks still hold windows that had drifted
    assert QUIET <= after - 3 <= QUIET + 4


def test_windows_on_trial_or_too_small_are_not_judged_alone() -> None:
    watched = Watched()
    assert not watched.round([window(AGAINST, "a", 1, 200, (2.0,), trial=True)]).findings
    assert not watched.round([window(AGAINST, "b", 1, 30, (2.0,))]).findings


@pytest.mark.parametrize(
    ("fault", "name"), [({"missing": 30}, "missing"), ({"stuck": 150}, "stuck")], ids=["missing", "stuck"]
)
def test_faulty_inputs_are_the_sensors(fault: dict[str, int], name: str) -> None:
    watched = Watched()
    first = watched.round([window(AGAINST, "a", 1, **fault)])
    (finding,) = first.findings
    assert finding.quality
    assert [shift.signal for shift in finding.shifts] == [name]
    assert not watched.round([window(AGAINST, "a", 2, **fault)]).findings  # said once
    watched.round([window(AGAINST, "a", 3)])
    assert not watched.tracks["a"].faulty


def test_what_a_broken_sensor_showed_is_not_merged_with_what_it_shows_once_mended() -> None:
    watched = Watched()
    for sequence in range(1, 5):
        watched.round([window(AGAINST, "a", sequence, 200, (3.0,), stuck=190)])
    for sequence in range(5, 12):
        assert not watched.round([window(AGAINST, "a", sequence)]).findings


def test_inputs_that_come_at_another_rate_are_told_of_when_it_lasts() -> None:
    watched, found, at = Watched(), [], 0.0
    for sequence in range(1, 13):
        seconds = 60.0 if sequence < 9 else 20.0
        done = watched.round([window(AGAINST, "a", sequence, seconds=seconds, start_s=at)])
        at += seconds
        found += [(sequence, shift.signal, shift.direction) for f in done.findings for shift in f.shifts]
    assert found == [(10, "rate", "up")]


def test_overlapping_and_older_windows_are_noted_and_left_out() -> None:
    watched = Watched()
    watched.round([window(AGAINST, "a", 5)])
    older = watched.round([window(AGAINST, "a", 4, 200, (3.0,))])
    assert [note for _, note in older.notes] == ["a window older than the last"]
    twice = watched.round([window(AGAINST, "a", 6, 200, (3.0,), start_s=270.0)])
    assert [note for _, note in twice.notes] == ["windows that overlap"]
    assert not older.findings
    assert not twice.findings


def test_a_window_far_larger_than_the_fleets_does_not_speak_for_it() -> None:
    watched = Watched(terms=Terms(TERMS.allowed, size=0.02, min_inputs=40))
    windows = quiet_fleet(1, n=100)
    windows[0] = window(AGAINST, "cam-00", 1, 50_000, (0.02,))  # too little to be flagged by itself
    done = watched.round(windows)
    assert ("cam-00", "a window far larger than the fleet's, left out of it") in done.notes
    assert not done.findings


class TestLearnedReferences:
    def _device(self, shift: float) -> References:
        first = [window(AGAINST, "odd", sequence, 200, (shift,)).counters for sequence in range(1, 13)]
        return learn(AGAINST, first)

    def test_a_device_that_always_was_different_is_quiet_against_itself(self) -> None:
        own = self._device(1.5)
        watched = Watched(against=lambda w: own)
        raised = [
            sequence
            for sequence in range(20, 220)
            if watched.round([window(AGAINST, "odd", sequence, 200, (1.5,))]).findings
        ]
        assert len(raised) <= 1  # of 200 windows at 1 per 3,000

    def test_and_says_so_when_it_changes(self) -> None:
        own = self._device(1.5)
        watched = Watched(against=lambda w: own)
        assert watched.round([window(AGAINST, "odd", 20, 200, (2.2,))]).findings

    def test_devices_that_learned_their_own_are_looked_at_together_too(self) -> None:
        own = {}
        for number, name in enumerate(
            FLEET
        ):  # each a little different from the others, and none like the training data
            shift = 1.0 + 0.05 * (number % 3)
            own[name] = learn(
                AGAINST,
                [window(AGAINST, name, sequence, 200, (shift,)).counters for sequence in range(1, 31)],
            )
        watched = Watched(against=lambda w: own[w.device])

        def fleet(sequence: int, more: float) -> list[SeenWindow]:
            shifts = {name: 1.0 + 0.05 * (number % 3) + more for number, name in enumerate(FLEET)}
            return [window(AGAINST, name, sequence, 250, (shift,)) for name, shift in shifts.items()]

        quiet = [len(watched.round(fleet(sequence, 0.0)).findings) for sequence in range(40, 60)]
        assert sum(quiet) <= 2
        done = watched.round(fleet(60, 0.2))
        assert {finding.shifts[0].scope for finding in done.findings} >= {"fleet"}
        assert named(done) == set(FLEET)

    def test_one_other_value_of_a_feature_that_was_constant_is_no_drift(self) -> None:
        def constant(others: int) -> Counters:
            values = world(others, 50)
            values[:, 2] = 3 * UNIT + np.where(np.arange(50) < others, 700, 0)
            return counted(AGAINST, values, margins(others, 50))

        own = learn(AGAINST, [constant(0) for _ in range(7)])
        p = look_at(own, Matrix.of([constant(0), constant(1), constant(40)])).p[:, 2]
        assert p[0] == 1.0
        assert p[1] > 0.01
        assert p[2] < 1e-9

    @pytest.mark.parametrize("rare", [0.02, 0.05, 0.3])
    def test_a_feature_of_two_values_is_quiet_in_windows_and_pools(self, rare: float) -> None:
        """The thin tail of a skewed mean ends somewhere, and an estimate of where was bet on: p-values of 0."""

        def of(seed: int, n: int) -> Counters:
            values = world(seed, n)
            values[:, 2] = np.where(np.random.default_rng(seed).random(n) < rare, -3 * UNIT, UNIT // 4)
            return counted(AGAINST, values, margins(seed, n))

        own = learn(AGAINST, [of(seed, 50) for seed in range(8)])
        alone = look_at(own, Matrix.of([of(seed, 50) for seed in range(100, 400)])).p[:, 2]
        assert (alone < 1e-4).sum() == 0
        many = [learn(AGAINST, [of(1000 * d + s, 50) for s in range(8)]) for d in range(10)]
        together = learned_together(many)
        pools = [
            look_at_pool(together, Matrix.of([of(10**6 + 100 * r + d, 50) for d in range(10)]))
            for r in range(60)
        ]
        assert all(pool is not None and pool.looks.p[0, 2] > 1e-4 for pool in pools)

    def test_its_bins_stay_those_of_the_plan(self) -> None:
        own = self._device(0.5)
        assert own.bins == AGAINST.bins
        for learned, before in zip(own.features, AGAINST.features, strict=True):
            assert learned.plan.edges == before.plan.edges
            assert sum(learned.plan.reference) == learned.rows == 12 * 200


@pytest.mark.parametrize("cut", [1, 7, 13])
def test_a_round_cut_in_two_flags_the_same_devices(cut: int) -> None:
    windows = quiet_fleet(1)
    for number in (3, 12):
        windows[number] = window(AGAINST, FLEET[number], 1, 200, (1.0,))
    whole = Watched().round(windows)
    apart = Watched()
    first, second = apart.round(windows[:cut]), apart.round(windows[cut:])
    assert named(whole) == named(first) | named(second) == {"cam-03", "cam-12"}


class TestWhatAReviewFound:
    def test_small_windows_are_judged_four_together(self) -> None:
        watched, found = Watched(), []
        for sequence in range(1, 9):
            found += watched.round([window(AGAINST, "a", sequence, 30, (2.0,))]).findings
        assert found
        assert all(shift.merged == 4 for finding in found for shift in finding.shifts)

    def test_windows_too_small_for_that_are_told_of(self) -> None:
        watched = Watched()
        notes = [note for n in range(1, 9) for _, note in watched.round([window(AGAINST, "a", n, 5)]).notes]
        assert notes == ["windows too small to be judged, even four together"] * 8

    @pytest.mark.parametrize("mean", [4, 10, 20])
    def test_inputs_that_come_by_chance_are_no_other_rate(self, mean: int) -> None:
        draw, watched, found = np.random.default_rng(mean), Watched(), []
        for sequence in range(1, 400):
            n = max(1, int(draw.poisson(mean)))
            found += watched.round([window(AGAINST, "a", sequence, n)]).findings
        assert not [finding for finding in found if finding.quality]

    def test_one_lie_about_a_duration_blinds_for_one_window_only(self) -> None:
        watched = Watched()
        watched.round([window(AGAINST, "a", 1, seconds=1e12)])
        watched.round([window(AGAINST, "a", 2, 200, (2.0,), start_s=120.0)])
        assert watched.round([window(AGAINST, "a", 3, 200, (2.0,), start_s=180.0)]).findings

    def test_a_pool_is_allowed_what_a_round_is_and_not_what_a_long_window_is(self) -> None:
        asked: list[float] = []

        def allowed(seconds: float) -> float:
            asked.append(seconds)
            return 1e-4

        watched = Watched(terms=Terms(allowed, round_s=60.0))
        watched.round([window(AGAINST, name, 1, seconds=3600.0) for name in FLEET])
        assert min(asked) == 60.0

    @pytest.mark.parametrize(("rho", "learned"), [(0.0, 16), (0.5, 40), (0.9, 40)])
    def test_a_device_that_learned_its_own_is_quiet_also_where_inputs_depend_on_each_other(
        self, rho: float, learned: int
    ) -> None:
        n, rows, raised = 200, 100, 0
        for seed in range(8):
            stream = dependent(seed, (learned + rows) * n, rho)
            parts = [counted(AGAINST, part, margins(seed, n)) for part in np.split(stream, learned + rows)]
            own = learn(AGAINST, parts[:learned])
            looks = look_at(own, Matrix.of(parts[learned:]))
            raised += int(((looks.p <= 1 / 3000 * own.shares()) & (looks.size >= 0.02)).any(axis=1).sum())
        assert (
            raised <= 4
        )  # 800 windows at 1 per 3,000: 0.27 are expected, five or more come once in 90,000 runs
