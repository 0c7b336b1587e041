"""Every event in every state of a rollout, and random lives of a fleet, keep the laws of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rollouts import NOW, begin, offers, plan

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
from edgeops.fleet.rollout.plan import Plan

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
