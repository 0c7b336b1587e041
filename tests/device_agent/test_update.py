"""The update machine: pure, and never off the table in ``edgeops.core.lifecycle.UPDATE``."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.update import (
    ASIDE_AFTER,
    MAX_TRIAL_BOOTS,
    RETRY_MS,
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
    Shadowed,
    Transition,
    UpdateEvent,
    UpdateState,
    Waited,
    retry_delay_ms,
    step,
)
from edgeops.core.codec import decode, encode
from edgeops.core.errors import LifecycleError
from edgeops.core.lifecycle import UPDATE
from edgeops.core.manifest import Trial

ONE, TWO, THREE = (hashlib.sha256(bytes([n])).digest() for n in (1, 2, 3))
GOOD = Inferred(True, Trial(inferences=2, max_errors=1), security_counter=7)
BAD = replace(GOOD, ok=False)
TO_TRIAL = [Progressed(name) for name in ("accepted", "complete", "verified", "activated")]


def run(state: UpdateState, *events: UpdateEvent) -> UpdateState:
    for event in events:
        state, _ = step(state, event)
    return state


def offer(digest: bytes, generation: int = 1, attempt: int = 0, shadow: int = 0) -> Offer:
    return Offer(digest, 300, generation, attempt, shadow)


def targets(actions: list[object]) -> list[str]:
    return [action.target for action in actions if isinstance(action, Transition)]


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


@pytest.mark.parametrize("state", sorted(UNDECIDED - {"SHADOWING", "TRIAL"}))
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


def test_the_pauses_after_failures_grow_to_an_hour_and_stay_there() -> None:
    delays = [retry_delay_ms(n) for n in range(1, 60)]
    assert delays == sorted(delays)
    assert delays[:3] == [5_000, 10_000, 20_000]
    assert delays[len(RETRY_MS) - 1 :] == [3_600_000] * (60 - len(RETRY_MS))


def test_after_three_failures_in_a_row_it_says_that_the_version_is_put_aside() -> None:
    assert ASIDE_AFTER == 3
    state, reasons = run(CONFIRMED, offer(TWO, 2)), []
    for _ in range(4):
        state, _ = step(state, Refused("failed", "no chunk came"))
        reasons.append(state.reason)
        state, _ = step(state, RetryDue())
    assert reasons == [
        "no chunk came",
        "no chunk came",
        "no chunk came; put aside for 20 s after 3 failures in a row",
        "no chunk came; put aside for 40 s after 4 failures in a row",
    ]


@pytest.mark.parametrize("more", [Restarted(), offer(TWO, 3), offer(TWO, 3, shadow=9)], ids=repr)
def test_what_is_put_aside_stays_so_over_a_restart_and_another_desired_state(more: UpdateEvent) -> None:
    """A new policy, or the stored desired state at a start, is no reason to try at once, and from the first again."""
    failed = run(CONFIRMED, offer(TWO, 2), *[Refused("failed", "x"), RetryDue()] * 3, Refused("failed", "x"))
    assert failed.attempts == 4
    after, actions = step(failed, more)
    assert (after.lifecycle, after.attempts, after.retry) == ("FAILED", 4, True)
    assert targets(actions) == []
    assert run(after, RetryDue()).lifecycle == "OFFERED"


def test_a_new_attempt_lets_it_try_again_at_once_and_from_the_first() -> None:
    failed = run(CONFIRMED, offer(TWO, 2), *[Refused("failed", "x"), RetryDue()] * 3, Refused("failed", "x"))
    again = run(failed, offer(TWO, 3, attempt=1))
    assert (again.lifecycle, again.attempts, again.attempt) == ("OFFERED", 0, 1)
    refused = run(IN_TRIAL, BAD, BAD)
    again, actions = step(refused, offer(TWO, 3, attempt=1))
    assert (again.lifecycle, again.refused) == ("OFFERED", None)
    assert actions[-1] == Begin("OFFERED")
    rejected = run(again, Refused("rejected", "no"))
    assert run(rejected, offer(TWO, 4, attempt=1)).lifecycle == "REJECTED"
    assert run(rejected, offer(TWO, 4, attempt=2)).lifecycle == "OFFERED"


def test_an_attempt_counts_from_the_last_one_that_was_named() -> None:
    """Another rollout counts its own: only what rises from one desired state to the next is a new attempt."""
    state = run(CONFIRMED, offer(TWO, 2, attempt=5), Refused("rejected", "no"))
    assert run(state, offer(TWO, 3, attempt=3)).lifecycle == "REJECTED"
    assert run(state, offer(TWO, 3, attempt=3), offer(TWO, 4, attempt=4)).lifecycle == "OFFERED"


def test_what_was_refused_stays_so_after_another_one_was_confirmed() -> None:
    state = run(IN_TRIAL, BAD, BAD, offer(THREE, 3), *TO_TRIAL, GOOD, GOOD)
    assert (state.confirmed, state.refused) == (THREE, TWO)
    state, actions = step(state, offer(TWO, 4))
    assert (state.lifecycle, state.confirmed) == ("REJECTED", THREE)
    assert targets(actions) == ["OFFERED", "REJECTED"]


def test_a_retry_that_is_no_longer_wanted_does_nothing() -> None:
    failed = run(CONFIRMED, offer(TWO, 2), Refused("failed", "x"))
    back = run(failed, offer(ONE, 3))  # the confirmed one is wanted again
    assert (back.lifecycle, back.candidate) == ("CONFIRMED", None)
    assert step(back, RetryDue()) == (back, [])
    assert step(CONFIRMED, RetryDue()) == (CONFIRMED, [])


def test_a_newer_offer_supersedes_and_the_same_one_goes_on() -> None:
    state = run(CONFIRMED, offer(TWO, 2), Progressed("accepted"))
    assert step(state, offer(TWO, 3)) == (replace(state, generation=3), [])
    newer, actions = step(state, offer(THREE, 3))
    assert (targets(actions), newer.candidate) == (["SUPERSEDED", "OFFERED"], THREE)
    assert DropCandidate() in actions


SHADOW = (offer(TWO, 2, shadow=10), *TO_TRIAL[:3], Progressed("shadow"))


@pytest.mark.parametrize("way", [(offer(TWO, 2), *TO_TRIAL), SHADOW], ids=["trial", "shadow"])
def test_going_back_to_the_confirmed_one_confirms_it_at_once(way: tuple[UpdateEvent, ...]) -> None:
    state, actions = step(run(CONFIRMED, *way), offer(ONE, 3))
    assert (state.lifecycle, state.candidate, state.confirmed, state.generation) == (
        "CONFIRMED",
        None,
        ONE,
        3,
    )
    assert targets(actions) == ["SUPERSEDED", "OFFERED", "CONFIRMED"]
    assert DropCandidate() in actions
    assert not any(isinstance(action, Begin) for action in actions)


def test_going_back_to_the_one_before_needs_no_more_than_that_it_opens() -> None:
    second = run(IN_TRIAL, GOOD, GOOD)
    offered, actions = step(second, offer(ONE, 3))
    assert offered.restoring and actions[-1] == Begin("OFFERED")
    state, actions = step(offered, Progressed("restored"))
    assert (state.lifecycle, state.confirmed, state.previous, state.candidate) == (
        "CONFIRMED",
        ONE,
        TWO,
        None,
    )
    assert (state.security_counter, targets(actions)) == (7, ["CONFIRMED"])
    assert run(state, offer(TWO, 4), Progressed("restored")).confirmed == TWO


def test_only_what_was_confirmed_here_before_is_restored() -> None:
    for state in (run(CONFIRMED, offer(TWO, 2)), run(UpdateState(), offer(ONE))):
        with pytest.raises(LifecycleError, match="only the one before"):
            step(state, Progressed("restored"))
    second = run(IN_TRIAL, GOOD, GOOD, offer(ONE, 3))
    hurt = run(second, Damaged(ONE))
    assert (hurt.lifecycle, hurt.candidate, hurt.restoring) == ("OFFERED", ONE, False)  # it is fetched


def test_one_before_that_ends_the_agent_when_it_is_opened_is_given_up() -> None:
    state = run(IN_TRIAL, GOOD, GOOD, offer(ONE, 3))
    for _ in range(3):
        state = run(state, Restarted())
    assert (state.lifecycle, state.confirmed, state.reason) == (
        "REJECTED",
        TWO,
        "the agent did not survive opening it",
    )


def test_a_damaged_slot_gives_way_to_the_one_before_also_while_that_is_being_restored() -> None:
    state, actions = step(run(IN_TRIAL, GOOD, GOOD, offer(ONE, 3)), Damaged(TWO))
    assert (state.lifecycle, state.confirmed, state.candidate) == ("CONFIRMED", ONE, None)
    assert DropCandidate() in actions


def test_no_version_wanted_ends_what_is_under_way() -> None:
    state, actions = step(IN_TRIAL, Offer(None, 0, 3))
    assert (state.lifecycle, state.confirmed, state.candidate, state.generation) == (
        "SUPERSEDED",
        ONE,
        None,
        3,
    )
    assert DropCandidate() in actions
    failed = run(CONFIRMED, offer(TWO, 2), Refused("failed", "x"), Offer(None, 0, 3))
    assert (failed.candidate, step(failed, RetryDue())) == (None, (failed, []))


# -- the candidate beside the active model


def test_a_candidate_that_has_seen_enough_begins_its_trial() -> None:
    state = run(CONFIRMED, *SHADOW)
    assert (state.lifecycle, state.shadow) == ("SHADOWING", 10)
    assert step(state, Shadowed(9, 1, 1)) == (state, [])
    state, actions = step(state, Shadowed(10, 1, 1))
    assert (targets(actions), actions[-1], state.trial_boots) == (["TRIAL"], Begin("TRIAL"), 1)


def test_a_candidate_that_fails_beside_the_active_model_is_rolled_back() -> None:
    state, actions = step(run(CONFIRMED, *SHADOW), Shadowed(3, 2, 1))
    assert (state.lifecycle, state.confirmed, state.refused) == ("ROLLED_BACK", ONE, TWO)
    assert state.reason == "2 errors beside the active model where 1 are allowed"
    assert DropCandidate() in actions


def test_how_long_it_shadows_can_be_changed_while_it_does() -> None:
    state = run(CONFIRMED, *SHADOW, offer(TWO, 3, shadow=3))
    assert (state.lifecycle, state.shadow) == ("SHADOWING", 3)
    assert run(state, Shadowed(3, 0, 1)).lifecycle == "TRIAL"


def test_a_shadow_run_goes_on_after_a_restart_and_not_for_ever() -> None:
    once, actions = step(run(CONFIRMED, *SHADOW), Restarted())
    assert (once.lifecycle, actions[-1]) == ("SHADOWING", Begin("SHADOWING"))
    twice = run(once, Restarted())
    assert (twice.lifecycle, twice.confirmed) == ("ROLLED_BACK", ONE)
    assert twice.reason == "the agent did not survive its run beside the active model"
    assert run(once, Closed(), Restarted(), Closed(), Restarted()).lifecycle == "SHADOWING"


def test_counts_that_come_late_change_nothing() -> None:
    assert step(IN_TRIAL, Shadowed(10, 5, 1)) == (IN_TRIAL, [])


# -- a trial that ends by time


LONG = Trial(inferences=1000, max_errors=1, seconds=60)


def test_a_trial_ends_by_time_after_one_good_inference_at_least() -> None:
    early, due = Waited(LONG, 7, 59_999), Waited(LONG, 7, 60_000)
    assert step(IN_TRIAL, due) == (IN_TRIAL, [])
    tried = run(IN_TRIAL, Inferred(True, LONG, 7, 10))
    assert step(tried, early) == (tried, [])
    assert run(tried, due).lifecycle == "CONFIRMED"
    assert run(IN_TRIAL, Inferred(True, LONG, 7, 60_000)).lifecycle == "CONFIRMED"
    assert run(tried, Waited(replace(LONG, seconds=0), 7, 10**9)) == tried


def test_time_does_not_make_good_what_only_failed() -> None:
    failing = run(IN_TRIAL, Inferred(False, LONG, 7, 10))
    assert step(failing, Waited(LONG, 7, 60_000)) == (failing, [])
    assert run(failing, Inferred(False, LONG, 7, 70_000)).lifecycle == "ROLLED_BACK"


def test_a_trial_of_no_inferences_waits_for_one() -> None:
    none = Trial(inferences=0, max_errors=1)
    assert run(IN_TRIAL, Inferred(False, none, 7)).lifecycle == "TRIAL"
    assert run(IN_TRIAL, Inferred(True, none, 7)).lifecycle == "CONFIRMED"


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
trials = st.builds(Trial, st.integers(0, 3), st.integers(0, 1), st.integers(0, 2))
events = st.one_of(
    st.builds(offer, digests, st.integers(1, 99), st.integers(0, 2), st.integers(0, 2)),
    st.just(Offer(None, 0, 1)),
    st.just(Restarted()),
    st.just(Closed()),
    st.just(RetryDue()),
    st.builds(Damaged, digests),
    st.sampled_from([*TO_TRIAL, *map(Progressed, ("damaged", "shadow", "restored"))]),
    st.sampled_from(TO_TRIAL),
    st.builds(Refused, st.sampled_from(["rejected", "failed", "unhealthy"]), st.text(max_size=300)),
    st.builds(Shadowed, st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)),
    st.builds(Inferred, st.booleans(), trials, st.integers(0, 9), st.integers(0, 3000)),
    st.builds(Waited, trials, st.integers(0, 9), st.integers(0, 3000)),
)


@given(st.lists(events, max_size=80))
def test_no_sequence_of_events_leaves_the_table_or_brings_a_state_that_cannot_be_written(
    history: list[UpdateEvent],
) -> None:
    """Long histories; ``test_update_explored`` judges every single step."""
    state, counter = UpdateState(), 0
    for event in history:
        try:
            state, actions = step(state, event)
        except LifecycleError:
            # The driver reports only on the step that it was asked to do; the rest is refused.
            assert isinstance(event, Progressed | Refused)
            continue
        for row in actions:
            assert not isinstance(row, Transition) or UPDATE.next(row.source, row.event) == row.target
        assert state.security_counter >= counter
        counter = state.security_counter
        assert decode(UpdateState, encode(state)) == state
