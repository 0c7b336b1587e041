"""``edgeops apply``: what is shown, the exit codes for CI, and that a dry run fails as the real run does."""

from __future__ import annotations

import json

import pytest
from support.scripted_fleet import ScriptedFleet
from support.terminal import in_terminal, lines_on_screen


def written(fleet: ScriptedFleet, text: str) -> str:
    path = fleet.workspace.root / "fleet.toml"
    path.write_text(text)
    return str(path)


def device(fleet: ScriptedFleet, site: str) -> str:
    return written(fleet, f'[device.cam-00]\nsite = "{site}"\n')


def test_check_says_by_its_exit_code_whether_something_differs(fleet: ScriptedFleet, tool) -> None:
    path = device(fleet, "berlin")
    code, out, told = tool("apply", path, "--check")
    assert (code, "site: not set -> berlin" in out) == (3, True)
    assert f"error: the fleet differs from {path} in 1 place\nFix: edgeops apply" in told
    code, out, told = tool("apply", path, "--dry-run")
    assert (code, "site: not set -> berlin" in out, told) == (0, True, "")
    assert fleet.audit() == []
    assert tool("apply", path, "--yes")[0] == 0
    assert tool("apply", path, "--check")[::2] == (0, f"the fleet is as {path} says\n")


@pytest.mark.parametrize("more", [["--yes"], ["--dry-run"], ["--yes", "--json"]])
def test_check_changes_nothing_whatever_else_is_asked(fleet: ScriptedFleet, tool, more: list[str]) -> None:
    path = device(fleet, "berlin")
    code, out, _ = tool("apply", path, "--check", *more)
    assert (code, fleet.audit()) == (3, [])
    if "--json" in more:
        assert json.loads(out) == {
            "changes": [
                {
                    "change": "set attributes",
                    "of": "device cam-00",
                    "now": "none",
                    "wanted": "site: not set -> berlin",
                    "differs": [{"name": "site", "now": None, "wanted": "berlin"}],
                }
            ],
            "applied": False,
        }


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nobody_selected_fails_alike_in_all_three(fleet: ScriptedFleet, tool, more: list[str]) -> None:
    path = written(fleet, '[[rollout]]\nmodel = "tiny@1"\nto = "site = mars"\n[device.cam-00]\nring = "a"\n')
    found = {tool("apply", path, way, *more) for way in ("--dry-run", "--check", "--yes")}
    ((code, out, told),) = found
    assert (code, out) == (4, "")
    assert told.startswith(
        "error: no enrolled device matches 'site = mars'; no device has the attribute 'site'"
    )
    assert told.splitlines()[-1].startswith("Fix: edgeops device list")
    assert fleet.audit() == []


def test_attributes_of_the_file_count_for_whom_it_selects(fleet: ScriptedFleet, tool) -> None:
    rollout = '[[rollout]]\nmodel = "tiny@1"\nto = "site = mars"\n'
    path = written(fleet, rollout + '[device.cam-00]\nsite = "mars"\n')
    assert tool("apply", path, "--dry-run")[0] == 0
    path = written(fleet, rollout + '[device.cam-00]\nsite = "venus"\n')
    found = {tool("apply", path, way) for way in ("--dry-run", "--yes")}
    ((code, _, told),) = found
    assert (code, told.splitlines()[0]) == (4, "error: no enrolled device matches 'site = mars'")


def test_old_and_new_attributes_reach_the_audit_trail(fleet: ScriptedFleet, tool) -> None:
    for site in ("berlin", "hamburg"):
        assert tool("apply", device(fleet, site), "--yes")[0] == 0
    tool("apply", written(fleet, '[device.cam-00]\nsite = ""\n'), "--yes")
    rows = json.loads(tool("audit", "log", "--json")[1])
    assert [row["what"] for row in rows] == [
        "no attributes -> site=berlin",
        "site=berlin -> site=hamburg",
        "site=hamburg -> no attributes",
    ]


def test_a_mistake_in_the_file_is_told_with_its_place_and_a_way_out(fleet: ScriptedFleet, tool) -> None:
    code, _, told = tool("apply", written(fleet, '[[rollout]]\nmodel = "tiny@1"\nsoak = 10m\n'))
    assert (code, "fleet.toml, line 3: " in told) == (2, True)
    assert "Fix: correct line 3, which reads: soak = 10m" in told
    code, _, told = tool("apply", written(fleet, '[[rollout]]\nmodel = "tiny@1"\nsoak = 10\n'))
    assert (code, 'rollout 1: soak = 10 must be a text such as "10m"\nFix: ' in told) == (2, True)


def test_what_changes_is_never_left_out_in_a_terminal_of_80_columns(fleet: ScriptedFleet) -> None:
    words = "a-rather-long-value-of-an-attribute-without-a-space"
    rollout = f'[[rollout]]\nmodel = "tiny@1"\nto = \'device like "cam-*" and site != "{words}"\'\n'
    path = written(fleet, f'{rollout}[device.cam-00]\nsite = "{words}"\nring = "canary"\n')
    shown = in_terminal("apply", path, "--dry-run", "-w", str(fleet.workspace.root))
    lines = lines_on_screen(shown)
    assert [line for line in lines if len(line) > 80] == []
    assert "wanted" in lines[0] and "left out" not in shown
    assert any("canary" in line for line in lines)
