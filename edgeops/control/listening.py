"""Whether ``edgeops serve`` listens to the fleet: without it nothing that a person asks for is carried out."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from edgeops.control.workspace import Workspace
from edgeops.fleet.absence import LISTENED
from edgeops.registry.counts import fact

SILENT_S = 60.0
"""``serve`` writes every ten seconds that it listens: what is older than this was not written by one that runs."""


def listened_at(workspace: Workspace) -> float | None:
    """When the fleet was last listened to, in seconds; None before the first time."""
    with workspace.registry.reading() as session:
        at = fact(session, LISTENED).get("at")
    return None if at is None else float(at)


def not_listening(workspace: Workspace, words: Callable[[float], str | None]) -> list[str]:
    """A warning where nobody listens, else nothing; ``words`` says a time as its reader wants it."""
    at = listened_at(workspace)
    if at is not None and time.time() - at <= SILENT_S:
        return []
    since = f"since {words(at)}" if at is not None else "it never was"
    return [f"edgeops serve is not listening ({since}): start it with {command(workspace, 'serve')}"]


def command(workspace: Workspace, verb: str, *arguments: object) -> str:
    """A command line that names the workspace, unless it is the folder in which one is."""
    words = ["edgeops", *verb.split()]
    if workspace.root != Path():
        words += ["-w", shlex.quote(str(workspace.root))]
    return " ".join([*words, *map(str, arguments)])
