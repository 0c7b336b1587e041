"""The rollout engine, as laws: it offers stage by stage, and believes nothing but the devices."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.fleet.rollout_engine import Action, Heard, Moved, Offer, RolloutState, assign_stages, step

DEVICES = st.integers(1, 30).map(lambda n: [f"cam-{i:02d}" for i in range(n)])
STAGES = st.sets(st.integers(1, 99), max_size=3).map(lambda s: (*sorted(s), 100))


def begin(
    devices: list[str], stages: tuple[int, ...], share: float = 0.1, rollout_id: int = 1
) -> RolloutState:
    return RolloutState("RUNNING", stages, 0, share, assign_stages(rollout_id, devices, stages))


def offered(actions: list[Action]) -> list[str]:
    return [action.device_id for action in actions if isinstance(action, Offer)]


def all_say(state: RolloutState, word: str) -> list[Heard]:
    return [Heard(d.device_id, word) for d in state.devices if d.state == "offered"]


@given(DEVICES, STAGES, st.data())
def test_never_offers_beyond_the_stage_whatever_devices_say(
    devices: list[str], stages: tuple[int, ...], data: st.DataObject
) -> None:
    state = begin(devices, stages, share=data.draw(st.sampled_from([0.0, 0.3, 1.0])))
    words = st.builds(
        Heard, st.sampled_from([*devices, "stranger"]), st.sampled_from(["confirmed", "failed", "offered"])
    )
    for heard in data.draw(st.lists(st.lists(words, max_size=8), max_size=6)):
        before = state
        state, actions = step(state, heard)
        assert state.stage >= before.stage
        for device in state.devices:
            if device.device_id in offered(actions):
                assert device.stage <= state.stage
            if device.stage > state.stage:
                assert device.state in ("waiting", "confirmed")  # it may run the version already
        if state.stage > before.stage or state.lifecycle == "COMPLETED":
            passed = [d for d in state.devices if d.stage < state.stage or state.lifecycle == "COMPLETED"]
            failed = [d for d in passed if d.state == "failed"]
            assert all(d.state in ("confirmed", "failed") for d in passed)
            assert len(failed) <= state.max_failed_share * len(devices)


@given(DEVICES, STAGES)
def test_completes_when_all_confirm_having_offered_each_once(
    devices: list[str], stages: tuple[int, ...]
) -> None:
    state, actions = step(begin(devices, stages), [])
    asked = offered(actions)
    for _ in range(len(stages) + 1):
        state, actions = step(state, all_say(state, "confirmed"))
        asked += offered(actions)
    assert state.lifecycle == "COMPLETED"
    assert sorted(asked) == sorted(devices)


@given(DEVICES, STAGES)
def test_offered_or_downloaded_is_not_confirmed(devices: list[str], stages: tuple[int, ...]) -> None:
    state, _ = step(begin(devices, stages), [])
    stage = state.stage
    for _ in range(5):
        state, actions = step(state, all_say(state, "offered"))
        assert (state.stage, state.lifecycle, actions) == (stage, "RUNNING", [])


@given(DEVICES, STAGES, st.integers(1, 99))
def test_cohorts_are_stable_and_of_the_right_size(
    devices: list[str], stages: tuple[int, ...], rollout: int
) -> None:
    found = assign_stages(rollout, devices, stages)
    assert found == assign_stages(rollout, list(reversed(devices)), stages)
    assert sorted(d.device_id for d in found) == sorted(devices)
    for index, percent in enumerate(stages):
        assert sum(d.stage <= index for d in found) == math.ceil(len(devices) * percent / 100)


def test_another_rollout_begins_with_other_devices() -> None:
    devices = [f"cam-{i:02d}" for i in range(30)]
    first = [d.device_id for d in assign_stages(1, devices, (10, 100)) if d.stage == 0]
    assert any(
        [d.device_id for d in assign_stages(n, devices, (10, 100)) if d.stage == 0] != first
        for n in range(2, 9)
    )


@given(DEVICES, STAGES, st.data())
def test_the_same_input_gives_the_same_output(
    devices: list[str], stages: tuple[int, ...], data: st.DataObject
) -> None:
    state = begin(devices, stages)
    heard = [Heard(d, data.draw(st.sampled_from(["confirmed", "failed"]))) for d in devices]
    assert step(state, heard) == step(state, list(reversed(heard)))


class TestHeld:
    def test_when_more_fail_than_are_allowed(self) -> None:
        state, _ = step(begin(["a", "b", "c", "d"], (100,), share=0.25), [])
        state, actions = step(state, [Heard("a", "failed", "no room")])
        assert state.lifecycle == "RUNNING"
        state, actions = step(state, [Heard("b", "failed", "no room")])
        assert state.lifecycle == "HELD"
        assert isinstance(actions[-1], Moved)
        assert actions[-1].reason == "2 of 4 devices failed; the first: no room"

    def test_nothing_moves_while_it_is_held(self) -> None:
        state, _ = step(begin(["a", "b"], (50, 100), share=0.0), [])
        state, _ = step(state, all_say(state, "failed"))
        assert step(state, []) == (state, [])
        assert step(replace(state, lifecycle="COMPLETED"), []) == (replace(state, lifecycle="COMPLETED"), [])

    def test_the_share_is_of_those_that_were_asked(self) -> None:
        devices = [f"d{i}" for i in range(100)]
        state, _ = step(begin(devices, (10, 100), share=0.1), [])
        two = [Heard(d.device_id, "failed") for d in state.devices if d.state == "offered"][:2]
        assert step(state, two)[0].lifecycle == "HELD"


def test_a_device_that_runs_the_version_already_is_not_asked_again() -> None:
    _, actions = step(begin(["a", "b"], (100,)), [Heard("a", "confirmed")])
    assert offered(actions) == ["b"]


def test_a_device_that_failed_and_later_confirmed_counts_as_confirmed() -> None:
    state, _ = step(begin(["a", "b"], (100,), share=0.5), [])
    state, _ = step(state, [Heard("a", "failed")])
    state, _ = step(state, [Heard("a", "confirmed"), Heard("b", "confirmed")])
    assert state.lifecycle == "COMPLETED"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_limits_of_the_share(share: float) -> None:
    state, _ = step(begin(["a"], (100,), share=share), [])
    state, _ = step(state, [Heard("a", "failed")])
    assert state.lifecycle == ("HELD" if share == 0.0 else "COMPLETED")
