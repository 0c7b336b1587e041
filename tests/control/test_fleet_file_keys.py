"""What ``fleet.toml`` takes: each key is in the documentation, and a wrong one is named with what it should be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeops.control.fleet_file_reading import ROLLOUT_KEYS, FleetFile, read_fleet_file
from edgeops.control.settings import Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core.errors import ConfigError, ExitCode, NotFoundError
from edgeops.fleet.rollout.plan import Plan

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rollouts.in.md"
ROLLOUT = '[[rollout]]\nmodel = "tiny@1"\n'


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = init_workspace(tmp_path_factory.mktemp("keys") / "fleet", Settings("f"))
    yield made
    made.registry.close()


def read(workspace: Workspace, text: str) -> FleetFile:
    path = workspace.root / "fleet.toml"
    path.write_text(text)
    return read_fleet_file(path, workspace)


def refused(workspace: Workspace, text: str) -> tuple[str, str]:
    """Message and hint; every message begins with the path of the file."""
    with pytest.raises(ConfigError) as caught:
        read(workspace, text)
    path = str(workspace.root / "fleet.toml")
    assert caught.value.message.startswith(path) and caught.value.fields["file"] == path
    return caught.value.message.removeprefix(path), caught.value.fix or ""


def documented() -> list[list[str]]:
    """The rows of the table of keys: key, kind of value, example, and what holds without it."""
    section = PAGE.read_text().split("## A fleet as a file")[1].split("\n## ")[0]
    table = next(part for part in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE) if "[[rollout]]" in part)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_documentation_has_every_key_with_its_value_and_no_other() -> None:
    assert [row[:3] for row in documented()] == [
        [f"`{key.name}`", key.kind, f"`{key.example}`"] for key in ROLLOUT_KEYS
    ]
    assert all(row[3] for row in documented())


def test_every_key_of_the_table_is_taken_and_changes_the_plan(workspace: Workspace) -> None:
    plain = read(workspace, ROLLOUT).rollouts[0].plan
    for key in ROLLOUT_KEYS[1:]:
        line = f"{key.name} = {key.example}\n"
        assert read(workspace, ROLLOUT + line).rollouts[0].plan != plain, line
    everything = "".join(f"{key.name} = {key.example}\n" for key in ROLLOUT_KEYS)
    wanted = read(workspace, f"[[rollout]]\n{everything}").rollouts[0]
    assert (wanted.model, wanted.plan.soak_s, wanted.plan.max_bytes) == ("digits@2", 600, 10_000_000)
    assert wanted.plan.selector_text == 'site = "berlin"' and isinstance(wanted.plan, Plan)


def test_the_example_of_the_documentation_is_taken(workspace: Workspace) -> None:
    section = PAGE.read_text().split("## A fleet as a file")[1]
    wanted = read(workspace, section.split("```toml\n")[1].split("```")[0])
    assert [entry.model for entry in wanted.rollouts] == ["digits@2"]
    assert wanted.devices == {"cam-01": {"site": "berlin", "ring": ""}}


@pytest.mark.parametrize(
    ("line", "says", "fix"),
    [
        ("soak = 10", 'soak = 10 must be a text such as "10m"', 'write soak = "10m"'),
        ("to = true", """to = true must be a text such as 'site = "berlin"'""", "write to = "),
        (
            "stages = [1, 100]",
            'stages = [1, 100] must be a list of texts such as ["1", "25%", "100%"]',
            "write",
        ),
        ('gates = "off"', 'gates = "off" must be a list of texts', "write gates = ["),
        ("shadow = -1", "shadow = -1 must be a count such as 200", "write shadow = 200"),
        ("max_bytes = true", "max_bytes = true must be a count", "write max_bytes = "),
        ('approve = "yes"', 'approve = "yes" must be true or false', "write approve = true"),
        ("rate = 1979-05-27", 'rate = "1979-05-27" must be a text such as "60/min"', "write rate"),
        ('soak = "ten"', "soak 'ten' is not a duration", 'write it as soak = "10m"'),
        ('window = "night"', "window 'night' is not understood", "write it as window = "),
        ('stages = ["1"]', "stages '1' do not end with 100%", "write it as stages = ["),
        ('to = "site is rome"', "selector 'site is rome'", "write it as 'site ="),
        ('gates = ["shadow=0.1"]', "gate shadow: there is no shadow run", "ask for one with shadow = 200"),
        ("soke = 1", "", "correct or remove 'rollout 1.soke'"),
    ],
)
def test_a_wrong_value_is_shown_with_what_it_should_be(
    workspace: Workspace, line: str, says: str, fix: str
) -> None:
    message, hint = refused(workspace, f"{ROLLOUT}{line}\n")
    assert ("rollout 1: " in message or "rollout 1." in message) and says in message
    assert hint.startswith(fix) and "--" not in message + hint


@pytest.mark.parametrize(
    ("text", "says", "fix"),
    [
        (
            "[device.cam-01]\nsite = 5\n",
            ': device cam-01: site = 5 must be a text such as "5"',
            'write site = "5"',
        ),
        ("[device.a.tags]\nx = 'y'\n", ": device a: tags = ", 'write tags = "berlin"'),
        (
            "[device]\ncam-01 = 'x'\n",
            ": device cam-01: write devices as",
            "begin it with a line [device.cam-01]",
        ),
        ("device = 1\n", ": write devices as [device.NAME]", "begin each"),
        ("[rollout]\nmodel = 'x'\n", ": write rollouts as [[rollout]]", "begin each rollout"),
        ("[[rollout]]\nto = 'a = b'\n", ": rollout 1: key 'model' is missing", "add a line such as model = "),
    ],
)
def test_a_wrong_shape_is_shown_with_the_right_one(
    workspace: Workspace, text: str, says: str, fix: str
) -> None:
    message, hint = refused(workspace, text)
    assert message.startswith(says) and hint.startswith(fix)


@pytest.mark.parametrize(
    ("text", "line", "reads"),
    [
        (f"{ROLLOUT}soak = 10m\n", 3, "soak = 10m"),
        (f"{ROLLOUT}\n\n  soak = ten # minutes\n", 5, "soak = ten # minutes"),
        ("[[rollout]\n", 1, "[[rollout]"),
        ('a = """\n\nb\n\n', 3, "b"),  # it never ends
        ("x = 1\nx = 2\n", 2, "x = 2"),
    ],
)
def test_broken_toml_is_shown_with_its_line(workspace: Workspace, text: str, line: int, reads: str) -> None:
    message, hint = refused(workspace, text)
    assert message.startswith(f", line {line}: ")
    assert hint.startswith(f"correct line {line}, which reads: {reads} (")


def test_what_cannot_be_read_is_said_with_a_way_out(workspace: Workspace) -> None:
    (workspace.root / "latin.toml").write_bytes(b"# \xfc\n")
    for name, says in (("latin.toml", "UTF-8"), ("", "cannot be read")):
        with pytest.raises(ConfigError, match=says) as caught:
            read_fleet_file(workspace.root / name, workspace)
        assert caught.value.fix
    with pytest.raises(NotFoundError, match="no such file") as missing:
        read_fleet_file(workspace.root / "nowhere.toml", workspace)
    assert (missing.value.exit_code, bool(missing.value.fix)) == (ExitCode.NOT_FOUND, True)


def test_two_rollouts_of_a_model_to_the_same_devices_are_refused_however_they_are_written(
    workspace: Workspace,
) -> None:
    text = """
    [[rollout]]
    model = "tiny@1"
    to = 'site="paris"'
    [[rollout]]
    model = "other"
    to = "site = paris"
    [[rollout]]
    model = "tiny@2"
    to = "site = paris"
    """
    message, hint = refused(workspace, text)
    assert message == ": rollout 1 and rollout 3 are both of tiny, to site = paris"
    assert hint == "keep one of them"
