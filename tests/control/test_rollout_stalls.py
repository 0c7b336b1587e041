"""No rollout stands still for ever without a word: absent canaries, refused ones, stages that were taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.scripted_fleet import Behaviour, ScriptedFleet


@pytest.fixture
def fleet(tmp_path: Path):
    made = ScriptedFleet(tmp_path / "fleet", 6)
    made.release(1)
    made.run(1)
    made.turn(6)
    yield made
    made.close()


def offered(fleet: ScriptedFleet, number: int) -> str:
    """The device that was offered the version, which has not answered yet."""
    fleet.clock.sleep(1)
    fleet.plane.step(0.0)
    (name,) = [name for name, state in fleet.deployments(number).items() if state == "offered"]
    return name


def test_a_device_that_was_away_before_is_not_the_canary(fleet: ScriptedFleet) -> None:
    fleet.release(2)
    number = fleet.start(2, stages="1,100%", soak="10s", patience="30s")
    first = offered(fleet, number)
    fleet.order(number, "abort")
    fleet.turn(5)
    fleet.devices[first].online = False
    fleet.turn(10, seconds=10)
    fleet.release(3)
    number = fleet.start(3, stages="1,100%", soak="10s", patience="30s")
    fleet.turn(20, seconds=10)
    assert fleet.state(number) == "COMPLETED"
    assert fleet.deployments(number)[first] == "offered", "it catches up when it comes"


def test_a_canary_that_refuses_is_replaced_once_a_person_has_looked(fleet: ScriptedFleet) -> None:
    package = fleet.release(2)
    number = fleet.start(2, stages="1,100%", soak="10s", gates=["install=0.5"])
    canary = fleet.devices[offered(fleet, number)]
    canary.refused = package.digest  # it says no, and goes on saying so
    canary.lifecycle, canary.reason, canary.generation = "REJECTED", "no room", 1_000
    canary.say_state()
    fleet.turn(3)
    assert fleet.state(number) == "HELD"
    fleet.order(number, "resume")
    fleet.turn(60)
    assert fleet.state(number) == "COMPLETED"
    assert fleet.runs(2) == set(fleet.devices) - {canary.name}


@pytest.mark.parametrize("stages", ["1,100%", "1,50%,100%"])
def test_a_stage_that_was_taken_back_is_offered_again_after_resume(fleet: ScriptedFleet, stages: str) -> None:
    fleet.turn(20)
    fleet.release(2, Behaviour(errors=10))
    number = fleet.start(2, stages=stages, soak="5m", gates=["errors=0.02:roll_stage_back"])
    fleet.turn(100)
    assert fleet.state(number) == "HELD"
    assert not fleet.runs(2)
    fleet.behaviours[2] = Behaviour()
    fleet.order(number, "resume")
    fleet.turn(300, seconds=10)
    assert fleet.state(number) == "COMPLETED"
    assert fleet.runs(2) == set(fleet.devices)


def test_a_byte_budget_that_is_spent_holds_the_rollout_and_says_so(fleet: ScriptedFleet) -> None:
    package = fleet.release(2)
    size = package.manifest.artifacts[0].blob.size
    number = fleet.start(2, stages="100%", soak="0s", max_bytes=2 * size)
    fleet.turn(10)
    assert (fleet.state(number), len(fleet.runs(2))) == ("HELD", 2)
    assert "byte budget" in (fleet.row(number).reason or "")
    fleet.order(number, "resume")
    fleet.turn(5)
    assert (fleet.state(number), len(fleet.runs(2))) == ("HELD", 2)


def test_completed_rollouts_whose_devices_a_newer_one_serves_cost_no_step(fleet: ScriptedFleet) -> None:
    from edgeops.fleet.active_rollouts import active

    for version in (2, 3, 4):
        fleet.release(version)
        fleet.run(version)
    with fleet.workspace.registry.session() as session:
        assert [rollout.id for rollout in active(session)] == [4]
    fleet.order(4, "roll_back")
    fleet.turn(6)
    with fleet.workspace.registry.session() as session:
        assert [rollout.id for rollout in active(session)] == [3]
