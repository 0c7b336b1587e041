"""While nobody listens, because the control plane or its broker is away, no soak goes on and nothing is decided."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.scripted_fleet import ScriptedFleet

from edgeops.fleet.absence import LISTENED
from edgeops.registry.counts import fact


@pytest.fixture
def fleet(tmp_path: Path):
    made = ScriptedFleet(tmp_path / "fleet", 6)
    made.clock.now += 1_700_000_000.0
    yield made
    made.close()


def soaking(fleet: ScriptedFleet) -> int:
    """Version 1 everywhere, version 2 on its first device, ten seconds into a soak of a minute."""
    fleet.release(1)
    fleet.run(1)
    fleet.turn(4)
    fleet.release(2)
    number = fleet.start(2, stages="1,100%", soak="60s")
    fleet.turn(12)
    assert fleet.state(number) == "SOAKING"
    return number


def ends_its_soak_in_time(fleet: ScriptedFleet, number: int) -> None:
    """Some 50 s of the soak were left: not over after 30, over after 70."""
    fleet.turn(30)
    assert (fleet.state(number), fleet.row(number).stage) == ("SOAKING", 0)
    fleet.turn(40)
    assert fleet.row(number).stage == 1


def test_a_soak_stands_still_while_the_control_plane_is_down(fleet: ScriptedFleet) -> None:
    number = soaking(fleet)
    fleet.plane.close()
    fleet.clock.sleep(3 * 86_400)
    fleet.plane = fleet.start_plane()
    fleet.turn(2)
    assert any("nobody listened for 2592" in line for line in fleet.told), fleet.told
    ends_its_soak_in_time(fleet, number)


def test_a_soak_stands_still_while_the_broker_is_away(fleet: ScriptedFleet) -> None:
    number = soaking(fleet)
    fleet.broker.set_online(False)
    for _ in range(40):
        fleet.clock.sleep(10)
        fleet.plane.step(0.0)
    assert (fleet.state(number), fleet.row(number).stage) == ("SOAKING", 0)
    fleet.broker.set_online(True)
    ends_its_soak_in_time(fleet, number)


def test_a_soak_that_began_after_the_last_note_begins_anew(fleet: ScriptedFleet) -> None:
    fleet.release(1)
    fleet.run(1)
    fleet.turn(10)  # a note, by the second
    fleet.release(2)
    number = fleet.start(2, stages="1,100%", soak="10m")
    fleet.turn(3)
    with fleet.workspace.registry.reading() as session:
        assert fleet.row(number).stage_since > fact(session, LISTENED)["at"]
    fleet.plane.close()
    fleet.clock.sleep(700)
    fleet.plane = fleet.start_plane()
    fleet.turn(1)
    assert (fleet.state(number), fleet.row(number).stage) == ("SOAKING", 0)


def test_a_broker_that_comes_and_goes_lets_no_soak_pass(fleet: ScriptedFleet) -> None:
    number = soaking(fleet)
    for _ in range(10):
        fleet.broker.set_online(False)
        fleet.plane.step(0.0)
        fleet.clock.sleep(28)
        fleet.plane.step(0.0)
        fleet.broker.set_online(True)
        fleet.turn(1)
    assert (fleet.state(number), fleet.row(number).stage) == ("SOAKING", 0)
    ends_its_soak_in_time(fleet, number)


def test_a_short_restart_is_not_told_and_costs_no_more_than_its_seconds(fleet: ScriptedFleet) -> None:
    number = soaking(fleet)
    fleet.plane.close()
    fleet.clock.sleep(5)
    fleet.plane = fleet.start_plane()
    fleet.turn(2)
    assert not any("nobody listened" in line for line in fleet.told)
    fleet.turn(50)
    assert fleet.row(number).stage == 1
