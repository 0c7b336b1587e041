"""What ``rollout start`` and its dry run say of a plan before anything is sent to a device."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.scripted_fleet import Behaviour, ScriptedFleet

from edgeops.control.settings import ReportSettings, Settings, render_settings
from edgeops.control.workspace import Workspace

WAYS = (["--dry-run"], [])


def report_as(fleet: ScriptedFleet, **report: Any) -> None:
    """Let the workspace's settings say so."""
    text = render_settings(Settings(fleet.workspace.settings.fleet, report=ReportSettings(**report)))
    (fleet.workspace.root / "edgeops.toml").write_text(text)
    assert Workspace(fleet.workspace.root).settings.report == ReportSettings(**report)


def start(tool, *arguments: str) -> dict[str, Any]:
    code, out, told = tool("rollout", "start", *arguments, "--json")
    assert code == 0, told
    return json.loads(out)


class TestAVersionThatWasTakenBack:
    @pytest.mark.parametrize("way", WAYS, ids=["dry-run", "start"])
    def test_is_named_with_the_rollout_and_the_reason(
        self, fleet: ScriptedFleet, tool, way: list[str]
    ) -> None:
        number = fleet.run(1)
        fleet.order(number, "roll_back", "complaints from Berlin")
        fleet.turn(3)
        _, _, told = tool("rollout", "start", "tiny@1", *way)
        assert f"warning: tiny@1 was rolled back by ann in rollout {number}: complaints from Berlin" in told
        assert f"edgeops rollout show -w {fleet.workspace.root} {number}" in told

    def test_by_a_gate_too(self, fleet: ScriptedFleet, tool) -> None:
        fleet.run(1)
        fleet.release(2, Behaviour("REJECTED", "no room"))
        number = fleet.start(2, stages="1,100%", gates=["install=0.1:roll_stage_back"])
        fleet.turn(5)
        assert fleet.state(number) == "HELD"
        (warning,) = start(tool, "tiny@2", "--dry-run")["warnings"]
        assert f"tiny@2 had a stage rolled back by gate install in rollout {number}: " in warning
        assert "no room" in warning

    def test_another_version_is_not_warned_of(self, fleet: ScriptedFleet, tool) -> None:
        fleet.order(fleet.run(1), "roll_back")
        fleet.release(2)
        assert start(tool, "tiny@2")["warnings"] == []


class TestASoak:
    @pytest.mark.parametrize("way", WAYS, ids=["dry-run", "start"])
    def test_that_is_too_short_for_the_gates_is_warned_of(
        self, fleet: ScriptedFleet, tool, way: list[str]
    ) -> None:
        report_as(fleet, interval_ms=60_000)
        _, _, told = tool("rollout", "start", "tiny@1", "--soak", "3m", *way)
        assert (
            "warning: a soak of 3m is too short for the gates errors, latency, confidence, accuracy" in told
        )
        assert "--soak 4m or more" in told
        assert "each is watched for 3m" in told

    def test_of_so_many_reports_is_enough_and_so_is_the_default(self, fleet: ScriptedFleet, tool) -> None:
        report_as(fleet, interval_ms=60_000)
        assert start(tool, "tiny@1", "--soak", "4m", "--dry-run")["warnings"] == []
        facts = start(tool, "tiny@1")
        assert (facts["warnings"], facts["soak_s"]) == ([], 300)

    def test_counts_for_the_gates_that_there_are(self, fleet: ScriptedFleet, tool) -> None:
        report_as(fleet, interval_ms=60_000, labels=False)
        off = ["--gate", "errors=off", "--gate", "latency=off", "--gate", "confidence=0.2:hold:7"]
        (warning,) = start(tool, "tiny@1", "--soak", "5m", *off, "--dry-run")["warnings"]
        assert "the gate confidence to judge: 7 reports are asked for" in warning
        assert start(tool, "tiny@1", "--soak", "0s", *off, "--gate", "confidence=off")["warnings"] == []


