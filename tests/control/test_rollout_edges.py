"""Rollouts that meet: newer ones, people, absences and silence, in the order in which they hurt."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import select
from support.scripted_fleet import Behaviour, ScriptedFleet

from edgeops.fleet.active_rollouts import active
from edgeops.fleet.membership import select_devices, selection_of
from edgeops.fleet.rollout.selector import parse_selector
from edgeops.registry.tables import Deployment, Device, GateEvidence

GOOD = Behaviour()


@pytest.fixture
def fleet(tmp_path: Path):
    made = ScriptedFleet(tmp_path / "fleet", 0)
    for number in range(6):
        made.join(f"cam-{number:02d}", site="berlin" if number < 3 else "rome")
    made.release(1, GOOD)
    made.run(1)
    made.turn(6)
    yield made
    made.close()


BERLIN = {"cam-00", "cam-01", "cam-02"}
ROME = {"cam-03", "cam-04", "cam-05"}


def move(fleet: ScriptedFleet, name: str, **attributes: str) -> None:
    with fleet.workspace.registry.session() as session:
        session.get_one(Device, name).attributes = attributes


def test_a_rollback_leaves_the_devices_of_a_rollout_that_was_started_a_moment_before(
    fleet: ScriptedFleet,
) -> None:
    fleet.release(2, GOOD)
    fleet.release(3, GOOD)
    everywhere = fleet.run(2)
    fleet.start(3, to="site = berlin", stages="100%")
    fleet.order(everywhere, "roll_back")  # no step of the control plane in between
    fleet.turn(8)
    assert (fleet.runs(3), fleet.runs(1)) == (BERLIN, ROME)
    assert fleet.state(everywhere) == "ROLLED_BACK"


def test_a_rollback_does_not_wait_for_devices_that_a_newer_rollout_took(fleet: ScriptedFleet) -> None:
    fleet.release(2, GOOD)
    fleet.release(3, GOOD)
    everywhere = fleet.run(2)
    for name in BERLIN:
        fleet.devices[name].online = False
    fleet.order(everywhere, "roll_back")
    fleet.turn(2)
    fleet.start(3, to="site = berlin", stages="100%")
    fleet.turn(1)
    for name in BERLIN:
        fleet.devices[name].online = True
    fleet.turn(6)
    assert (fleet.state(everywhere), fleet.runs(3), fleet.runs(1)) == ("ROLLED_BACK", BERLIN, ROME)
    with fleet.workspace.registry.reading() as session:
        rows = session.exec(select(Deployment).where(Deployment.rollout_id == everywhere + 1)).all()
        back_to = {row.before for row in rows}
    ones = {package.digest.hex() for package in fleet.packages.values() if package.manifest.version == 1}
    assert back_to == ones  # not to what they were being taken away from


def test_a_device_that_is_no_longer_selected_goes_back_with_the_others(tmp_path: Path) -> None:
    fleet = ScriptedFleet(tmp_path / "fleet", 0)
    for name in ("a", "b"):
        fleet.join(name, site="berlin")
    fleet.release(1, GOOD)
    fleet.release(2, GOOD)
    fleet.run(1, to="site = berlin")
    second = fleet.run(2, to="site = berlin")
    move(fleet, "a", site="rome")
    fleet.turn(2)
    assert fleet.deployments(second) == {"a": "left", "b": "confirmed"}
    fleet.order(second, "roll_back")
    fleet.turn(6)
    assert (fleet.state(second), fleet.runs(1)) == ("ROLLED_BACK", {"a", "b"})
    fleet.close()


def test_a_device_that_comes_back_late_is_heard_after_the_rollout_is_over(fleet: ScriptedFleet) -> None:
    fleet.release(2, GOOD)
    second = fleet.run(2, patience="5s")
    fleet.devices["cam-00"].online = False
    fleet.order(second, "roll_back")
    fleet.turn(12)
    assert (fleet.state(second), fleet.deployments(second)["cam-00"]) == ("ROLLED_BACK", "reverting")
    fleet.devices["cam-00"].online = True
    fleet.turn(3)
    assert fleet.deployments(second)["cam-00"] == "reverted"
    with fleet.workspace.registry.reading() as session:
        assert [rollout.id for rollout in active(session)] == [1]


def test_a_rollback_to_a_version_that_was_swept_offers_its_chunks_again(tmp_path: Path) -> None:
    fleet = ScriptedFleet(tmp_path / "fleet", 2, chunk_grace_s=5.0)
    first = fleet.release(1, GOOD).digest.hex()
    fleet.release(2, GOOD)
    fleet.run(1)
    second = fleet.run(2)
    fleet.turn(6, seconds=61)
    assert not any(first in topic for topic in fleet.broker.retained)
    fleet.order(second, "roll_back")
    fleet.turn(3)
    assert any(first in topic for topic in fleet.broker.retained)  # a damaged slot is fetched anew
    fleet.close()


class TestResume:
    def test_devices_that_were_silent_before_do_not_hold_it_again(self, fleet: ScriptedFleet) -> None:
        fleet.release(2, GOOD)
        number = fleet.start(2, stages="1,100%", soak="40s", patience="30s")
        fleet.turn(3)
        (canary,) = fleet.runs(2)
        fleet.devices[canary].online = False
        fleet.turn(50)
        assert fleet.state(number) == "HELD"
        fleet.order(number, "resume", "it was unplugged")
        fleet.turn(200)
        assert fleet.state(number) == "COMPLETED"

    def test_what_was_reported_while_it_was_held_is_no_evidence(self, fleet: ScriptedFleet) -> None:
        fleet.release(2, GOOD)
        number = fleet.start(2, stages="1,100%", soak="1h")
        fleet.turn(3)
        fleet.order(number, "pause")
        fleet.turn(30)
        fleet.order(number, "resume")
        fleet.turn(1)
        with fleet.workspace.registry.reading() as session:
            row = session.get_one(GateEvidence, (number, "errors"))
        assert row.evidence["treated_count"] + row.evidence["control_seen"] <= len(fleet.devices)


def test_devices_without_a_past_are_not_set_against_the_change_of_others(fleet: ScriptedFleet) -> None:
    """A new control device's confidence of 0.8 is no rise of 0.8, nor a canary's steadiness a fall."""
    for number in range(6):
        fleet.join(f"new-{number}", site="rome")
    fleet.turn(3)
    fleet.release(2, GOOD)
    number = fleet.start(2, stages="50%,100%", soak="2m")
    fleet.turn(300)
    assert fleet.state(number) == "COMPLETED", fleet.facts(number)["reason"]


def test_nothing_is_done_for_rollouts_that_stand_while_nothing_changes(
    fleet: ScriptedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fleet.turn(2)
    monkeypatch.setattr("edgeops.control.serve.advance", lambda *given: steps.append(given) or [])
    fleet.turn(5)
    assert steps == []
    move(fleet, "cam-00", site="paris")
    fleet.turn(1)
    assert len(steps) == 1


def test_what_answers_a_drift_goes_to_those_who_had_the_drifted_version(tmp_path: Path) -> None:
    fleet = ScriptedFleet(tmp_path / "fleet", 0)
    for site in ("berlin", "rome", "oslo"):
        fleet.join(site, site=site)
    fleet.release(1, GOOD)
    for site in ("berlin", "rome"):
        fleet.run(1, to=f"site = {site}")
    with fleet.workspace.registry.reading() as session:
        selection = selection_of(session, 1)
        assert [d.id for d in select_devices(session, parse_selector(selection))] == ["berlin", "rome"]
        assert selection_of(session, 2) == ""
    fleet.close()
