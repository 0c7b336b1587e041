"""What ``rollout show``, ``watch``, ``doctor`` and ``audit log`` tell of a rollout under way."""

from __future__ import annotations

import json

import pytest
from support.scripted_fleet import Behaviour, ScriptedFleet
from support.terminal import in_terminal, lines_on_screen

from edgeops.control.doctor import examine
from edgeops.registry.counts import state_fact


class TestNobodyListens:
    AWAY = "edgeops serve is not listening (since "

    @pytest.mark.parametrize(
        "command",
        [
            ["rollout", "start", "tiny@1"],
            ["rollout", "start", "tiny@1", "--dry-run"],
            ["rollout", "show", "1"],
            ["rollout", "pause", "1"],
            ["rollout", "retry", "1"],
        ],
        ids=" ".join,
    )
    def test_is_said_with_the_command_that_mends_it(
        self, fleet: ScriptedFleet, tool, command: list[str]
    ) -> None:
        fleet.start(1, stages="1,100%", soak="1h")
        fleet.turn(2)
        assert "not listening" not in tool("rollout", "show", "1")[2]
        fleet.clock.sleep(61)
        told = tool(*command)[2]
        assert f"warning: {self.AWAY}" in told
        assert f"start it with edgeops serve -w {fleet.workspace.root}" in told

    def test_is_among_the_warnings_of_data(self, fleet: ScriptedFleet, tool) -> None:
        fleet.start(1)
        fleet.turn(2)
        assert json.loads(tool("rollout", "show", "1", "--json")[1])["warnings"] == []
        fleet.clock.sleep(100)
        for command in (["show", "1"], ["start", "tiny@1", "--dry-run"], ["start", "tiny@1"]):
            (warning,) = json.loads(tool("rollout", *command, "--json")[1])["warnings"]
            assert warning.startswith(self.AWAY)
            assert "Z): start it with" in warning

    def test_watch_says_it_and_goes_on(self, fleet: ScriptedFleet, tool) -> None:
        fleet.start(1)
        fleet.clock.sleep(100)
        code, _, told = tool("rollout", "watch", "1", "--timeout", "0.1")
        assert (code, told.count(f"warning: {self.AWAY}")) == (3, 1)

    def test_is_found_by_the_doctor(self, fleet: ScriptedFleet, tool) -> None:
        def row() -> dict[str, str | None]:
            return next(row for row in examine(fleet.workspace.root) if row["check"] == "serve")

        assert row()["state"] == "OK"
        fleet.clock.sleep(61)
        assert (row()["state"], row()["fix"]) == ("WARN", f"edgeops serve -w {fleet.workspace.root}")
        assert row()["detail"] == "not listening since 1970-01-01T00:01:41Z"
        with fleet.workspace.registry.session() as session:
            state_fact(session, "listened", {})
        assert row()["detail"] == "has never listened to the devices"


class TestWatch:
    def test_that_its_timeout_ends_is_no_success(self, fleet: ScriptedFleet, tool) -> None:
        fleet.start(1, stages="1,100%", soak="10m")
        fleet.turn(2)
        code, _, told = tool("rollout", "watch", "1", "--timeout", "0.1")
        assert code == 3
        assert "SOAKING" in told.splitlines()[0] and "soaks for " in told.splitlines()[0]
        assert "error: rollout 1 is still SOAKING after 0.1 s: soaks for 10 min more\nFix: go on with" in told
        assert f"edgeops rollout watch -w {fleet.workspace.root} 1" in told

    @pytest.mark.parametrize("state", ["HELD", "SUPERSEDED"])
    def test_names_the_ways_on(self, fleet: ScriptedFleet, tool, state: str) -> None:
        fleet.behaviours[1] = Behaviour("REJECTED", "no room")
        fleet.start(1, stages="1,100%")
        fleet.turn(4)
        if state == "SUPERSEDED":
            fleet.start(1)
        code, _, told = tool("rollout", "watch", "1")
        assert (code, f"error: rollout 1 is {state}: " in told) == (3, True)
        assert ("edgeops rollout rollback -w" in told) is (state == "HELD")

    def test_at_80_columns_cuts_no_word_of_what_is_to_be_done(self, fleet: ScriptedFleet) -> None:
        reason = "arena: " + " ".join(f"word{number}" for number in range(15)) + " and then call the vendor"
        fleet.behaviours[1] = Behaviour("REJECTED", reason)
        fleet.start(1, stages="1,100%")
        fleet.turn(5)
        lines = lines_on_screen(in_terminal("rollout", "watch", "1", "-w", str(fleet.workspace.root)))
        text = " ".join(" ".join(lines).split())
        assert not any("…" in line for line in lines)
        assert text.count(reason) >= 3  # the rollout's, the gate's and the device's
        assert "its answer: hold" in text
        assert "start it with edgeops serve" in text


