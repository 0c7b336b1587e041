"""Rollouts, from the order to the fleet: live membership, gates that act by themselves, and ways back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from support.packages import MODEL
from support.scripted_fleet import Behaviour, ScriptedFleet

from edgeops.control.rollout_orders import plan_of, retry_in_workspace
from edgeops.control.rollout_views import plan_rollout
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.core.manifest import Artifact

GOOD = Behaviour()
LABELLED = Behaviour(accuracy=0.9)


@pytest.fixture
def fleet(tmp_path: Path):
    made = ScriptedFleet(tmp_path / "fleet", 8)
    yield made
    made.close()


def standing(fleet: ScriptedFleet, behaviour: Behaviour = GOOD, windows: int = 6) -> None:
    """Version 1 runs everywhere, and has for some windows."""
    fleet.release(1, behaviour)
    fleet.run(1)
    fleet.turn(windows)


class TestMembership:
    def test_a_selector_picks_by_attributes_and_what_devices_say(self, tmp_path: Path) -> None:
        fleet = ScriptedFleet(tmp_path / "fleet", 0)
        for name, site in (("a", "berlin"), ("b", "berlin"), ("c", "rome")):
            fleet.join(name, site=site)
        fleet.join("d", site="berlin").target = "rp2040"
        fleet.devices["d"].say_state()
        fleet.turn()
        fleet.release(1)
        plan = plan_of(fleet.workspace, to='site = "berlin" and target = linux')
        assert [row["device"] for row in plan_rollout(fleet.workspace, "tiny@1", plan)] == ["a", "b"]
        with pytest.raises(NotFoundError, match="no enrolled device matches 'site = paris'"):
            fleet.start(1, to="site = paris")
        fleet.close()

    def test_a_device_that_is_enrolled_after_the_rollout_gets_the_model(self, fleet: ScriptedFleet) -> None:
        standing(fleet)
        fleet.join("late")
        fleet.turn(4)
        assert "late" in fleet.runs(1)

    def test_rollouts_of_one_model_to_different_devices_stand_side_by_side(self, tmp_path: Path) -> None:
        fleet = ScriptedFleet(tmp_path / "fleet", 0)
        for name, site in (("a", "berlin"), ("b", "rome")):
            fleet.join(name, site=site)
        fleet.release(1)
        fleet.release(2)
        first, second = fleet.run(1, to="site = berlin"), fleet.run(2, to="site = rome")
        fleet.turn(3)
        assert (fleet.runs(1), fleet.runs(2)) == ({"a"}, {"b"})
        assert (fleet.state(first), fleet.state(second)) == ("COMPLETED", "COMPLETED")
        fleet.close()

    def test_a_newer_rollout_takes_its_devices_from_an_older_one(self, fleet: ScriptedFleet) -> None:
        fleet.release(1)
        fleet.release(2)
        older = fleet.start(1, stages="1,100%", approve=True)
        fleet.turn(4)
        assert fleet.state(older) == "NEEDS_APPROVAL"
        newer = fleet.run(2)
        assert (fleet.state(older), fleet.state(newer)) == ("SUPERSEDED", "COMPLETED")
        assert fleet.row(older).reason == f"rollout {newer} serves its devices"

    def test_a_device_that_was_away_gets_the_newest_only(self, fleet: ScriptedFleet) -> None:
        fleet.release(1)
        away = fleet.join("away", online=False)
        fleet.run(1, patience="1s", to="device != away")
        packages = [fleet.release(version) for version in (2, 3, 4)]
        for version in (2, 3, 4):
            fleet.start(version, stages="100%", patience="2s")
            fleet.turn(8)
        away.online = True
        away.say_online()
        fleet.turn(4)
        assert away.confirmed == packages[-1].digest
        assert away.seen == [packages[-1].digest]

    def test_a_mixed_fleet_each_with_what_suits_it_and_a_reason_where_nothing_does(
        self, fleet: ScriptedFleet
    ) -> None:
        def two_artifacts(manifest):
            blob = manifest.artifacts[0].blob
            return replace(manifest, artifacts=(*manifest.artifacts, Artifact("plan", "rp2040", blob)))

        for name, target, takes in (("pico", "rp2040", ("plan",)), ("m85", "cortex-m85", ("plan",))):
            device = fleet.join(name)
            device.target, device.takes = target, takes
            device.say_state()
        fleet.turn()
        fleet.release(1, change=two_artifacts)
        number = fleet.start(1, stages="100%")
        fleet.turn(5)
        assert fleet.state(number) == "COMPLETED"
        assert fleet.runs(1) == {*fleet.devices} - {"m85"}
        (told,) = [row for row in fleet.facts(number)["devices"] if row["device"] == "m85"]
        assert (told["state"], told["reason"]) == (
            "unsuited",
            "it takes plan for cortex-m85; the version has plan for rp2040, tflite for linux; "
            "edgeops model show tiny@1 tells why",
        )
        assert fleet.desired("m85") is None


class TestOrders:
    def test_pause_and_resume(self, fleet: ScriptedFleet) -> None:
        fleet.release(1)
        number = fleet.start(1, stages="1,100%", soak="5s")
        fleet.turn(2)
        fleet.order(number, "pause", "trade fair")
        fleet.turn(20)
        assert (fleet.state(number), len(fleet.runs(1))) == ("PAUSED", 1)
        fleet.order(number, "resume")
        fleet.turn(20)
        assert (fleet.state(number), len(fleet.runs(1))) == ("COMPLETED", 8)
        words = [(entry.action, entry.reason) for entry in fleet.audit(number)]
        assert ("pause", "trade fair") in words

    def test_rollback_of_a_completed_rollout_needs_no_download(self, fleet: ScriptedFleet) -> None:
        standing(fleet)
        two = fleet.release(2)
        number = fleet.run(2)
        fleet.order(number, "roll_back")
        fleet.turn(4)
        assert fleet.state(number) == "ROLLED_BACK"
        assert len(fleet.runs(1)) == 8
        assert fleet.ever_ran(two) == set(fleet.devices)
        assert all(device.seen.count(two.digest) == 1 for device in fleet.devices.values())

    def test_rollback_of_a_first_rollout_says_that_there_is_nothing_to_go_back_to(
        self, fleet: ScriptedFleet
    ) -> None:
        fleet.release(1)
        number = fleet.run(1)
        fleet.order(number, "roll_back")
        fleet.turn(4)
        assert fleet.state(number) == "ROLLED_BACK"
        assert Counter(fleet.deployments(number).values()) == {"stuck": 8}
        assert "no version of this model before" in fleet.facts(number)["devices"][0]["reason"]

    def test_abort_keeps_what_was_confirmed(self, fleet: ScriptedFleet) -> None:
        standing(fleet)
        fleet.release(2)
        number = fleet.start(2, stages="2,100%", soak="1h")
        fleet.turn(4)
        fleet.order(number, "abort")
        fleet.turn(4)
        assert (fleet.state(number), len(fleet.runs(2))) == ("ABORTED", 2)

    def test_approve(self, fleet: ScriptedFleet) -> None:
        fleet.release(1)
        number = fleet.start(1, stages="1,50%,100%", approve=True)
        ran = []
        for _ in range(3):
            fleet.turn(6)
            ran.append(len(fleet.runs(1)))
            if fleet.state(number) == "NEEDS_APPROVAL":
                fleet.order(number, "approve")
        assert (ran, fleet.state(number)) == ([1, 4, 8], "COMPLETED")

    @pytest.mark.parametrize("command", ["approve", "pause", "resume"])
    def test_what_the_state_does_not_allow_is_refused_with_what_it_does(
        self, fleet: ScriptedFleet, command: str
    ) -> None:
        fleet.release(1)
        number = fleet.run(1)
        with pytest.raises(UsageError, match="is COMPLETED: it cannot be asked to") as caught:
            fleet.order(number, command)
        assert caught.value.fix == "edgeops rollout rollback 1"

    def test_a_device_that_refused_tries_again_when_it_is_told_to(self, fleet: ScriptedFleet) -> None:
        fleet.release(1, Behaviour("REJECTED", "no artifact"))
        number = fleet.start(1, stages="1,100%", gates=["install=1"])
        fleet.turn(4)
        assert Counter(fleet.deployments(number).values())["failed"] >= 1
        fleet.behaviours[1] = GOOD
        fleet.turn(4)
        assert fleet.runs(1) == set()
        retry_in_workspace(fleet.workspace, number, [], fleet.clock)
        fleet.turn(8)
        assert len(fleet.runs(1)) == 8


class TestGates:
    def test_a_version_that_no_device_can_take_is_held_at_the_first_stage(self, fleet: ScriptedFleet) -> None:
        standing(fleet)
        bad = fleet.release(2, Behaviour("REJECTED", "arena: 90000 bytes are needed, 65536 are there"))
        number = fleet.start(2, stages="1,100%")
        fleet.turn(10)
        assert fleet.state(number) == "HELD"
        assert len(fleet.ever_ran(bad)) == 1
        assert "1 of 1 devices, where 10% may" in (fleet.row(number).reason or "")
        assert "90000" in (fleet.row(number).reason or "")

    def test_a_version_that_fails_its_trial_is_held_by_its_own_gate(self, fleet: ScriptedFleet) -> None:
        standing(fleet)
        fleet.release(2, Behaviour("ROLLED_BACK", "3 errors in its trial where 0 are allowed"))
        number = fleet.start(2, stages="1,100%")
        fleet.turn(10)
        refusing = [gate["gate"] for gate in fleet.facts(number)["gates"] if gate["verdict"] == "refuses"]
        assert (fleet.state(number), refusing) == ("HELD", ["rollbacks"])

    def test_after_resume_the_gates_begin_anew(self, fleet: ScriptedFleet) -> None:
        standing(fleet)
        fleet.release(2, Behaviour("REJECTED", "no"))
        number = fleet.start(2, stages="1,100%")
        fleet.turn(5)
        assert fleet.state(number) == "HELD"
        fleet.behaviours[2] = GOOD
        fleet.order(number, "resume", "that board is broken")
        retry_in_workspace(fleet.workspace, number, [], fleet.clock)
        fleet.turn(10)
        assert (fleet.state(number), len(fleet.runs(2))) == ("COMPLETED", 8)

    def test_a_wrong_version_is_taken_back_by_its_labels_with_only_the_canary_exposed(
        self, fleet: ScriptedFleet
    ) -> None:
        standing(fleet, LABELLED)
        wrong = fleet.release(2, Behaviour(accuracy=0.1))
        number = fleet.start(2, stages="1,100%", soak="10m")
        fleet.turn(40)
        assert fleet.state(number) == "ROLLED_BACK"
        assert (len(fleet.ever_ran(wrong)), len(fleet.runs(1))) == (1, 8)
        by = [entry.actor for entry in fleet.audit(number) if entry.action == "roll_back"]
        assert by == ["gate accuracy"]
        (told,) = [gate for gate in fleet.facts(number)["gates"] if gate["gate"] == "accuracy"]
        assert told["verdict"] == "refuses"
        assert "new 0.100, control 0.900" in told["evidence"]

    def test_a_version_that_is_less_sure_is_taken_back_without_labels(self, fleet: ScriptedFleet) -> None:
        standing(fleet)
        wrong = fleet.release(2, Behaviour(confidence=2))
        number = fleet.start(2, stages="1,100%", soak="10m")
        fleet.turn(60)
        assert (fleet.state(number), len(fleet.ever_ran(wrong))) == ("ROLLED_BACK", 1)
        assert [e.actor for e in fleet.audit(number) if e.action == "roll_back"] == ["gate confidence"]

    def test_a_wrong_but_sure_version_is_taken_back_by_its_shadow_before_it_is_active(
        self, fleet: ScriptedFleet
    ) -> None:
        standing(fleet)
        wrong = fleet.release(2, Behaviour(disagrees=0.9))
        number = fleet.start(2, stages="1,100%", soak="10m", shadow=200)
        fleet.turn(30)
        assert (fleet.state(number), len(fleet.ever_ran(wrong))) == ("ROLLED_BACK", 1)
        assert (fleet.runs(2), len(fleet.runs(1))) == (set(), 8)
        assert [e.actor for e in fleet.audit(number) if e.action == "roll_back"] == ["gate shadow"]

    def test_a_right_but_slow_version_is_held(self, fleet: ScriptedFleet) -> None:
        standing(fleet, LABELLED)
        fleet.release(2, replace(LABELLED, latency=8))
        number = fleet.start(2, stages="1,100%", soak="10m")
        fleet.turn(40)
        assert (fleet.state(number), len(fleet.runs(2))) == ("HELD", 1)
        assert "p95 new" in (fleet.row(number).reason or "")

    def test_a_failing_version_is_taken_back(self, fleet: ScriptedFleet) -> None:
        standing(fleet)
        fleet.release(2, Behaviour(errors=8))
        number = fleet.start(2, stages="1,100%", soak="10m")
        fleet.turn(60)
        assert [e.actor for e in fleet.audit(number) if e.action == "roll_back"] == ["gate errors"]

    def test_devices_that_stop_reporting_count_as_bad(self, fleet: ScriptedFleet) -> None:
        standing(fleet)
        fleet.release(2, Behaviour(falls_silent=True))
        number = fleet.start(2, stages="1,100%", soak="1h", patience="30s")
        fleet.turn(50)
        assert (fleet.state(number), len(fleet.runs(2))) == ("HELD", 1)
        assert "nothing more was heard of it" in (fleet.row(number).reason or "")

    def test_an_equal_version_goes_through(self, fleet: ScriptedFleet) -> None:
        standing(fleet, LABELLED)
        fleet.release(2, LABELLED)
        number = fleet.start(2, stages="1,50%,100%", soak="30s")
        fleet.turn(120)
        assert (fleet.state(number), len(fleet.runs(2))) == ("COMPLETED", 8)
        verdicts = {gate["gate"]: gate["verdict"] for gate in fleet.facts(number)["gates"]}
        assert verdicts.pop("shadow") == "not asked for"
        assert set(verdicts.values()) == {"passes"}

    def test_a_gate_that_is_off_refuses_nothing(self, fleet: ScriptedFleet) -> None:
        standing(fleet, LABELLED)
        fleet.release(2, Behaviour(accuracy=0.1))
        number = fleet.start(2, stages="1,100%", soak="10s", gates=["accuracy=off"])
        fleet.turn(40)
        assert fleet.state(number) == "COMPLETED"


def test_every_move_is_in_the_audit_trail_with_who_and_why(fleet: ScriptedFleet) -> None:
    standing(fleet)
    fleet.release(2)
    number = fleet.start(2, stages="1,100%", soak="5s")
    fleet.turn(3)
    fleet.order(number, "roll_back", "complaints")
    fleet.turn(3)
    told = [(e.action, e.detail.get("from"), e.detail.get("to"), e.reason) for e in fleet.audit(number)]
    assert told == [
        ("start", None, None, None),
        ("stage_confirmed", "RUNNING", "SOAKING", None),
        ("roll_back", "SOAKING", "ROLLING_BACK", "complaints"),
        ("all_reverted", "ROLLING_BACK", "ROLLED_BACK", None),
    ]
    who = [entry.actor for entry in fleet.audit(number)]
    assert who[1] == "engine" and who[0] == who[2] != "engine"


def test_the_same_desired_state_is_never_sent_twice(fleet: ScriptedFleet) -> None:
    standing(fleet)
    generations = {name: fleet.desired(name).generation for name in fleet.devices}  # type: ignore[union-attr]
    fleet.turn(20)
    assert {name: fleet.desired(name).generation for name in fleet.devices} == generations  # type: ignore[union-attr]
    assert all(name in (fleet.desired("cam-00").models) for name in [MODEL])  # type: ignore[union-attr]


def test_a_byte_budget_bounds_whom_a_rollout_reaches_and_is_shown(fleet: ScriptedFleet) -> None:
    package = fleet.release(1)
    size = package.manifest.artifacts[0].blob.size
    number = fleet.start(1, stages="100%", max_bytes=3 * size)
    fleet.turn(8)
    assert (len(fleet.runs(1)), fleet.state(number)) == (3, "HELD")
    assert f"at most {3 * size} bytes in all" in fleet.facts(number)["plan"]


def test_what_a_rollout_reached_is_still_told_when_a_newer_one_serves_its_devices(
    fleet: ScriptedFleet,
) -> None:
    fleet.release(1)
    fleet.release(2)
    first = fleet.run(1)
    fleet.run(2)
    assert (fleet.facts(first)["state"], fleet.facts(first)["confirmed"]) == ("COMPLETED", "8 of 8")
