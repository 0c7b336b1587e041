"""``edgeops audit log``: what was done, to what, and when by the clock on the wall."""

from __future__ import annotations

import json

import pytest
from support.scripted_fleet import Behaviour, ScriptedFleet

from edgeops.cli.notices import local


def log(tool, *arguments: str) -> list[dict]:
    code, out, told = tool("audit", "log", *arguments, "--json")
    assert code == 0, told
    return json.loads(out)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--rollout", "999"], "no rollout 999"), (["--device", "nosuch"], "no device 'nosuch'")],
)
def test_what_is_not_there_is_not_found(tool, arguments: list[str], says: str) -> None:
    code, _, told = tool("audit", "log", *arguments)
    assert (code, says in told, "Fix: " in told) == (4, True, True)


def test_times_are_absolute_beside_relative_and_a_start_names_its_version(fleet: ScriptedFleet, tool) -> None:
    began = fleet.clock()
    number = fleet.start(1, to="device = cam-00", stages="100%")
    fleet.clock.sleep(5)
    _, out, _ = tool("audit", "log", "--rollout", str(number))
    assert f"{local(began)} (5 s ago)" in out
    assert "tiny@1 to device = cam-00" in out
    (entry,) = log(tool)
    assert (entry["action"], entry["what"]) == ("start", "tiny@1 to device = cam-00")
    assert entry["at"].endswith("Z")


def test_attributes_are_shown_as_they_were_and_are(fleet: ScriptedFleet, tool) -> None:
    path = fleet.workspace.root / "fleet.toml"
    for site in ("berlin", "munich"):
        path.write_text(f'[device.cam-00]\nsite = "{site}"\n')
        assert tool("apply", str(path), "--yes")[0] == 0
    first, second = log(tool)
    assert first["what"].endswith(" -> site=berlin")
    assert second["what"] == "site=berlin -> site=munich"
    theirs = [row["what"] for row in log(tool, "--device", "cam-00") if row["action"] == "set attributes"]
    assert theirs == [first["what"], second["what"]]


def test_a_device_shows_what_rollouts_did_with_it(fleet: ScriptedFleet, tool) -> None:
    fleet.run(1)
    fleet.release(2)
    number = fleet.run(2)
    fleet.order(number, "roll_back")
    fleet.turn(4)
    rows = log(tool, "--device", "cam-00")
    # the device of a test is enrolled by the clock of the machine
    done = [(row["action"], row["of"], row["what"]) for row in rows if row["action"] != "enroll"]
    assert done == [
        ("offer", "rollout 1", "tiny@1"),
        ("confirmed", "rollout 1", "tiny@1"),
        ("offer", "rollout 2", "tiny@2"),
        ("reverted", "rollout 2", "tiny@2"),
    ]
    assert [row["what"] for row in rows if row["action"] == "enroll"] == ["no attributes"]
    assert len(log(tool, "--device", "cam-00", "--last", "1")) == 1
    assert "confirmed" in tool("audit", "log", "--device", "cam-00")[1]


def test_a_retry_names_its_device(fleet: ScriptedFleet, tool) -> None:
    fleet.behaviours[1] = Behaviour("REJECTED", "no room")
    number = fleet.start(1, stages="100%", gates=["install=1"])
    fleet.turn(3)
    assert tool("rollout", "retry", str(number), "--device", "cam-02")[0] == 0
    (row,) = [row for row in log(tool) if row["action"] == "retry"]
    assert (row["by"], row["of"], row["what"]) == ("ann", f"rollout {number}", "cam-02")
    rows = [row for row in log(tool, "--device", "cam-02") if row["of"] == f"rollout {number}"]
    assert {"offer", "retry"} <= {row["action"] for row in rows}
