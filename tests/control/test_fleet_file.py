"""``fleet.toml``: what differs is shown, applied once it is so, and what is wrong names entry and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.scripted_fleet import ScriptedFleet

from edgeops.control.fleet_file import apply_file, differences
from edgeops.control.fleet_file_reading import read_fleet_file
from edgeops.core.errors import CheckFailed, ConfigError, ExitCode, NotFoundError

FILE = """
[[rollout]]
model = "tiny@1"
to = 'site = "berlin"'
stages = ["1", "100%"]
soak = "10m"
gates = ["accuracy=0.02:roll_back"]

[device.cam-00]
site = "berlin"
"""


@pytest.fixture
def fleet(tmp_path: Path):
    made = ScriptedFleet(tmp_path / "fleet", 2)
    made.turn()
    made.release(1)
    made.release(2)
    yield made
    made.close()


def shown(fleet: ScriptedFleet, text: str) -> list[tuple[str, str, str, str]]:
    path = fleet.workspace.root / "fleet.toml"
    path.write_text(text)
    with fleet.workspace.registry.reading() as session:
        found = differences(session, read_fleet_file(path, fleet.workspace))
    return [(change.what, change.subject, change.now, change.wanted) for change in found]


def applied(fleet: ScriptedFleet, text: str) -> None:
    path = fleet.workspace.root / "fleet.toml"
    path.write_text(text)
    apply_file(fleet.workspace, read_fleet_file(path, fleet.workspace), fleet.clock)


def test_what_differs_is_shown_then_done_and_then_nothing_differs(fleet: ScriptedFleet) -> None:
    assert shown(fleet, FILE) == [
        ("set attributes", "device cam-00", "none", "site: not set -> berlin"),
        ("start", 'tiny to site = "berlin"', "nothing", "tiny@1"),
    ]
    applied(fleet, FILE)
    assert shown(fleet, FILE) == []
    assert [(entry.action, entry.subject) for entry in fleet.audit()] == [
        ("set attributes", "device cam-00"),
        ("start", "rollout 1"),
    ]
    fleet.turn(4)
    assert fleet.runs(1) == {"cam-00"}


def test_another_version_is_another_rollout_and_the_same_with_other_words_is_a_changed_plan(
    fleet: ScriptedFleet,
) -> None:
    applied(fleet, FILE)
    assert shown(fleet, FILE.replace("10m", "1m")) == [
        ("change plan", "rollout 1", "nothing; rollout 1 of tiny@1 is RUNNING", "soak: 10m -> 1m")
    ]
    applied(fleet, FILE.replace("10m", "1m"))
    assert fleet.row(1).plan["soak_s"] == 60
    assert shown(fleet, FILE.replace("tiny@1", "tiny@2")) == [
        ("start", 'tiny to site = "berlin"', "nothing; rollout 1 of tiny@1 is RUNNING", "tiny@2")
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (FILE.replace("soak", "soke"), "soke"),
        (FILE.replace('model = "tiny@1"\n', ""), "rollout 1: key 'model' is missing"),
        (FILE.replace('"100%"', '"50%"'), "rollout 1: stages '1,50%' do not end with 100%"),
        (FILE.replace("'site = ", "'site is "), "rollout 1: selector"),
        (FILE.replace("accuracy=0.02", "speed=0.02"), "rollout 1: no gate 'speed'"),
        (FILE.replace('"10m"', "600"), 'rollout 1: soak = 600 must be a text such as "10m"'),
        (
            FILE.replace('site = "berlin"\n', "site = 3\n"),
            'device cam-00: site = 3 must be a text such as "3"',
        ),
        ("rollout = 3", "as \\[\\[rollout\\]\\]"),
        ("[[rollout]", "fleet.toml"),
    ],
)
def test_what_is_wrong_is_named(fleet: ScriptedFleet, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        shown(fleet, text)


@pytest.mark.parametrize("text", [FILE.replace("tiny@1", "tiny@9"), FILE.replace("cam-00", "cam-99")])
def test_what_is_not_there_is_named_and_nothing_is_done(fleet: ScriptedFleet, text: str) -> None:
    with pytest.raises(NotFoundError):
        applied(fleet, text)
    assert fleet.audit() == []


def test_what_was_taken_back_is_not_started_again_by_a_file_that_is_applied_again(
    fleet: ScriptedFleet,
) -> None:
    applied(fleet, FILE)
    fleet.turn(4)
    fleet.order(1, "roll_back", "complaints")
    fleet.turn(4)
    with pytest.raises(CheckFailed, match="tiny@1 was taken back by rollout 1: complaints") as caught:
        applied(fleet, FILE)
    assert caught.value.exit_code == ExitCode.CHECK_FAILED == 3
    assert shown(fleet, FILE.replace("tiny@1", "tiny@2")) == [
        ("start", 'tiny to site = "berlin"', "tiny@1 on 1 of 1", "tiny@2")
    ]
