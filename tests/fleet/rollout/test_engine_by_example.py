"""The rollout engine offers stage by stage, believes nothing but the devices, and goes back where a gate refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rollouts import NOW, begin, offers, plan

from edgeops.fleet.rollout.engine import (
    Action,
    Facts,
    Heard,
    Moved,
    Refusal,
    Revert,
    RolloutState,
    command,
    retry,
    step,
)
from edgeops.fleet.rollout.hours import parse_hours
from edgeops.fleet.rollout.pace import parse_pace
from edgeops.fleet.rollout.plan import plan_from_dict


def fleet(count: int, **facts: object) -> Facts:
    return Facts({f"cam-{n:02d}": None for n in range(count)}, **facts)  # type: ignore[arg-type]


def events(actions: list[Action]) -> list[str]:
    return [action.event for action in actions if isinstance(action, Moved)]


def say(facts: Facts, state: RolloutState, event: str, *states: str) -> Facts:
    """Every device in one of these states says ``event``."""
    said = tuple(Heard(d.device_id, event, "why") for d in state.deployments.values() if d.state in states)
    return replace(facts, heard=said)


def confirm_all(state: RolloutState, facts: Facts, now: float = NOW) -> tuple[RolloutState, list[Action]]:
    """Until nothing moves any more."""
    everything: list[Action] = []
    for _ in range(100):
        state, actions = step(state, say(facts, state, "confirmed", "offered"), now)
        everything += actions
        if not actions:
            return state, everything
    pytest.fail("it never comes to rest")


class TestStages:
    def test_a_gate_sees_the_last_failure_before_the_rollout_goes_past_it(self) -> None:
        """Gates judge what was known before a step; without a soak the rollout had completed by then."""
        state, _ = step(begin(plan("100%")), fleet(3), NOW)
        last, *others = sorted(state.deployments)
        heard = (Heard(last, "failed", "why"), *(Heard(name, "confirmed") for name in others))
        state, actions = step(state, fleet(3, heard=heard), NOW)
        assert events(actions) == ["stage_confirmed"]
        refusal = Refusal("install", "hold", "1 of 3 devices failed where 10 % may")
        held, actions = step(state, fleet(3, refusals=(refusal,)), NOW)
        assert (held.lifecycle, events(actions)) == ("HELD", ["hold"])
        completed, actions = step(state, fleet(3), NOW)
        assert (completed.lifecycle, events(actions)) == ("COMPLETED", ["completed"])

    def test_each_waits_for_the_devices_of_the_one_before(self) -> None:
        state, actions = step(begin(), fleet(10), NOW)
        assert len(offers(actions)) == 1
        state, actions = step(state, say(fleet(10), state, "confirmed", "offered"), NOW)
        assert events(actions) == ["stage_confirmed", "next_stage"]
        assert len(offers(actions)) == 4
        state, actions = confirm_all(state, fleet(10))
        assert state.lifecycle == "COMPLETED"
        assert Counter(d.state for d in state.deployments.values()) == {"confirmed": 10}

    def test_a_stage_soaks_before_the_next(self) -> None:
        state, _ = step(begin(plan(soak_s=600)), fleet(4), NOW)
        state, actions = step(state, say(fleet(4), state, "confirmed", "offered"), NOW + 5)
        assert (state.lifecycle, offers(actions)) == ("SOAKING", [])
        assert step(state, fleet(4), NOW + 604)[1] == []
        state, actions = step(state, fleet(4), NOW + 605)
        assert (state.lifecycle, state.stage, len(offers(actions))) == ("RUNNING", 1, 1)

    def test_a_person_approves_where_that_was_asked(self) -> None:
        state, _ = confirm_all(begin(plan(approve=True)), fleet(4))
        assert (state.lifecycle, state.stage) == ("NEEDS_APPROVAL", 0)
        state, _ = command(state, "approve", "ann", None, NOW)
        assert (state.lifecycle, state.stage) == ("RUNNING", 1)

    @given(st.integers(1, 40), st.integers(1, 5))
    def test_the_order_is_a_hash_of_device_and_rollout(self, count: int, number: int) -> None:
        ordered = plan("1," + ",".join(f"{p}%" for p in (25, 50, 100)))
        _, first = confirm_all(begin(ordered, number), fleet(count))
        _, again = confirm_all(begin(ordered, number), fleet(count))
        assert offers(first) == offers(again)
        assert sorted(offers(first)) == sorted(fleet(count).members)

    def test_cohorts_are_unbiased_over_rollouts(self) -> None:
        canaries = Counter(offers(step(begin(rollout_id=n), fleet(10), NOW)[1])[0] for n in range(2000))
        assert len(canaries) == 10
        assert all(140 < count < 260 for count in canaries.values())  # 200 each, 4.5 sigma


class TestMembership:
    def test_one_that_joins_gets_the_version_at_the_current_stage(self) -> None:
        state, _ = confirm_all(begin(plan("50%,100%", soak_s=600)), fleet(4))
        assert Counter(d.state for d in state.deployments.values()) == {"confirmed": 2, "waiting": 2}
        state, actions = step(state, fleet(6), NOW)
        assert len(offers(actions)) == 1

    def test_one_that_joins_a_completed_rollout_is_served(self) -> None:
        state, _ = confirm_all(begin(), fleet(4))
        state, actions = step(state, fleet(5), NOW)
        assert (offers(actions), state.lifecycle) == (["cam-04"], "COMPLETED")

    def test_one_that_leaves_is_no_longer_waited_for(self) -> None:
        state, actions = step(begin(plan("2,100%")), fleet(4), NOW)
        gone = offers(actions)[0]
        left = Facts({d: None for d in fleet(4).members if d != gone})
        state, _ = step(state, left, NOW)
        assert state.deployments[gone].state == "left"
        assert confirm_all(state, left)[0].lifecycle == "COMPLETED"

    def test_where_nothing_suits_a_device_it_is_told_why_and_the_others_go_on(self) -> None:
        mixed = Facts({"cam-00": None, "board-1": "it takes plan for rp2040; the version has tflite for any"})
        state, _ = confirm_all(begin(), mixed)
        assert state.lifecycle == "COMPLETED"
        assert state.deployments["board-1"].state == "unsuited"
        assert "rp2040" in (state.deployments["board-1"].reason or "")

    def test_what_suits_later_is_offered_later(self) -> None:
        state, _ = confirm_all(begin(), Facts({"cam-00": None, "board-1": "no"}))
        _, actions = step(state, Facts({"cam-00": None, "board-1": None}), NOW)
        assert offers(actions) == ["board-1"]


class TestPatience:
    def test_a_quiet_device_is_not_waited_for_once_another_has_confirmed(self) -> None:
        state, actions = step(begin(plan("2,100%")), fleet(3), NOW)
        quiet, loud = offers(actions)
        facts = replace(fleet(3), quiet=frozenset({quiet}), heard=(Heard(loud, "confirmed"),))
        state, actions = step(state, facts, NOW)
        assert state.stage == 1

    def test_when_all_are_quiet_nothing_advances(self) -> None:
        state, actions = step(begin(), fleet(3), NOW)
        state, actions = step(state, replace(fleet(3), quiet=frozenset(fleet(3).members)), NOW)
        assert (state.lifecycle, state.stage, actions) == ("RUNNING", 0, [])


class TestPaceHoursAndBudget:
    def test_pace(self) -> None:
        state, actions = step(begin(plan("100%", pace=parse_pace("60/min"))), fleet(10), NOW)
        sent = [len(offers(actions))]
        for second in range(1, 6):
            state, actions = step(state, fleet(10), NOW + second)
            sent.append(len(offers(actions)))
        assert sent == [1] * 6

    def test_hours(self) -> None:
        night = plan("100%", hours=parse_hours("22:00-05:00"))
        day = 1_000_080_000.0 // 86400 * 86400 + 12 * 3600
        assert offers(step(begin(night), fleet(3), day)[1]) == []
        assert len(offers(step(begin(night), fleet(3), day + 11 * 3600)[1])) == 3

    def test_a_byte_budget_bounds_the_offers_and_then_holds(self) -> None:
        frugal = begin(plan("100%", max_bytes=2500))
        state, actions = step(frugal, fleet(5, device_bytes=1000), NOW)
        assert (len(offers(actions)), state.lifecycle) == (2, "RUNNING")
        state, actions = step(state, fleet(5, device_bytes=1000), NOW)
        assert (offers(actions), state.lifecycle) == ([], "HELD")
        assert [(a.by, "byte budget of 2500" in a.reason) for a in actions] == [("engine", True)]

    def test_the_budget_counts_for_each_device_what_it_fetches(self) -> None:
        mixed = fleet(5, device_bytes=1000, bytes_of={f"cam-{n:02d}": 300 for n in range(4)})
        how = plan("100%", max_bytes=4 * 300 + 999)
        state, actions = step(begin(how), mixed, NOW)
        assert state.lifecycle == "RUNNING"
        reached = {*offers(actions)}
        state, actions = step(state, mixed, NOW)
        (held,) = actions
        assert state.lifecycle == "HELD" and isinstance(held, Moved)
        spent = sum(1000 if name == "cam-04" else 300 for name in reached)
        assert spent <= how.max_bytes and f"{len(reached)} devices" in str(held.reason)
        every = begin(plan("100%", max_bytes=4 * 300 + 1000))
        assert len(offers(step(every, mixed, NOW)[1])) == 5

    def test_a_budget_that_is_too_small_for_anybody_holds_at_once(self) -> None:
        state, actions = step(
            begin(plan("100%", max_bytes=299)), fleet(2, bytes_of={"cam-00": 300, "cam-01": 300}), NOW
        )
        assert (offers(actions), state.lifecycle) == ([], "HELD")


class TestUndecided:
    def test_a_stage_waits_for_a_gate_that_leans_and_then_for_a_person(self) -> None:
        how = plan("2,100%", soak_s=600, patience_s=300)
        state, _ = confirm_all(begin(how), fleet(6))
        leaning = replace(fleet(6), undecided=("confidence: 0.5 where 0.9",))
        state, actions = step(state, leaning, NOW + 800)
        assert (state.lifecycle, actions) == ("SOAKING", [])
        assert step(state, fleet(6), NOW + 800)[0].stage == 1
        state, actions = step(state, leaning, NOW + 900)
        assert state.lifecycle == "HELD"
        assert "confidence: 0.5 where 0.9" in str(actions[0])


class TestRefusals:
    def running(self) -> RolloutState:
        state, _ = confirm_all(begin(plan("2,100%", soak_s=600)), fleet(6))
        return state

    def refused(self, answer: str) -> tuple[RolloutState, list[Action]]:
        refusal = Refusal("accuracy", answer, "0.4 where 0.9")  # type: ignore[arg-type]
        return step(self.running(), fleet(6, refusals=(refusal,)), NOW)

    def test_hold(self) -> None:
        state, actions = self.refused("hold")
        assert (state.lifecycle, len(actions)) == ("HELD", 1)
        assert actions[0] == Moved("hold", "SOAKING", "HELD", 0, "gate accuracy", "accuracy: 0.4 where 0.9")

    def test_abort_keeps_what_was_confirmed(self) -> None:
        state, actions = self.refused("abort")
        assert (state.lifecycle, [a for a in actions if isinstance(a, Revert)]) == ("ABORTED", [])

    def test_roll_back_takes_everything_back(self) -> None:
        state, actions = self.refused("roll_back")
        assert state.lifecycle == "ROLLING_BACK"
        assert len([a for a in actions if isinstance(a, Revert)]) == 2
        state, actions = step(state, say(fleet(6), state, "restored", "reverting"), NOW)
        assert (state.lifecycle, events(actions)) == ("ROLLED_BACK", ["all_reverted"])

    def test_roll_stage_back_takes_only_the_stage_back(self) -> None:
        state, _ = confirm_all(begin(plan("1,50%,100%", soak_s=1)), fleet(6))
        state, _ = step(state, fleet(6), NOW + 2)
        state, _ = confirm_all(state, fleet(6), NOW + 2)
        assert (state.stage, state.lifecycle) == (1, "SOAKING")
        refusal = Refusal("errors", "roll_stage_back", "why")
        state, _ = step(state, fleet(6, refusals=(refusal,)), NOW + 2)
        assert (state.lifecycle, state.stage) == ("HELD", 0)
        assert Counter(d.state for d in state.deployments.values()) == {
            "confirmed": 1,
            "reverting": 2,
            "waiting": 3,
        }

    def test_the_strongest_answer_counts(self) -> None:
        both = (Refusal("latency", "hold", "slow"), Refusal("accuracy", "roll_back", "wrong"))
        state, _ = step(self.running(), fleet(6, refusals=both), NOW)
        assert state.lifecycle == "ROLLING_BACK"

    def test_what_cannot_go_back_is_told_and_does_not_hold_the_others_up(self) -> None:
        state, _ = self.refused("roll_back")
        names = [d.device_id for d in state.deployments.values() if d.state == "reverting"]
        heard = (Heard(names[0], "restored"), Heard(names[1], "failed", "its slot is gone"))
        state, _ = step(state, fleet(6, heard=heard), NOW)
        assert state.lifecycle == "ROLLED_BACK"
        assert state.deployments[names[1]].state == "stuck"


class TestRetry:
    def test_what_failed_waits_again(self) -> None:
        state, _ = step(begin(plan("2,100%")), fleet(4), NOW)
        state, _ = step(state, say(fleet(4), state, "failed", "offered"), NOW)
        state, again = retry(state, None, NOW)
        assert len(again) == 2
        assert all(state.deployments[name].state == "waiting" for name in again)

    def test_only_the_named_ones(self) -> None:
        state, actions = step(begin(plan("2,100%")), fleet(4), NOW)
        state, _ = step(state, say(fleet(4), state, "failed", "offered"), NOW)
        name = offers(actions)[0]
        assert retry(state, frozenset({name, "cam-99"}), NOW)[1] == [name]


@given(
    st.integers(0, 50),
    st.sampled_from(["1,100%", "10%,50%,100%", "3,20%,100%"]),
    st.booleans(),
    st.floats(0, 1e6),
)
def test_a_plan_reads_back(shadow: int, stages: str, approve: bool, soak: float) -> None:
    made = plan(
        stages,
        approve=approve,
        soak_s=soak,
        shadow_inferences=shadow,
        hours=parse_hours("22:00-05:00 Europe/Berlin"),
        pace=parse_pace("10/min x2 per 50 confirmed"),
        rate_text="10/min x2 per 50 confirmed",
    )
    assert plan_from_dict(made.to_dict()) == made
