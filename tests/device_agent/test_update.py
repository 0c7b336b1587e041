"""The update machine: pure, and never off the table in ``edgeops.core.lifecycle.UPDATE``."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.update import (
    LAST_RETRY_MS,
    MAX_TRIAL_BOOTS,
    UNDECIDED,
    Begin,
    Closed,
    Damaged,
    DropCandidate,
    Inferred,
    Offer,
    Progressed,
    Refused,
    Restarted,
    RetryDue,
    RetryIn,
    Transition,
    UpdateEvent,
    UpdateState,
    retry_delay_ms,
    step,
)
from edgeops.core.codec import decode, encode
from edgeops.core.errors import LifecycleError
from edgeops.core.lifecycle import UPDATE

ONE, TWO, THREE = (hashlib.sha256(bytes([n])).digest() for n in (1, 2, 3))
GOOD = Inferred(True, limit=2, max_errors=1, security_counter=7)
BAD = replace(GOOD, ok=False)
TO_TRIAL = [Progressed(name) for name in ("accepted", "complete", "verified", "activated")]


def run(state: UpdateState, *events: UpdateEvent) -> UpdateState:
    for event in events:
        state, _ = step(state, event)
    return state


def offer(digest: bytes, generation: int = 1) -> Offer:
    return Offer(digest, 300, generation)


CONFIRMED = run(UpdateState(), offer(ONE), *TO_TRIAL, GOOD, GOOD)
IN_TRIAL = run(CONFIRMED, offer(TWO, 2), *TO_TRIAL)


def test_a_healthy_update_goes_down_the_table_and_is_confirmed() -> None:
    state, seen = UpdateState(), []
    for event in (offer(ONE), *TO_TRIAL, GOOD, GOOD):
        state, actions = step(state, event)
        seen += [action.target for action in actions if isinstance(action, Transition)]
    assert seen == ["OFFERED", "DOWNLOADING", "VERIFYING", "STAGED", "TRIAL", "CONFIRMED"]
    assert (state.confirmed, state.candidate, state.security_counter) == (ONE, None, 7)


def test_the_one_before_is_remembered_until_its_slot_is_overwritten() -> None:
    second = run(IN_TRIAL, GOOD, GOOD)
    assert (second.confirmed, second.previous) == (TWO, ONE)
    assert run(second, offer(THREE, 3), *TO_TRIAL[:2]).previous == ONE
    assert run(second, offer(THREE, 3), *TO_TRIAL[:3]).previous is None


def test_an_unhealthy_trial_rolls_back_and_is_not_tried_again() -> None:
    state, actions = step(run(IN_TRIAL, BAD), BAD)
    assert (state.lifecycle, state.confirmed, state.refused) == ("ROLLED_BACK", ONE, TWO)
    assert state.reason == "2 errors in its trial where 1 are allowed"
    assert DropCandidate() in actions
    assert step(state, offer(TWO, 3)) == (replace(state, generation=3), [])
    assert step(state, offer(THREE, 3))[0].lifecycle == "OFFERED"


@pytest.mark.parametrize("state", sorted(UNDECIDED - {"TRIAL"}))
def test_a_restart_takes_an_update_up_again_from_its_offer(state: str) -> None:
    before = UpdateState(lifecycle=state, confirmed=ONE, candidate=TWO)
    after, actions = step(before, Restarted())
    assert (after.lifecycle, after.candidate, after.confirmed) == ("OFFERED", TWO, ONE)
    assert actions[-1] == Begin("OFFERED")


@pytest.mark.parametrize("state", sorted(UPDATE.states - UNDECIDED))
def test_a_restart_leaves_what_is_settled_alone(state: str) -> None:
    before = UpdateState(lifecycle=state, confirmed=ONE)
    assert step(before, Restarted()) == (before, [])


def test_a_trial_that_is_cut_off_twice_rolls_back() -> None:
    assert MAX_TRIAL_BOOTS == 2
    once, actions = step(IN_TRIAL, Restarted())
    assert (once.lifecycle, actions[-1]) == ("TRIAL", Begin("TRIAL"))
    twice, _ = step(once, Restarted())
    assert (twice.lifecycle, twice.refused) == ("ROLLED_BACK", TWO)
    assert twice.reason == "the agent did not survive its trial"


def test_a_trial_outlives_any_number_of_clean_stops() -> None:
    state = IN_TRIAL
    for _ in range(10):
        state = run(state, Closed(), Restarted())
    assert run(state, GOOD, GOOD).lifecycle == "CONFIRMED"


def test_a_failure_is_tried_again_later_and_later() -> None:
    state = run(CONFIRMED, offer(TWO, 2), Progressed("accepted"))
    state, actions = step(state, Refused("failed", "no chunk came"))
    assert actions[1:] == [DropCandidate(), RetryIn(5_000)]
    assert step(state, Restarted()) == (state, [RetryIn(5_000)])
    state = run(state, RetryDue())
    assert (state.lifecycle, state.candidate) == ("OFFERED", TWO)
    assert step(state, Refused("failed", "again"))[1][-1] == RetryIn(10_000)
    assert [retry_delay_ms(n) for n in (3, 10, 11, 60_000)] == [
        20_000,
        2_560_000,
        LAST_RETRY_MS,
        LAST_RETRY_MS,
    ]


def test_a_retry_that_is_no_longer_wanted_does_nothing() -> None:
    failed = run(CONFIRMED, offer(TWO, 2), Refused("failed", "x"))
    back = run(failed, offer(ONE, 3))  # the confirmed one is wanted again
    assert step(back, RetryDue()) == (back, [])
    assert step(CONFIRMED, RetryDue()) == (CONFIRMED, [])


def test_a_newer_offer_supersedes_and_the_same_one_goes_on() -> None:
    state = run(CONFIRMED, offer(TWO, 2), Progressed("accepted"))
    assert step(state, offer(TWO, 3)) == (replace(state, generation=3), [])
    newer, actions = step(state, offer(THREE, 3))
    targets = [action.target for action in actions if isinstance(action, Transition)]
    assert (targets, newer.candidate) == (["SUPERSEDED", "OFFERED"], THREE)
    assert DropCandidate() in actions


def test_going_back_to_the_confirmed_one_ends_the_trial() -> None:
    state, actions = step(IN_TRIAL, offer(ONE, 3))
    assert (state.lifecycle, state.candidate, state.confirmed) == ("SUPERSEDED", None, ONE)
    assert actions[-1] == DropCandidate()


def test_a_damaged_slot_gives_way_to_the_one_before_and_may_be_fetched_again() -> None:
    second = run(IN_TRIAL, GOOD, GOOD)
    hurt = run(second, Damaged(TWO))
    assert (hurt.confirmed, hurt.previous) == (ONE, None)
    assert run(hurt, offer(TWO, 3)).lifecycle == "OFFERED"
    assert run(second, Damaged(ONE)).previous is None
    assert run(second, Damaged(THREE)) == second


def test_a_long_reason_is_cut_between_letters() -> None:
    state = run(UpdateState(), offer(ONE), Refused("rejected", "é" * 200))
    assert state.reason == "é" * 80


digests = st.sampled_from([ONE, TWO, THREE])
events = st.one_of(
    st.builds(offer, digests, st.integers(1, 99)),
    st.just(Restarted()),
    st.just(Closed()),
    st.just(RetryDue()),
    st.sampled_from([*TO_TRIAL, Progressed("damaged")]),
    st.sampled_from(TO_TRIAL),
    st.builds(Refused, st.sampled_from(["rejected", "failed"]), st.text(max_size=300)),
    st.builds(Inferred, st.booleans(), st.integers(1, 3), st.integers(0, 1), st.integers(0, 9)),
)


@given(st.lists(events, max_size=60))
def test_no_sequence_of_events_leaves_the_table_or_loses_what_was_confirmed(
    history: list[UpdateEvent],
) -> None:
    state = UpdateState()
    for event in history:
        try:
            after, actions = step(state, event)
        except LifecycleError:
            # The driver reports only on the step that it was asked to do; the rest is refused.
            assert isinstance(event, Progressed | Refused)
            continue
        place = state.lifecycle
        for action in actions:
            if isinstance(action, Transition):
                assert action.source == place
                assert UPDATE.next(place, action.event) == action.target
                place = action.target
        assert place == after.lifecycle
        if after.security_counter != state.security_counter:
            assert after.security_counter > state.security_counter
            assert (state.lifecycle, after.lifecycle) == ("TRIAL", "CONFIRMED")
        if after.confirmed != state.confirmed:
            assert (after.lifecycle, after.confirmed) == ("CONFIRMED", state.candidate)
            assert after.previous == state.confirmed
        if after.lifecycle in UNDECIDED:
            assert after.candidate is not None
        assert decode(UpdateState, encode(after)) == after
        state = after
