"""The README's tour, executed as it stands: every command in order, the long-running ones in the background."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PORT = "18830"
BACKGROUND = ("edgeops broker run", "edgeops serve", "python -m device_agent run")
COMMAND_S = 120.0
ROLLOUT_S = 90.0
READY_S = 30.0


def tour_commands() -> list[str]:
    """The commands of the console blocks between the marks, in order."""
    text = (CHECKOUT / "README.md").read_text()
    tour = text.split("<!-- tour:begin -->")[1].split("<!-- tour:end -->")[0]
    commands = []
    for block in re.findall(r"^```console\n(.*?)^```", tour, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            assert line.startswith(("$ ", "# ")), (
                f"a console block holds commands and comments only: {line!r}"
            )
            if line.startswith("$ "):
                commands.append(line.removeprefix("$ "))
    return commands


class Terminal:
    """A folder, an environment and what runs in the background; ended by their own process ids."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = str(port)
        self.logs: list[Path] = []
        self._running: list[subprocess.Popen[bytes]] = []
        here = str(Path(sys.executable).parent)
        self._environment = {
            key: value for key, value in os.environ.items() if not key.startswith("EDGEOPS_")
        } | {"PATH": f"{here}{os.pathsep}{os.environ.get('PATH', '')}", "COLUMNS": "80"}
        # what stands in the checkout is meant, whether or not it is installed
        inherited = os.environ.get("PYTHONPATH")
        self._environment["PYTHONPATH"] = f"{CHECKOUT}{os.pathsep}{inherited}" if inherited else str(CHECKOUT)

    def run(self, command: str) -> str:
        """Run to the end; the exit code has to be 0. Returns stdout."""
        done = subprocess.run(
            self._words(command),
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\nexit code {done.returncode}\n{done.stderr}\n{self.told()}"
        return done.stdout

    def data(self, command: str) -> Any:
        """Run with ``--json``."""
        return json.loads(self.run(f"{command} --json"))

    def background(self, command: str) -> None:
        """Start, and leave it running."""
        log = self.folder / f"background-{len(self.logs)}.log"
        self.logs.append(log)
        with log.open("wb") as file:
            self._running.append(
                subprocess.Popen(
                    self._words(command),
                    cwd=self.folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                )
            )

    def check_running(self) -> None:
        """Nothing in the background has ended by itself."""
        assert all(process.poll() is None for process in self._running), self.told()

    def told(self) -> str:
        """What the background processes said."""
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')}" for log in self.logs)

    def end(self) -> list[int]:
        """End them, the last first, as the README says; returns their exit codes."""
        codes = []
        for process in reversed(self._running):
            process.terminate()
            try:
                codes.append(process.wait(20))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        self._running = []
        return codes

    def _words(self, command: str) -> list[str]:
        words = shlex.split(command.replace(PORT, self.port))
        if words[0] == "python":
            return [sys.executable, *words[1:]]
        if words[0] == "edgeops" and not (Path(sys.executable).parent / "edgeops").exists():
            return [sys.executable, "-m", *words]
        return words


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, done: Any, seconds: float, terminal: Terminal) -> None:
    """Poll until ``done()``; fails with what the processes said."""
    end = time.monotonic() + seconds
    while not done():
        terminal.check_running()
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s\n{terminal.told()}"
        time.sleep(0.3)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if not all(map(installed, ("tensorflow", "sklearn", "ai_edge_litert"))):
        pytest.skip("the tour needs the extras train, agent and demo")
    (tmp_path / "models").symlink_to(CHECKOUT / "models")
    opened = Terminal(tmp_path, free_port())
    try:
        yield opened
    finally:
        opened.end()


def installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(420)
def test_the_tour_works_as_it_stands(terminal: Terminal) -> None:
    commands = tour_commands()
    assert [c for c in commands if c.startswith(BACKGROUND)], "the tour starts nothing that stays"
    for command in commands:
        before(command, terminal)
        if command.startswith(BACKGROUND):
            terminal.background(command)
        else:
            out = terminal.run(command)
            assert len(out) == 0 or out.endswith("\n")
    terminal.check_running()

    fleet = terminal.data("edgeops fleet status -w farm")
    seen = {row["device"]: (row["connection"], row["wanted"], row["confirmed"]) for row in fleet["rows"]}
    assert seen == dict.fromkeys(("cam-01", "cam-02"), ("online", "digits@1", "digits@1"))
    assert fleet["online"] == 2
    assert fleet["ingest"] == {}, "the control plane refused something"
    report = (terminal.folder / "farm" / "report.html").read_text()
    assert "cam-01" in report and "cam-02" in report
    # agents and serve end with 0 or as interrupted; none of them crashes on the way out
    codes = terminal.end()
    assert all(code in (0, 130) for code in codes), f"{codes}\n{terminal.told()}"
    assert "Traceback" not in terminal.told()


def before(command: str, terminal: Terminal) -> None:
    """What a person sees before typing the command: the broker listens, the devices are there, it is done."""
    if command.startswith("edgeops serve"):
        wait_for("the broker", lambda: listens(int(terminal.port)), READY_S, terminal)
    elif command.startswith("edgeops device list"):
        wait_for("both devices online", lambda: online(terminal) == 2, READY_S, terminal)
    elif command.startswith("edgeops rollout show 1"):
        wait_for("rollout 1", lambda: completed(terminal), ROLLOUT_S, terminal)


def online(terminal: Terminal) -> int:
    return sum(row["connection"] == "online" for row in terminal.data("edgeops device list -w farm"))


def completed(terminal: Terminal) -> bool:
    return bool(terminal.data("edgeops rollout show 1 -w farm")["state"] == "COMPLETED")


def test_the_tour_starts_every_part() -> None:
    commands = tour_commands()
    for start in (
        "edgeops init",
        "edgeops train",
        *BACKGROUND,
        "edgeops rollout start",
        "edgeops fleet status",
    ):
        assert any(command.startswith(start) for command in commands), f"the tour lacks {start!r}"
