"""What is said beside a command's answer: warnings, below it and on stderr, and times as a clock shows them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from edgeops.cli.output import ago, iso, tell
from edgeops.control.listening import not_listening
from edgeops.control.workspace import Workspace


def local(seconds: float) -> str:
    """A time as the clock on the wall shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def listening_notices(workspace: Workspace, people: bool) -> list[str]:
    """A warning where ``edgeops serve`` does not listen, its time for people or for data."""
    return not_listening(workspace, (lambda at: f"{local(at)}, {ago(at)}") if people else iso)


def warn(warnings: Iterable[str]) -> None:
    """Each on lines of its own."""
    for warning in warnings:
        tell(f"warning: {warning}")
