"""Host tools of the firmware that answer a line of JSON to each line that they are given."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_stubs"
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def make(target: str, *settings: str) -> Path:
    """A target of the firmware's build, one at a time however many ask."""
    with (FIRMWARE / "build" / ".host.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-C", FIRMWARE, *settings, target]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return FIRMWARE / target


def make_judge() -> Path:
    """The codec that zcbor generates; it wants zcbor from a package index, and is skipped where there is none."""
    try:
        return make("build/judge/wire_judge")
    except AssertionError:
        if IN_CI or (FIRMWARE / "build/judge/env/.complete").exists():
            raise
        pytest.skip("zcbor could not be installed. Fix: make -C firmware_stubs judge, with a network")


class LineTool:
    """A running tool."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, *words: object) -> dict[str, Any]:
        """What the tool answers to a command; fails with what the sanitizers said where it ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        command = " ".join(str(word) for word in words)
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer.endswith("\n"):
            assert self._process.stderr is not None
            pytest.fail(f"{self._program.name} ended at {command[:3000]!r}: {self._process.stderr.read()}")
        return dict(json.loads(answer))

    def close(self) -> int:
        """End it; its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(10)


@contextmanager
def running(program: Path) -> Iterator[LineTool]:
    """A tool that runs for the time of some tests and ends well."""
    tool = LineTool(program)
    yield tool
    assert tool.close() == 0, "the tool did not end well"


def hexed(raw: bytes | str) -> str:
    """Bytes or text as a tool takes them."""
    return (raw.encode() if isinstance(raw, str) else raw).hex() or "-"
