"""Progress bars: drawn when there is something to show, never before an error."""

from __future__ import annotations

import io

import pytest
from rich import console as rich_console

from edgeops.cli import progress
from edgeops.cli.progress import Progress


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal on stderr gets."""
    screen = io.StringIO()
    console = rich_console.Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(progress, "animated", lambda: True)
    monkeypatch.setattr(rich_console, "Console", lambda **_: console)
    return screen


def test_nothing_is_drawn_before_the_first_update(shown: io.StringIO) -> None:
    with pytest.raises(ValueError, match="no such dataset"), Progress("train", 0) as bar:
        bar.resize(80)
        raise ValueError("no such dataset")
    assert shown.getvalue() == ""


def test_the_bar_has_the_total_that_became_known(shown: io.StringIO) -> None:
    with Progress("train", 0) as bar:
        bar.resize(80)
        bar.update(0, "preparing")
        assert "0/0" not in shown.getvalue()
        bar.update(3, "val 0.9")
    assert "3/80" in shown.getvalue() and "val 0.9" in shown.getvalue()
