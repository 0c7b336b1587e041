"""The command line: what it prints, what it loads, and with which status it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from support.terminal import DEADLINE_S, in_terminal

from edgeops.cli.main import app
from edgeops.control.broker import PrivateBroker

ANSI = re.compile(r"\x1b\[")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EDGEOPS") and k != "NO_COLOR"}
    return subprocess.run(
        [sys.executable, "-m", "edgeops", *arguments],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=DEADLINE_S,
        env={**clean, **environment},
    )


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


ALL = list(commands(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a dataset and three devices."""
    root = tmp_path_factory.mktemp("cli") / "farm"
    assert run("init", str(root), "--fleet", "farm", "--broker", "mqtt://127.0.0.1:9").returncode == 0
    assert run("data", "add", "sklearn:digits", "--name", "digits", "-w", str(root)).returncode == 0
    for number in range(3):
        name = f"a-camera-with-a-rather-long-name-{number}"
        assert run("device", "enroll", name, "-a", "site=somewhere-far-away", "-w", str(root)).returncode == 0
    return root


class TestHelp:
    @pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) or "edgeops" for path, _ in ALL])
    def test_begins_with_a_sentence_and_ends_with_an_example(
        self, path: tuple[str, ...], command: click.Command
    ) -> None:
        text = (command.help or "").strip()
        first, *_, last = [part.strip() for part in text.split("\n\n")]
        assert re.fullmatch(r"[A-Z][^\n]*[.\w]", " ".join(first.split())), first
        assert last.startswith(f"Example: edgeops {' '.join(path)}".rstrip()), last

    @pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) or "edgeops" for path, _ in ALL])
    def test_every_option_says_what_it_is(self, path: tuple[str, ...], command: click.Command) -> None:
        del path
        for parameter in command.params:
            assert getattr(parameter, "help", None), parameter.name

    def test_loads_nothing_heavy(self) -> None:
        code = (
            "import sys\nsys.argv = ['edgeops', '--help']\nfrom edgeops.cli.main import run\n"
            "try:\n    run()\nexcept SystemExit:\n    pass\n"
            "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=DEADLINE_S
        )
        loaded = set(done.stdout.rpartition("LOADED")[2].split())
        heavy = {
            "numpy",
            "sqlalchemy",
            "sqlmodel",
            "pydantic",
            "tensorflow",
            "ai_edge_litert",
            "cbor2",
            "cryptography",
        }
        assert loaded
        assert not loaded & (heavy | {"paho", "alembic", "scipy", "sklearn", "matplotlib"})

    @pytest.mark.parametrize("arguments", [["--help"], ["data", "--help"], ["--version"]], ids=" ".join)
    def test_is_a_success(self, arguments: list[str]) -> None:
        assert run(*arguments).returncode == 0


SHOWN = [
    ["data", "list"],
    ["data", "show", "digits"],
    ["model", "list"],
    ["device", "list"],
    ["device", "show", "a-camera-with-a-rather-long-name-0"],
    ["rollout", "list"],
    ["fleet", "status"],
    ["drift", "status"],
    ["key", "show"],
]
LISTS = [command for command in SHOWN if command[1] in ("list", "status")]


class TestOutput:
    @pytest.mark.parametrize("command", SHOWN, ids=" ".join)
    def test_json_is_one_document_and_nothing_else(self, root: Path, command: list[str]) -> None:
        done = run(*command, "-w", str(root), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) is not None

    @pytest.mark.parametrize("command", SHOWN, ids=" ".join)
    def test_piped_there_is_no_escape_sequence(self, root: Path, command: list[str]) -> None:
        done = run(*command, "-w", str(root))
        assert done.returncode == 0, done.stderr
        assert not ANSI.search(done.stdout + done.stderr)

    @pytest.mark.parametrize("command", LISTS, ids=" ".join)
    def test_no_line_is_wider_than_the_terminal(self, root: Path, command: list[str]) -> None:
        shown = in_terminal(*command, "-w", str(root))
        assert shown.strip()
        assert [line for line in shown.splitlines() if len(re.sub(r"\x1b\[[0-9;]*m", "", line)) > 80] == []

    @pytest.mark.parametrize("command", LISTS, ids=" ".join)
    def test_no_color_is_obeyed_in_a_terminal(self, root: Path, command: list[str]) -> None:
        assert not ANSI.search(in_terminal(*command, "-w", str(root), NO_COLOR="1"))

    def test_a_table_looks_like_this(self, root: Path) -> None:
        head, row = run("data", "list", "-w", str(root)).stdout.splitlines()
        assert head.split() == ["dataset", "items", "classes", "kind", "quarantined", "created"]
        assert row.split()[:3] == ["digits@1", "1797", "10"]

    def test_nothing_to_show_is_said_beside_the_data(self, root: Path) -> None:
        done = run("model", "list", "-w", str(root))
        assert (done.stdout, done.stderr) == ("", "no models yet; edgeops train makes one\n")

    @pytest.mark.parametrize("form", ["csv", "jsonl"])
    def test_other_forms(self, root: Path, form: str) -> None:
        lines = run("device", "list", "-w", str(root), "-o", form).stdout.splitlines()
        assert len(lines) == (4 if form == "csv" else 3)


class TestExitCodes:
    @pytest.mark.parametrize(
        ("code", "arguments"),
        [
            (2, ["data", "add", "sklearn:digits", "--name", "a/b"]),
            (2, ["data", "lst"]),
            (2, ["device", "enroll", "a/b"]),
            (2, ["device", "enroll", "x", "-a", "nonsense"]),
            (2, ["model", "show", "digits@x"]),
            (4, ["data", "add", "no-such-source.npz", "--name", "x"]),
            (4, ["model", "show", "nothing"]),
            (4, ["data", "show", "digits@9"]),
            (4, ["device", "show", "nobody"]),
            (4, ["rollout", "show", "9"]),
            (4, ["retrain", "run"]),
            (3, ["doctor"]),
            (5, ["serve"]),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
    )
    def test_is_the_one_of_its_kind(self, root: Path, code: int, arguments: list[str]) -> None:
        done = run(*arguments, "-w", str(root))
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1

    def test_no_workspace(self, tmp_path: Path) -> None:
        done = run("data", "list", "-w", str(tmp_path))
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.splitlines()[-1].startswith("Fix: edgeops init")

    def test_a_newer_registry(self, tmp_path: Path) -> None:
        import sqlite3

        root = tmp_path / "farm"
        run("init", str(root))
        with sqlite3.connect(root / "registry.db") as raw:
            raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.close()
        done = run("data", "list", "-w", str(root))
        assert done.returncode == 5
        assert "newer" in done.stderr


class TestInterrupt:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
    def test_serve_ends_with_130_and_no_traceback(self, tmp_path: Path, number: signal.Signals) -> None:
        root = tmp_path / "farm"
        with PrivateBroker(kind="amqtt") as broker:
            run("init", str(root), "--broker", broker.url)
            process = subprocess.Popen(
                [sys.executable, "-m", "edgeops", "serve", "-w", str(root)],
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
            )
            assert process.stderr is not None
            assert "connecting to" in process.stderr.readline()
            first = process.stderr.readline()
            process.send_signal(number)
            end = time.monotonic() + DEADLINE_S
            rest = process.stderr.read()
            assert process.wait(max(0.1, end - time.monotonic())) == 130
        assert "serving fleet" in first
        assert "Traceback" not in rest
        assert "interrupted" in rest
        assert run("device", "list", "-w", str(root)).returncode == 0
