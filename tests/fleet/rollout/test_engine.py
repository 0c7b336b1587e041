"""The rollout engine, as laws: it offers stage by stage, believes nothing but the devices, and can always go back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.core.lifecycle import DEPLOYMENT, ROLLOUT
from edgeops.fleet.rollout.engine import (
    TAKEN,
    Action,
    Facts,
    Heard,
    Moved,
    Offer,
    Refusal,
    Revert,
    RolloutState,
    command,
    offered_target,
    retry,
    step,
)
from edgeops.fleet.rollout.gates import ANSWERS
from edgeops.fleet.rollout.hours import parse_hours
from edgeops.fleet.rollout.pace import parse_pace
from edgeops.fleet.rollout.plan import Plan, plan_from_dict
from edgeops.fleet.rollout.stages import parse_stages

NOW = 1_000_000.0


def plan(stages: str = "1,50%,100%", **others: object) -> Plan:
    return Plan("", parse_stages(stages), **others)  # type: ignore[arg-type]


def begin(how: Plan | None = None, rollout_id: int = 1) -> RolloutState:
    return RolloutState(rollout_id, "RUNNING", how or plan(), stage_since=NOW)


def fleet(count: int, **facts: object) -> Facts:
    return Facts({f"cam-{n:02d}": None for n in range(count)}, **facts)  # type: ignore[arg-type]


def offers(actions: list[Action]) -> list[str]:
    return [action.device_id for action in actions if isinstance(action, Offer)]


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

    def test_a_byte_budget_bounds_the_offers_and_ends_nothing(self) -> None:
        frugal = begin(plan("100%", max_bytes=2500))
        state, actions = step(frugal, fleet(5, device_bytes=1000), NOW)
        assert (len(offers(actions)), state.lifecycle) == (2, "RUNNING")
        assert step(state, fleet(5, device_bytes=1000), NOW)[1] == []


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
        assert actions[0] == Moved("hold", "SOAKING", "HELD", 0, "gate accuracy", "0.4 where 0.9")

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


# Every event in every state: two devices and a newcomer, two stages, a soak.

WORLDS = [plan("1,100%", soak_s=10, approve=approve) for approve in (True, False)]
MEMBERS = {"a": None, "b": None}
COMMANDS = ("pause", "resume", "abort", "approve", "roll_back")


def moments(state: RolloutState) -> Iterator[tuple[str, Facts, float]]:
    """What may happen next, with a name."""
    for device in ("a", "b"):
        for event in ("confirmed", "failed", "tries_again", "lost", "restored"):
            yield f"{device} {event}", Facts(MEMBERS, (Heard(device, event),)), 0
    yield "nothing", Facts(MEMBERS), 0
    yield "time", Facts(MEMBERS), 10
    yield "joined", Facts({**MEMBERS, "c": None}), 0
    yield "left", Facts({"b": None}), 0
    yield "unsuited", Facts({"a": None, "b": "no"}), 0
    yield "quiet", Facts(MEMBERS, quiet=frozenset(MEMBERS)), 0
    for answer in ANSWERS:
        yield answer, Facts(MEMBERS, refusals=(Refusal("accuracy", answer, "why"),)), 0


def abstract(state: RolloutState, now: float) -> tuple[object, ...]:
    """What matters of a state: equal ones behave the same."""
    soaked = state.lifecycle == "SOAKING" and now - state.stage_since >= 10
    devices = tuple(sorted((d.device_id, d.state, d.stage) for d in state.deployments.values()))
    return state.lifecycle, state.stage, soaked, devices


def explore(
    world: Plan, depth: int
) -> Iterator[tuple[RolloutState, str, Facts | None, RolloutState, list[Action], float]]:
    """Every transition that is reachable within ``depth`` events, from each state once."""
    frontier, seen = [(begin(world), NOW)], set()
    for _ in range(depth):
        reached = []
        for state, now in frontier:
            for name, facts, passed in moments(state):
                after, actions = step(state, facts, now + passed)
                yield state, name, facts, after, actions, now + passed
                reached.append((after, now + passed))
            for name in COMMANDS:
                if ROLLOUT.allows(state.lifecycle, name):
                    after, actions = command(state, name, "ann", None, now)
                    yield state, name, None, after, actions, now
                    reached.append((after, now))
            after, _ = retry(state, None, now)
            yield state, "retry", None, after, [], now
            reached.append((after, now))
        frontier = []
        for state, now in reached:
            key = abstract(state, now)
            if key not in seen:
                seen.add(key)
                frontier.append((state, now))


DEPTH = 7


@pytest.mark.soak
@pytest.mark.parametrize("world", WORLDS, ids=["approved", "by itself"])
def test_every_event_in_every_state_keeps_the_laws_to_the_very_end(world: Plan) -> None:
    keeps_the_laws(world, 30)  # no new state comes after some 15 events: this is all of them


def test_every_event_in_every_state_keeps_the_laws() -> None:
    taken = [keeps_the_laws(world, DEPTH) for world in WORLDS]
    rows = taken[0][0] | taken[1][0]
    deployed = taken[0][1] | taken[1][1]
    never = {("DRAFT", "start")} | {row for row in ROLLOUT.transitions if row[1] == "superseded"}
    assert set(ROLLOUT.transitions) - rows == never  # every row of the table is taken by the code
    table = {(source, target) for (source, _), target in DEPLOYMENT.transitions.items()}
    assert {target for _, target in table - deployed} <= {"left"}  # who leaves late is for the soak


def keeps_the_laws(world: Plan, depth: int) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Check every law on the way; returns the rows of both tables that were taken."""
    rows: set[tuple[str, str]] = set()
    deployed: set[tuple[str, str]] = set()
    for before, name, facts, after, actions, now in explore(world, depth):
        where = f"{before.lifecycle} --{name}--> {after.lifecycle}"
        moves = [action for action in actions if isinstance(action, Moved)]
        for move in moves:
            assert ROLLOUT.next(move.source, move.event) == move.target, where
            rows.add((move.source, move.event))
        assert (moves[-1].target if moves else before.lifecycle) == after.lifecycle, where
        for device_id, deployment in after.deployments.items():
            old = before.deployments.get(device_id)
            deployed.add((old.state if old else "new", deployment.state))

        given_out = [action.device_id for action in actions if isinstance(action, Offer)]
        taken = sum(d.state in TAKEN for d in after.deployments.values())
        if given_out:
            may = {before.lifecycle, *(m.target for m in moves)}
            assert may & {"RUNNING", "SOAKING", "NEEDS_APPROVAL", "COMPLETED"}, where
            assert taken <= max(offered_target(after), 1), where
        if before.lifecycle in (
            "HELD",
            "PAUSED",
            "ABORTED",
            "ROLLING_BACK",
            "ROLLED_BACK",
            "SUPERSEDED",
        ) and (name not in COMMANDS):
            assert not given_out, where
        if after.stage > before.stage:
            stage_ends = {"next_stage", "approve"} & {m.event for m in moves}
            assert after.stage == before.stage + 1 or len(moves) > 2, where
            assert stage_ends, where
        if after.lifecycle == "COMPLETED" and before.lifecycle != "COMPLETED":
            waited = [d for d in after.deployments.values() if d.state == "offered"]
            assert facts is not None, where
            assert all(d.device_id in facts.quiet for d in waited), where
        if after.lifecycle in ("ROLLED_BACK",):
            mine = [d for d in after.deployments.values() if d.offered_at is not None]
            assert not any(d.state in ("offered", "confirmed", "failed") for d in mine), where
        reverted = [action for action in actions if isinstance(action, Revert)]
        if reverted:
            stops = {"roll_back", "roll_stage_back", "abort"} & {m.event for m in moves}
            assert stops or before.lifecycle == "ROLLING_BACK", where
        if facts is not None:
            quiet = replace(facts, heard=(), refusals=())
            settled, again = step(after, quiet, now)
            _, twice = step(settled, quiet, now)
            assert not twice, f"{where}: never comes to rest: {again} then {twice}"
    return rows, deployed


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_lives_of_a_larger_fleet_keep_the_laws(data: st.DataObject) -> None:
    state, now = begin(plan("1,3,50%,100%", soak_s=5)), NOW
    names = [f"cam-{n}" for n in range(8)]
    for _ in range(data.draw(st.integers(1, 25))):
        now += data.draw(st.sampled_from([0.0, 1.0, 6.0]))
        here = data.draw(st.sets(st.sampled_from(names), min_size=1))
        said = data.draw(
            st.lists(
                st.builds(
                    Heard,
                    st.sampled_from(names),
                    st.sampled_from(["confirmed", "failed", "tries_again", "lost", "restored"]),
                ),
                max_size=6,
            )
        )
        before = state
        state, actions = step(state, Facts(dict.fromkeys(here), tuple(said)), now)
        assert state.stage >= before.stage
        assert len(set(offers(actions))) == len(offers(actions))
        for name in offers(actions):
            assert name in here
        taken = sum(d.state in TAKEN for d in state.deployments.values())
        assert not offers(actions) or taken <= max(offered_target(state), len(offers(actions)))
