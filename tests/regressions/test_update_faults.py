"""Faults of the device's update machine that were once real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.packages import Bench, build, enrol, poll_until_quiet

from device_agent.update import Offer, Progressed, Restarted, UpdateState, step

pytest.importorskip("ai_edge_litert")
V1, V2, V3 = (bytes([n]) * 32 for n in (1, 2, 3))


def test_a_model_that_ends_the_agent_when_it_is_opened_is_given_up() -> None:
    state = UpdateState(lifecycle="CONFIRMED", confirmed=V1)
    state, _ = step(state, Offer(V2, 100, 1))
    for _ in range(5):
        if state.lifecycle != "OFFERED":
            break
        for event in ("accepted", "complete"):
            state, _ = step(state, Progressed(event))
        state, _ = step(state, Restarted())  # the interpreter took the process with it
    assert (state.lifecycle, state.confirmed, state.refused) == ("REJECTED", V1, V2)


def test_two_power_cuts_while_verifying_reject_nothing() -> None:
    state, _ = step(UpdateState(lifecycle="CONFIRMED", confirmed=V1), Offer(V2, 100, 1))
    for _ in range(2):
        for event in ("accepted", "complete"):
            state, _ = step(state, Progressed(event))
        state, _ = step(state, Restarted())
    assert state.lifecycle == "OFFERED"


def test_a_refused_version_that_is_desired_again_says_so() -> None:
    """It stayed SUPERSEDED, and the rollout waited for ever."""
    state = UpdateState(lifecycle="ROLLED_BACK", confirmed=V1, refused=V2)
    state, _ = step(state, Offer(V3, 100, 2))
    state, actions = step(state, Offer(V2, 100, 3))
    assert (state.lifecycle, state.generation, state.confirmed, state.candidate) == ("REJECTED", 3, V1, None)
    assert not any(type(action).__name__ == "Begin" for action in actions)
    assert step(replace(state), Restarted())[0] == state


def test_a_broker_that_is_away_for_minutes_does_not_fail_a_download(tmp_path: Path) -> None:
    bench = Bench(enrol(tmp_path))
    package = build()
    manifest = (package.digest.hex(), 0)
    bench.control.publish(package, without=set(package.chunks) - {manifest})
    bench.control.desire(package)
    agent = bench.start()
    poll_until_quiet(agent)
    bench.control.broker.set_online(False)
    bench.wait(agent, 300)
    bench.control.broker.set_online(True)
    bench.wait(agent, 5)
    assert "FAILED" not in bench.control.steps()
    bench.control.publish(package)
    poll_until_quiet(agent)
    assert agent.ready()
