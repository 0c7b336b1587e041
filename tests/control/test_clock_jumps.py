"""A wall clock that is set while a rollout runs: what was waited for stays waited for, and nobody seems silent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.scripted_fleet import Behaviour, ScriptedFleet

DAYS = pytest.mark.parametrize("days", [3, -3])
DAY = 86_400.0
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()


class Wall:
    """The fleet's clock that somebody sets; ``steady`` is the one that nobody does."""

    def __init__(self, fleet: ScriptedFleet) -> None:
        self._fleet, self._set_by = fleet, 0.0

    def steady(self) -> float:
        """Seconds that only pass."""
        return self._fleet.clock.now - self._set_by

    def set(self, seconds: float) -> None:
        """Set the clock."""
        self._fleet.clock.now += seconds
        self._set_by += seconds


@pytest.fixture
def fleet(tmp_path: Path):
    made = ScriptedFleet(tmp_path / "fleet", 6)
    made.clock.now = NOON
    made.wall = Wall(made)  # type: ignore[attr-defined]
    made.watch_clock(made.wall.steady)  # type: ignore[attr-defined]
    yield made
    made.close()


def standing(fleet: ScriptedFleet) -> None:
    """Version 1 runs everywhere."""
    fleet.release(1)
    fleet.run(1)
    fleet.turn(4)
    fleet.release(2)


@DAYS
def test_a_soak_takes_as_long_as_it_was_to(fleet, days: int) -> None:
    standing(fleet)
    number = fleet.start(2, stages="1,100%", soak="30s")
    fleet.turn(12)
    assert fleet.state(number) == "SOAKING"
    fleet.wall.set(days * DAY)
    fleet.turn(12)
    assert (fleet.state(number), fleet.row(number).stage) == ("SOAKING", 0)
    fleet.turn(12)
    assert fleet.row(number).stage == 1
    fleet.turn(40)
    assert fleet.state(number) == "COMPLETED"


@DAYS
def test_devices_that_answer_are_not_silent_and_one_that_stopped_is_after_the_patience(
    fleet, days: int
) -> None:
    standing(fleet)
    number = fleet.start(2, stages="50%,100%", soak="60s", patience="20s", gates=["silence=0.2:hold"])
    fleet.turn(5)
    fleet.wall.set(days * DAY)
    for device in fleet.devices.values():
        device.online = False  # nothing comes at the very moment
    fleet.turn(2)
    for device in fleet.devices.values():
        device.online = True
    fleet.turn(10)
    assert fleet.state(number) == "SOAKING"
    (first, *_) = sorted(fleet.runs(2))
    fleet.devices[first].online = False
    fleet.turn(15)
    assert fleet.state(number) == "SOAKING"
    fleet.turn(8)
    assert fleet.state(number) == "HELD"


@DAYS
def test_the_pace_goes_on_as_it_was(fleet, days: int) -> None:
    standing(fleet)
    number = fleet.start(2, stages="100%", rate="6/min")
    fleet.turn(14)
    before = len(fleet.runs(2))
    assert before == 2
    fleet.wall.set(days * DAY)
    fleet.turn(1)
    assert len(fleet.runs(2)) - before <= 1
    fleet.turn(20)
    assert len(fleet.runs(2)) == before + 2
    fleet.turn(30)
    assert fleet.state(number) == "COMPLETED"


def test_the_window_is_of_the_clock_as_it_stands(fleet) -> None:
    standing(fleet)
    number = fleet.start(2, stages="100%", window="22:00-05:00")
    fleet.turn(5)
    assert fleet.runs(2) == set()
    fleet.wall.set(11 * 3600)  # 23:00
    fleet.turn(5)
    assert fleet.state(number) == "COMPLETED"


@pytest.mark.parametrize("days", [-3, 0])
def test_a_clock_that_was_set_back_while_nobody_watched(fleet, days: int) -> None:
    standing(fleet)
    number = fleet.start(2, stages="1,100%", soak="30s")
    fleet.turn(12)
    fleet.plane.close()
    fleet.clock.now += days * DAY
    fleet.plane = fleet.start_plane()
    fleet.turn(80)
    assert fleet.state(number) == "COMPLETED"


def test_a_control_plane_that_was_away_calls_nobody_silent(fleet) -> None:
    standing(fleet)
    number = fleet.start(2, stages="50%,100%", soak="5m", patience="20s", gates=["silence=0.2:hold"])
    fleet.turn(5)
    fleet.plane.close()
    fleet.clock.now += 100.0
    fleet.plane = fleet.start_plane()
    fleet.plane.step(0.0)
    fleet.clock.sleep(1.0)
    fleet.plane.step(0.0)
    fleet.turn(30)
    assert fleet.state(number) == "SOAKING"


def test_an_outage_of_the_broker_makes_nobody_silent(fleet) -> None:
    standing(fleet)
    number = fleet.start(2, stages="50%,100%", soak="5m", patience="20s", gates=["silence=0.2:hold"])
    fleet.turn(5)
    fleet.broker.set_online(False)
    for _ in range(60):
        fleet.clock.sleep(1.0)
        fleet.plane.step(0.0)
    assert fleet.state(number) == "SOAKING"
    fleet.broker.set_online(True)
    fleet.turn(30)
    assert fleet.state(number) == "SOAKING"


def test_a_bad_version_is_judged_across_a_jump(fleet) -> None:
    fleet.release(1, Behaviour(accuracy=0.9))
    fleet.run(1)
    fleet.turn(8)
    fleet.release(2, Behaviour(accuracy=0.2))
    number = fleet.start(2, stages="2,100%", soak="10m")
    fleet.turn(1)
    fleet.wall.set(-3 * DAY)
    fleet.turn(40)
    assert fleet.state(number) == "ROLLED_BACK"
    assert len(fleet.ever_ran(list(fleet.packages.values())[1])) == 2


def test_a_shadow_run_of_which_nothing_was_heard_in_between_is_judged(fleet) -> None:
    """All that the control plane sees of it is one count of 200 inputs."""
    standing(fleet)
    fleet.behaviours[2].disagrees = 0.95
    number = fleet.start(2, stages="1,100%", shadow=200, soak="10m")
    for _ in range(30):  # the device goes through its shadow run while the control plane is away
        for device in fleet.devices.values():
            device.turn()
        if not fleet.ever_ran(list(fleet.packages.values())[1]):
            fleet.clock.sleep(1.0)
            fleet.plane.step(0.0)
    fleet.turn(3)
    assert fleet.state(number) == "ROLLED_BACK", fleet.facts(number)