class TestASelector:
    @pytest.mark.parametrize("way", WAYS, ids=["dry-run", "start"])
    def test_that_names_an_attribute_of_no_device_is_hinted_at(
        self, fleet: ScriptedFleet, tool, way: list[str]
    ) -> None:
        fleet.join("pico", site="berlin")
        code, _, told = tool("rollout", "start", "tiny@1", "--to", 'stie = "berlin"', *way)
        assert code == 4
        assert "no enrolled device matches 'stie = \"berlin\"'; no device has the attribute 'stie'; " in told
        assert "there are site, device, target, runtime, agent" in told
        code, _, told = tool("rollout", "start", "tiny@1", "--to", 'stie != "berlin"', *way)
        assert (code, "warning: no device has the attribute 'stie'; there are site" in told) == (0, True)

    @pytest.mark.parametrize("way", WAYS, ids=["dry-run", "start"])
    def test_that_selects_nobody_is_not_found(self, fleet: ScriptedFleet, tool, way: list[str]) -> None:
        code, _, told = tool("rollout", "start", "tiny@1", "--to", "device = cam-99", *way)
        assert code == 4
        assert "no enrolled device matches 'device = cam-99'\nFix: " in told


class TestDevicesOfOthers:
    def test_the_rollouts_that_lose_devices_are_named(self, fleet: ScriptedFleet, tool) -> None:
        fleet.run(1)
        fleet.release(2)
        first = fleet.start(2, stages="1,100%", soak="1h")
        fleet.turn(2)
        some = ["--to", 'device in ("cam-00", "cam-01")']
        _, _, told = tool("rollout", "start", "tiny@1", *some, "--dry-run")
        assert f"would take 2 devices from rollout {first}\n" in told
        _, _, told = tool("rollout", "start", "tiny@1", *some, "--soak", "1h")
        assert f"takes 2 devices from rollout {first}\n" in told
        fleet.turn(2)
        facts = start(tool, "tiny@1", "--dry-run")
        assert facts["takes"] == [
            {"rollout": first, "devices": 2, "ends_it": True},
            {"rollout": first + 1, "devices": 2, "ends_it": True},
        ]
        _, _, told = tool("rollout", "start", "tiny@1")
        assert f"takes 2 devices from rollout {first}, which is then superseded" in told
        assert fleet.state(first) == "SUPERSEDED"


class TestADryRun:
    def test_counts_the_stages_and_says_who_has_it(self, fleet: ScriptedFleet, tool) -> None:
        fleet.run(1)
        fleet.join("new")
        fleet.join("pico").takes = ("plan",)
        fleet.devices["pico"].target = "rp2040"
        fleet.devices["pico"].say_state()
        fleet.plane.step(0.0)
        facts = start(tool, "tiny@1", "--stages", "1,50%,100%", "--dry-run")
        assert [row["devices"] for row in facts["stages"]] == [1, 3, 5]
        assert facts["already"] == [f"cam-{number:02d}" for number in range(4)]
        _, out, told = tool("rollout", "start", "tiny@1", "--stages", "1,50%,100%", "--dry-run")
        rows = {line.split()[0]: line for line in out.splitlines()}
        assert rows["cam-00"].endswith("has it already")
        assert rows["new"].endswith("-")
        assert "stages 1 (1 device), 50% (3 devices), 100% (5 devices); " in told
        assert "4 of 6 have tiny@1 already" in told


class TestAGateThatCannotSee:
    def test_shadow_without_a_shadow_run_is_refused(self, tool) -> None:
        code, _, told = tool("rollout", "start", "tiny@1", "--gate", "shadow=0.1")
        assert (code, "gate shadow: there is no shadow run" in told, "--shadow 200" in told) == (
            2,
            True,
            True,
        )
        assert tool("rollout", "start", "tiny@1", "--gate", "shadow=0.1", "--shadow", "50")[0] == 0
        assert tool("rollout", "start", "tiny@1", "--gate", "shadow=off")[0] == 0

    def test_accuracy_without_labels_is_refused(self, fleet: ScriptedFleet, tool) -> None:
        assert tool("rollout", "start", "tiny@1", "--gate", "accuracy=0.1")[0] == 0
        report_as(fleet, labels=False)
        code, _, told = tool("rollout", "start", "tiny@1", "--gate", "accuracy=0.1")
        assert (code, "gate accuracy: labels are off" in told) == (2, True)
        assert "Fix: set report.labels = true" in told
        assert tool("rollout", "start", "tiny@1", "--gate", "accuracy=off")[0] == 0
