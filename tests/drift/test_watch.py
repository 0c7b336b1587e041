"""A device's windows in, at most one alarm out; on real digits, quiet and prompt."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from drift.digit_worlds import POOL, REFERENCE, Counter, drifted, features, images, plan_of, quantized, stream

from edgeops.core.errors import WireError
from edgeops.core.observe import FEATURES, Counters, ObservePlan, extract
from edgeops.drift.watch import Alarm, DeviceDrift, WindowSeen, observe

SURE = np.full(REFERENCE, 15)


def world(start: int = 0) -> tuple[ObservePlan, np.ndarray]:
    """A plan, and the indices of a field pool that shares no image with its reference."""
    order = np.roll(np.arange(len(images())), -start)
    return plan_of(features()[order[POOL : POOL + REFERENCE]], SURE), order[:POOL]


PLAN, FIELD = world()
COUNT = Counter(PLAN)
CALM = features()[FIELD]
CHANGED = extract(FEATURES, quantized(drifted(images()[FIELD], np.random.default_rng(0))))


def counters(values: np.ndarray) -> Counters:
    return COUNT.count(values, np.full(len(values), 15))


def calm(sequence: int, **more) -> WindowSeen:
    index = np.arange(50 * sequence, 50 * sequence + 50) % len(CALM)
    return WindowSeen(sequence, more.pop("boot", 1), counters(CALM[index]), **more)


def changed(sequence: int, n: int = 50, **more) -> WindowSeen:
    return WindowSeen(sequence, more.pop("boot", 1), counters(CHANGED[:n]), **more)


def run(*windows: WindowSeen) -> tuple[DeviceDrift, list[Alarm]]:
    state, alarms = DeviceDrift(), []
    for window in windows:
        state, alarm = observe(state, PLAN, window)
        alarms += [alarm] if alarm else []
    return state, alarms


@pytest.mark.parametrize("start", range(0, 1500, 300))
def test_a_fleet_that_sees_fair_draws_is_quiet(start: int) -> None:
    plan, pool = world(start)
    count, rng = Counter(plan), np.random.default_rng(start)
    for _device in range(20):
        state = DeviceDrift()
        for sequence, index in enumerate(islice(stream(pool, rng), 30), 1):
            seen = count.count(features()[index], np.full(len(index), 15))
            state, alarm = observe(state, plan, WindowSeen(sequence, 1, seen))
            assert alarm is None


@pytest.mark.parametrize("start", [0, 700])
def test_every_drifted_camera_is_found_within_two_windows(start: int) -> None:
    plan, pool = world(start)
    count, rng = Counter(plan), np.random.default_rng(start)
    for _device in range(10):
        values = np.zeros_like(features())
        values[pool] = extract(FEATURES, quantized(drifted(images()[pool], rng)))
        state, alarms = DeviceDrift(), []
        for sequence, index in enumerate(islice(stream(pool, rng), 22), 1):
            source = features() if sequence <= 20 else values
            seen = count.count(source[index], np.full(len(index), 15))
            state, alarm = observe(state, plan, WindowSeen(sequence, 1, seen))
            alarms += [alarm] if alarm else []
        assert len(alarms) == 1
        assert alarms[0].sequence in (21, 22)


def test_an_alarm_ranks_what_moved_and_is_raised_once_an_episode() -> None:
    state, alarms = run(*(calm(i) for i in range(1, 6)), *(changed(i) for i in range(6, 12)))
    (alarm,) = alarms
    assert (alarm.sequence, alarm.span) == (6, 1)
    distances = [shift.distance for shift in alarm.shifts]
    assert distances == sorted(distances, reverse=True)
    assert {"contrast", "sharpness"} <= {shift.signal for shift in alarm.shifts}
    assert all(shift.direction == "down" for shift in alarm.shifts if shift.signal == "contrast")
    assert state.alarmed
    assert state.windows_since_alarm == 5


def test_another_model_version_starts_afresh() -> None:
    before = [changed(1, model=b"v1"), changed(2, model=b"v1")]
    state, alarms = run(*before, calm(3, model=b"v2"))
    assert len(alarms) == 1
    assert (state.alarmed, len(state.history)) == (False, 1)
    assert len(run(*before, changed(3, model=b"v2"))[1]) == 2


def test_other_bins_start_afresh_and_must_be_the_plans() -> None:
    state, _ = run(changed(1))
    other_plan, other_field = world(600)
    seen = Counter(other_plan).count(features()[other_field[:50]], np.full(50, 15))
    fresh, alarm = observe(state, other_plan, WindowSeen(2, 1, seen))
    assert alarm is None
    assert fresh == DeviceDrift(last=(1, 2), history=(seen,))
    with pytest.raises(WireError):
        observe(state, PLAN, WindowSeen(2, 1, seen))


def test_a_duplicate_or_older_window_changes_nothing() -> None:
    state, _ = run(calm(1), calm(5))
    for late in (changed(5), changed(4), changed(9, boot=0)):
        assert observe(state, PLAN, late) == (state, None)
    after, alarm = observe(state, PLAN, changed(1, boot=2))
    assert alarm is not None
    assert after.last == (2, 1)


def test_windows_on_trial_and_small_ones_count_but_do_not_alarm() -> None:
    state, alarms = run(changed(1, trial=True), changed(2, n=20), changed(3, trial=True))
    assert not alarms
    assert len(state.history) == 3
    after, alarm = observe(state, PLAN, calm(4))
    assert alarm is not None
    assert alarm.span == 4
    assert len(after.history) == 4


def test_history_is_bounded_and_a_pure_function_of_the_windows() -> None:
    windows = [calm(i) for i in range(1, 40)]
    state, alarms = run(*windows)
    assert not alarms
    assert len(state.history) == 4
    assert run(*windows) == (state, alarms)


def test_features_that_were_taken_on_too_few_inputs_do_not_alarm() -> None:
    few = replace(counters(CHANGED[:20]), inferences=50, confidence=(0,) * 15 + (50,))
    state, alarm = observe(DeviceDrift(), PLAN, WindowSeen(1, 1, few))
    assert alarm is None
    _, alarm = observe(state, PLAN, WindowSeen(2, 1, few))
    assert alarm is not None
    assert alarm.span == 2
    assert alarm.shifts[0].n == 40
