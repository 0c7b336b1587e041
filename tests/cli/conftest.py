"""A scripted fleet, and the command line run against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.scripted_fleet import ScriptedFleet

from edgeops.cli.main import run

Tool = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[ScriptedFleet]:
    """Four devices and version 1, and a control plane that listens."""
    made = ScriptedFleet(tmp_path / "fleet", 4)
    made.turn()
    made.release(1)
    yield made
    made.close()


@pytest.fixture
def tool(fleet: ScriptedFleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """The command line: exit code, stdout and stderr."""
    monkeypatch.setenv("EDGEOPS_PLAIN", "1")
    monkeypatch.setenv("EDGEOPS_ACTOR", "ann")
    monkeypatch.setattr("time.time", fleet.clock)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["edgeops", *arguments, "--workspace", str(fleet.workspace.root)])
        with pytest.raises(SystemExit) as end:
            run()
        printed = capsys.readouterr()
        code = end.value.code
        return int(code or 0) if not isinstance(code, str) else 1, printed.out, printed.err

    return call
