"""A bad version is stopped whatever the plan, the state or the past of the rollout: each test is a way it was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.packages import MODEL
from support.registry import report
from support.scripted_fleet import Behaviour, ScriptedFleet

from edgeops.control.rollout_orders import default_soak_s, plan_of
from edgeops.control.settings import ReportSettings, RolloutSettings, Settings
from edgeops.core.topics import Kind
from edgeops.registry.tables import Device

FAILING = Behaviour(errors=30)
STRANGER = b"\x11" * 32


@pytest.fixture
def fleet(tmp_path: Path):
    made = ScriptedFleet(tmp_path / "fleet", 6)
    made.release(1)
    made.run(1)
    made.turn(20)
    yield made
    made.close()


def claims_to_run(fleet: ScriptedFleet, device: str, manifest: bytes) -> None:
    """A device says that it runs something that this registry never made."""
    fleet.packages[manifest] = next(iter(fleet.packages.values()))
    fleet.devices[device].confirmed = manifest
    fleet.devices[device].say_state()
    fleet.turn(1)


def test_without_a_soak_a_stage_is_watched_for_some_reports() -> None:
    minutely = Settings("farm", report=ReportSettings(0, 60_000))
    assert default_soak_s(minutely) == 300.0
    assert default_soak_s(replace(minutely, rollout=RolloutSettings(soak_s=600.0))) == 600.0
    assert default_soak_s(replace(minutely, rollout=RolloutSettings(soak_windows=0))) == 0.0


def test_a_bad_version_does_not_pass_the_first_stage_of_a_default_plan(tmp_path: Path) -> None:
    made = ScriptedFleet(tmp_path / "fleet", 10)
    made.workspace.settings = replace(made.workspace.settings, report=ReportSettings(0, 60_000))  # type: ignore[misc]
    made.release(1)
    made.run(1, soak="0s")
    made.turn(20)
    assert plan_of(made.workspace).soak_s == 300.0
    made.release(2, FAILING)
    number = made.start(2)
    made.turn(200)
    assert made.state(number) in ("ROLLING_BACK", "ROLLED_BACK")
    assert set(made.deployments(number).values()) <= {"waiting", "reverting", "reverted"}
    made.close()


def test_a_device_with_a_stranger_s_version_does_not_keep_the_others_from_going_back(
    fleet: ScriptedFleet,
) -> None:
    claims_to_run(fleet, "cam-03", STRANGER)
    fleet.release(2, FAILING)
    number = fleet.start(2, stages="4,100%", soak="1h", patience="20s")
    fleet.turn(120)
    assert fleet.state(number) == "ROLLED_BACK"
    assert fleet.runs(2) <= {"cam-03"}


def test_what_cannot_be_said_to_one_device_is_said_to_the_others(fleet: ScriptedFleet) -> None:
    """The desired state of a device that has too many models already is too long; the others are served."""
    with fleet.workspace.registry.session() as session:
        from edgeops.registry.tables import DesiredState

        row = session.get_one(DesiredState, "cam-02")
        crowd = {f"other-{n:02d}-{'x' * 20}": dict(row.models[MODEL]) for n in range(60)}
        row.models = {**row.models, **crowd}
        session.add(row)
    fleet.release(2)
    number = fleet.start(2, stages="100%", gates=["install=0.5"])
    fleet.turn(8)
    assert fleet.deployments(number)["cam-02"] == "failed"
    assert fleet.runs(2) == set(fleet.devices) - {"cam-02"}
    assert fleet.state(number) == "COMPLETED"


@pytest.mark.parametrize("order", ["abort", "roll_back"])
def test_what_a_superseded_rollout_brought_stays_when_the_newer_one_is_taken_back(
    fleet: ScriptedFleet, order: str
) -> None:
    fleet.release(2)
    fleet.release(3)
    fleet.start(2, stages="50%,100%", soak="1h")
    fleet.turn(5)
    second = fleet.runs(2)
    assert len(second) == 3
    newest = fleet.start(3, stages="1,100%", soak="1h")
    fleet.turn(5)
    (canary,) = fleet.runs(3)
    fleet.order(newest, order)
    fleet.turn(8)
    kept = second - {canary} if order == "abort" else second
    assert fleet.runs(2) == kept
    assert fleet.runs(3) == ({canary} if order == "abort" else set())


def test_a_mended_version_is_not_judged_by_an_earlier_shadow_run(fleet: ScriptedFleet) -> None:
    fleet.release(2, Behaviour(disagrees=0.9))
    first = fleet.start(2, stages="1,100%", soak="1m", shadow=200)
    fleet.turn(60)
    assert fleet.state(first) == "ROLLED_BACK"
    fleet.behaviours[2] = Behaviour(disagrees=0.0)
    again = fleet.start(2, stages="1,100%", soak="10s", shadow=0)
    fleet.turn(40)
    assert fleet.state(again) == "COMPLETED"


def test_windows_that_were_queued_under_an_earlier_rollout_are_no_evidence(fleet: ScriptedFleet) -> None:
    package = fleet.release(2)
    fleet.order(fleet.run(2), "roll_back")
    fleet.turn(6)
    late = fleet.devices["cam-01"]
    late.online = False
    fleet.turn(5)
    again = fleet.start(2, stages="5,100%", soak="1h")
    fleet.turn(5)
    late.online = True
    fleet.turn(2)
    for number in range(80):
        late.sequence += 1
        fleet.say("cam-01", Kind.REPORT, report(late.sequence, package=package, errors=30, generation=1))
        fleet.turn(number % 2)
    assert fleet.state(again) == "SOAKING"


def test_one_that_is_held_for_a_mild_reason_still_goes_back_for_a_strong_one(fleet: ScriptedFleet) -> None:
    fleet.release(2, Behaviour(errors=30, latency=12))
    number = fleet.start(2, stages="50%,100%", soak="1h")
    fleet.turn(300)
    audit = [entry.action for entry in fleet.audit(number)]
    assert audit.index("hold") < audit.index("roll_back")
    assert fleet.state(number) == "ROLLED_BACK"


def test_devices_that_fail_after_completion_hold_the_rest_back(tmp_path: Path) -> None:
    fleet = ScriptedFleet(tmp_path / "fleet", 12)
    fleet.release(1)
    fleet.run(1)
    away = [f"cam-{n:02d}" for n in range(2, 12)]
    for name in away:
        fleet.devices[name].online = False
    fleet.release(2)
    number = fleet.start(2, stages="100%", patience="30s", soak="0s")
    fleet.turn(30, seconds=10)
    assert fleet.state(number) == "COMPLETED"
    fleet.behaviours[2] = Behaviour("ROLLED_BACK", "boom")
    fleet.devices[away[0]].online = True
    fleet.turn(5, seconds=10)
    assert fleet.state(number) == "COMPLETED", "one bad device among many is no verdict"
    for name in away:
        fleet.devices[name].online = True
    fleet.turn(5, seconds=10)
    assert fleet.state(number) == "HELD"
    assert "after completion" in (fleet.row(number).reason or "")
    fleet.close()


def test_one_failure_that_a_device_mends_by_itself_holds_nothing(fleet: ScriptedFleet) -> None:
    fleet.release(2)
    number = fleet.start(2, stages="1,100%", soak="5s")
    fleet.turn(1)
    (canary,) = [name for name, state in fleet.deployments(number).items() if state == "offered"]
    device = fleet.devices[canary]
    device.lifecycle, device.reason, device.generation = "FAILED", "no chunk came within 60 s", 99
    device.say_state()
    fleet.plane.step(0.0)
    assert fleet.state(number) == "RUNNING"
    device.generation = 0
    fleet.turn(20)
    assert fleet.state(number) == "COMPLETED"


def test_a_rollout_whose_devices_left_is_not_superseded_by_one_for_others(tmp_path: Path) -> None:
    fleet = ScriptedFleet(tmp_path / "fleet", 0)
    fleet.join("a", site="berlin")
    fleet.join("b", site="rome")
    fleet.release(1)
    fleet.release(2)
    here = fleet.start(1, to='site = "berlin"', stages="100%", soak="1h")
    fleet.turn(3)
    fleet.start(2, to='site = "rome"', stages="100%", soak="1h")
    fleet.turn(3)
    with fleet.workspace.registry.session() as session:
        session.get_one(Device, "a").attributes = {"site": "lab"}
    fleet.turn(3)
    assert fleet.state(here) != "SUPERSEDED"
    fleet.close()


def test_the_last_stage_is_judged_right_after_the_control_plane_started(tmp_path: Path) -> None:
    """Nobody is left to compare with; until the patience was over it was thought that somebody might be."""
    fleet = ScriptedFleet(tmp_path / "fleet", 1)
    fleet.release(1)
    fleet.run(1)
    fleet.turn(20)
    fleet.release(2, Behaviour(confidence=2))
    number = fleet.start(2, stages="100%", soak="100s", patience="1h")
    fleet.turn(200)
    assert fleet.state(number) == "ROLLED_BACK"
    fleet.close()


def test_a_rollout_that_no_gate_on_quality_could_judge_says_so(fleet: ScriptedFleet) -> None:
    fleet.release(2, FAILING)
    number = fleet.start(2, stages="100%", soak="0s", gates=["errors=off", "confidence=off", "latency=off"])
    fleet.turn(10)
    assert fleet.state(number) == "COMPLETED"
    assert "no gate on quality" in (fleet.row(number).reason or "")
