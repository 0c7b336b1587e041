"""``edgeops init``: what it says comes next."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgeops.cli.main import run


def test_ones_own_folder_comes_first_then_what_there_is_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["edgeops", "init", str(tmp_path / "farm")])
    try:
        run()
    except SystemExit as end:
        assert not end.code
    *_, own, digits = capsys.readouterr().err.splitlines()
    assert own.startswith("Next: edgeops data add FOLDER --name NAME --workspace ")
    assert "subfolder a class" in own
    assert "edgeops data add sklearn:digits --name digits --workspace " in digits
