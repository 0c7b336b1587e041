"""Watching a rollout: a live picture on a terminal, a line for every change elsewhere."""

from __future__ import annotations

import time
from typing import Any

from edgeops.cli.layout import wrapped
from edgeops.cli.output import say
from edgeops.cli.progress import animated
from edgeops.control.rollout_views import rollout_facts
from edgeops.control.workspace import Workspace
from edgeops.core.errors import CheckFailed

EVERY_S = 0.5
GOOD = "COMPLETED"
BAD = ("HELD", "ABORTED", "ROLLED_BACK", "SUPERSEDED")
MAX_DEVICES = 12


def watch_rollout(workspace: Workspace, rollout_id: int, timeout_s: float) -> None:
    """Until it ends or needs a person. Raises ``CheckFailed`` when it did not complete, ``NotFoundError``."""
    deadline = time.monotonic() + timeout_s if timeout_s else None
    facts = (
        _animate(workspace, rollout_id, deadline) if animated() else _tell(workspace, rollout_id, deadline)
    )
    if facts["state"] in BAD:
        raise CheckFailed(
            f"rollout {rollout_id} is {facts['state']}: {facts['reason'] or 'no reason given'}",
            fix=f"edgeops rollout show {rollout_id}",
        )


def _over(facts: dict[str, Any], deadline: float | None) -> bool:
    return facts["state"] in (GOOD, *BAD) or (deadline is not None and time.monotonic() > deadline)


def _tell(workspace: Workspace, rollout_id: int, deadline: float | None) -> dict[str, Any]:
    told = ""
    while True:
        facts = rollout_facts(workspace, rollout_id)
        line = summary(facts)
        if line != told:
            say(line)
            told = line
        if _over(facts, deadline):
            return facts
        time.sleep(EVERY_S)


def _animate(workspace: Workspace, rollout_id: int, deadline: float | None) -> dict[str, Any]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(stderr=True), auto_refresh=False) as live:
        while True:
            facts = rollout_facts(workspace, rollout_id)
            head, *rest = picture(facts)
            lines = [*wrapped(head, live.console.width, "    "), *rest]
            # of what is too long the beginning: rollout show has it whole
            live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
            if _over(facts, deadline):
                return facts
            time.sleep(EVERY_S)


def summary(facts: dict[str, Any]) -> str:
    """One line: state, stage and counts."""
    bad = f"   {facts['failed']} failed" if facts["failed"] else ""
    why = f"   {facts['reason']}" if facts["reason"] else ""
    return (
        f"rollout {facts['rollout']}   {facts['model']}   {facts['state']}   stage {facts['stage']}   "
        f"{facts['confirmed']} confirmed{bad}{why}"
    )


def picture(facts: dict[str, Any]) -> list[str]:
    """The lines of the live picture: summary, gates that have something to say, devices that are not done."""
    lines = [summary(facts), ""]
    lines += [
        f"  gate {g['gate']:<11} {g['verdict']:<10} {g['evidence'].split('; ')[0]}" for g in facts["gates"]
    ]
    busy = [d for d in facts["devices"] if d["state"] not in ("waiting", "confirmed", "left")]
    lines += [
        "",
        *(f"  {d['device']:<16} {d['state']:<10} {d['doing']:<12} {d['reason'] or ''}" for d in busy),
    ]
    return lines[: len(lines) - len(busy) + MAX_DEVICES]
