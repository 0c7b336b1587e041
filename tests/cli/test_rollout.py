"""``edgeops rollout``, ``apply`` and ``audit``: what a person types, and what they then see."""

from __future__ import annotations

import csv
import io
import json

import pytest
from support.scripted_fleet import Behaviour, ScriptedFleet
from support.terminal import in_terminal, lines_on_screen


def test_a_rollout_from_start_to_rollback(fleet: ScriptedFleet, tool) -> None:
    code, _, told = tool("rollout", "start", "tiny@1", "--stages", "1,100%", "--soak", "5s")
    assert code == 0
    assert "rollout 1: tiny@1 to 4 devices in stages 1, 100%" in told
    fleet.turn(3)
    assert tool("rollout", "pause", "1", "--reason", "fair")[2] == "rollout 1 is PAUSED\n"
    assert tool("rollout", "resume", "1")[2] == "rollout 1 is RUNNING\n"
    fleet.turn(20)
    code, _, told = tool("rollout", "watch", "1")
    assert (code, "COMPLETED" in told, "4 of 4 confirmed" in told) == (0, True, True)
    code, out, _ = tool("rollout", "show", "1")
    assert "gate install     passes         0 of 4 devices, where 10% may" in out
    assert "stages 1, 100%; to every device; soak 5s; patience 10m" in out
    assert tool("rollout", "rollback", "1")[2] == "rollout 1 is ROLLING_BACK\n"


def test_watch_fails_when_a_rollout_was_held(fleet: ScriptedFleet, tool) -> None:
    fleet.behaviours[1] = Behaviour("REJECTED", "arena: 90000 bytes are needed, 65536 are there")
    tool("rollout", "start", "tiny@1", "--stages", "1,100%")
    fleet.turn(5)
    code, _, told = tool("rollout", "watch", "1")
    assert code == 3
    assert "error: rollout 1 is HELD: install: 1 of 1 devices" in told
    assert "Fix: edgeops rollout show" in told
    _, out, _ = tool("rollout", "show", "1")
    assert "gate install     refuses" in out
    assert "its answer: hold" in out
    assert "arena: 90000 bytes are needed, 65536 are there" in out


def test_a_dry_run_lists_who_would_get_it(fleet: ScriptedFleet, tool) -> None:
    fleet.join("pico").target = "rp2040"
    fleet.devices["pico"].takes = ("plan",)
    fleet.devices["pico"].say_state()
    fleet.turn()
    _, out, _ = tool("rollout", "start", "tiny@1", "--dry-run", "--json")
    rows = {row["device"]: row["reason"] for row in json.loads(out)["devices"]}
    assert rows["cam-00"] is None
    assert rows["pico"] == (
        "it takes plan for rp2040; the version has tflite for linux; edgeops model show tiny@1 tells why"
    )
    assert fleet.audit() == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["start", "tiny@1", "--to", "site is berlin"], 2, "error: selector 'site is berlin'"),
        (["start", "tiny@1", "--stages", "50%,10%,100%"], 2, "do not ascend"),
        (["start", "tiny@1", "--soak", "ten"], 2, "--soak 'ten' is not a duration"),
        (["start", "tiny@1", "--rate", "fast"], 2, "rate 'fast' is not understood"),
        (["start", "tiny@1", "--window", "night"], 2, "window 'night' is not understood"),
        (["start", "tiny@1", "--gate", "speed=1"], 2, "no gate 'speed'; there are install"),
        (["start", "tiny@9"], 4, "tiny@9"),
        (["start", "tiny@1", "--to", "site = mars"], 4, "no enrolled device matches 'site = mars'"),
        (["show", "7"], 4, "no rollout 7"),
        (["abort", "7"], 4, "no rollout 7"),
    ],
)
def test_what_is_wrong_is_said_with_a_way_out(tool, arguments: list[str], code: int, says: str) -> None:
    found, _, told = tool("rollout", *arguments)
    assert (found, "Traceback" in told) == (code, False)
    assert says in told
    assert "Fix: " in told


def test_retry_names_the_devices(fleet: ScriptedFleet, tool) -> None:
    fleet.behaviours[1] = Behaviour("REJECTED", "no")
    tool("rollout", "start", "tiny@1", "--stages", "100%", "--gate", "install=1")
    fleet.turn(4)
    _, _, told = tool("rollout", "retry", "1", "--device", "cam-02")
    assert told == "rollout 1: cam-02 to try again\n"
    code, _, told = tool("rollout", "retry", "1", "--device", "cam-99")
    assert (code, "does not serve cam-99" in told) == (4, True)


def test_the_audit_trail_is_shown_and_exported(fleet: ScriptedFleet, tool) -> None:
    tool("rollout", "start", "tiny@1", "--stages", "100%")
    fleet.turn(6)
    _, out, _ = tool("audit", "log", "--rollout", "1")
    assert [line.split()[5:7] for line in out.splitlines()[1:]] == [
        ["ann", "start"],
        ["engine", "stage"],
        ["engine", "completed"],
    ]
    _, out, _ = tool("audit", "log", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["action"] for row in rows] == ["start", "stage confirmed", "completed"]
    assert json.loads(rows[0]["detail"])["plan"]["stages"] == ["100%"]


def test_apply_shows_asks_and_does(fleet: ScriptedFleet, tool) -> None:
    path = fleet.workspace.root / "fleet.toml"
    path.write_text('[[rollout]]\nmodel = "tiny@1"\nstages = ["100%"]\n')
    _, out, _ = tool("apply", str(path), "--dry-run")
    assert "start   tiny to every device  nothing  tiny@1" in out
    code, _, told = tool("apply", str(path))
    assert (code, "nobody is there to be asked" in told) == (2, True)
    assert fleet.audit() == []
    assert tool("apply", str(path), "--yes")[0] == 0
    assert tool("apply", str(path), "--yes")[2].startswith("the fleet is as")
    _, out, _ = tool("apply", str(path), "--json")
    assert json.loads(out) == {"changes": [], "applied": False}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["rollout", "show", "1"], "its answer: hold"),
        (["rollout", "watch", "1"], "gate install     refuses"),
        (["audit", "log"], "gate install"),
        (["rollout", "start", "tiny@1", "--dry-run"], "cam-00"),
    ],
    ids=["show", "watch", "audit", "dry-run"],
)
def test_no_line_is_wider_than_a_terminal_of_80_columns(
    fleet: ScriptedFleet, command: list[str], says: str
) -> None:
    fleet.behaviours[1] = Behaviour("REJECTED", "arena: 90000 bytes are needed, 65536 are there " * 2)
    fleet.start(1, stages="1,100%")
    fleet.turn(5)
    lines = lines_on_screen(in_terminal(*command, "-w", str(fleet.workspace.root)))
    assert [line for line in lines if len(line) > 80 and not line.startswith("Fix: ")] == []
    assert any(says in line for line in lines), lines