class TestShow:
    def shown(self, fleet: ScriptedFleet, tool, number: int) -> str:
        return " ".join(tool("rollout", "show", str(number))[1].split())

    def test_says_why_devices_wait(self, fleet: ScriptedFleet, tool) -> None:
        def reasons() -> set[str]:
            rows = json.loads(tool("rollout", "show", str(number), "--json")[1])["devices"]
            return {row["reason"] for row in rows if row["state"] == "waiting"}

        number = fleet.start(1, stages="1,50%,100%", soak="1h", patience="20m")
        fleet.turn(2)
        assert reasons() == {"waits for its stage, 2 of 3", "waits for its stage, 3 of 3"}
        fleet.order(number, "pause")
        assert reasons() == {"the rollout is PAUSED"}
        number = fleet.start(1, stages="2,100%", window="22:00-22:01 Asia/Tokyo")
        fleet.turn(2)
        assert reasons() == {"its hours open at 22:00 Asia/Tokyo", "waits for its stage, 2 of 2"}
        number = fleet.start(1, stages="100%", rate="1/h")
        fleet.turn(2)
        assert reasons() == {"its pace is 1/h"}

    def test_says_what_is_left_of_patience(self, fleet: ScriptedFleet, tool) -> None:
        fleet.join("far", online=False)
        number = fleet.start(1, stages="100%", patience="10m")
        fleet.turn(2)
        facts = json.loads(tool("rollout", "show", str(number), "--json")[1])
        assert 590 < facts["patience_left_s"] <= 600
        assert "waits for far to confirm; patience with far ends in 10 min" in self.shown(fleet, tool, number)

    def test_names_patience_and_changed_gates_in_its_plan(self, fleet: ScriptedFleet, tool) -> None:
        gates = ["accuracy=0.02:hold", "errors=off", "install=0.1:hold:3"]
        number = fleet.start(1, stages="100%", patience="5m", gates=gates)
        text = self.shown(fleet, tool, number)
        assert "patience 5m; gate install=0.1:hold:3; gate errors=off; gate accuracy=0.02:hold" in text

    def test_names_what_a_gate_will_never_see(self, fleet: ScriptedFleet, tool) -> None:
        number = fleet.run(1)
        text = self.shown(fleet, tool, number)
        assert "gate shadow not asked for --shadow N" in text
        assert "labels are off" not in text
        path = fleet.workspace.root / "edgeops.toml"
        path.write_text(path.read_text().replace("labels = true", "labels = false"))
        assert "gate accuracy labels are off" in self.shown(fleet, tool, number)

    def test_counts_bytes_only_where_some_were_sent(self, fleet: ScriptedFleet, tool) -> None:
        number = fleet.run(1)
        assert "uplink bytes" in self.shown(fleet, tool, number)
        assert "saved bytes" not in self.shown(fleet, tool, number)
        assert "uplink bytes" not in self.shown(fleet, tool, fleet.run(1))
        assert json.loads(tool("rollout", "show", "2", "--json")[1])["uplink_bytes"] == 0

    def test_names_the_command_that_approves(self, fleet: ScriptedFleet, tool) -> None:
        fleet.run(1)
        fleet.release(2)
        number = fleet.start(2, stages="1,100%", approve=True, soak="1s")
        fleet.turn(6)
        assert fleet.state(number) == "NEEDS_APPROVAL"
        text = f"the next stage waits for: edgeops rollout approve {number}"
        assert text in self.shown(fleet, tool, number)
        assert text in " ".join(tool("audit", "log", "--rollout", str(number))[1].split())

    def test_an_order_that_cannot_be_given_names_those_that_can(self, fleet: ScriptedFleet, tool) -> None:
        number, root = fleet.run(1), fleet.workspace.root
        assert f"Fix: edgeops rollout rollback -w {root} {number}\n" in tool("rollout", "pause", "1")[2]
        fleet.order(number, "roll_back")
        fleet.turn(4)
        assert f"Fix: edgeops rollout start -w {root} tiny@1\n" in tool("rollout", "resume", "1")[2]
        assert f"Fix: edgeops rollout start -w {root} tiny@1\n" in tool("rollout", "retry", "1")[2]
