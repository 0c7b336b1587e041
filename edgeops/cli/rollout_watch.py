"""Watching a rollout: a live picture on a terminal, a line for every change elsewhere."""

from __future__ import annotations

import time
from typing import Any

from edgeops.cli.layout import wrapped
from edgeops.cli.notices import listening_notices
from edgeops.cli.output import say
from edgeops.cli.progress import animated
from edgeops.cli.rollout_shown import gate_lines
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
            fix=_way_on(facts),
        )
    if facts["state"] != GOOD:
        waits = f": {facts['progress'] or facts['reason']}" if facts["progress"] or facts["reason"] else ""
        raise CheckFailed(
            f"rollout {rollout_id} is still {facts['state']} after {timeout_s:g} s{waits}",
            fix=f"go on with edgeops rollout watch {rollout_id}, or see edgeops rollout show {rollout_id}",
        )


def _way_on(facts: dict[str, Any]) -> str:
    """The commands that a person has, now that it did not complete."""
    number = facts["rollout"]
    show = f"edgeops rollout show {number}"
    if facts["state"] != "HELD":
        return show
    return f"{show}, then edgeops rollout resume {number} or edgeops rollout rollback {number}"


def _over(facts: dict[str, Any], deadline: float | None) -> bool:
    return facts["state"] in (GOOD, *BAD) or (deadline is not None and time.monotonic() > deadline)


def _seen(workspace: Workspace, rollout_id: int) -> dict[str, Any]:
    """The rollout, with a warning where nobody carries it out."""
    return {**rollout_facts(workspace, rollout_id), "warnings": listening_notices(workspace, people=True)}


def _tell(workspace: Workspace, rollout_id: int, deadline: float | None) -> dict[str, Any]:
    told, warned = "", False
    while True:
        facts = _seen(workspace, rollout_id)
        line = summary(facts)
        if line != told:
            # what is left changes all the time, so it makes no line of its own
            say(line + (f"   {facts['progress']}" if facts["progress"] else ""))
            told = line
        if facts["warnings"] and not warned:
            say(f"warning: {facts['warnings'][0]}")
        warned = bool(facts["warnings"])
        if _over(facts, deadline):
            return facts
        time.sleep(EVERY_S)


def _animate(workspace: Workspace, rollout_id: int, deadline: float | None) -> dict[str, Any]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(stderr=True), auto_refresh=False) as live:
        while True:
            facts = _seen(workspace, rollout_id)
            lines = picture(facts, live.console.width)
            live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
            if _over(facts, deadline):
                return facts
            time.sleep(EVERY_S)


def summary(facts: dict[str, Any]) -> str:
    """One line: state, stage and counts."""
    why = f"   {facts['reason']}" if facts["reason"] else ""
    return _counts(facts) + why


def _counts(facts: dict[str, Any]) -> str:
    bad = f"   {facts['failed']} failed" if facts["failed"] else ""
    return (
        f"rollout {facts['rollout']}   {facts['model']}   {facts['state']}   stage {facts['stage']}   "
        f"{facts['confirmed']} confirmed{bad}"
    )


def picture(facts: dict[str, Any], width: int) -> list[str]:
    """The lines of the live picture, none wider than ``width`` and none cut.

    First what a person is to know: how it stands, why, what it waits for. Then gates, and devices that are not done.
    """
    lines = wrapped(_counts(facts), width, "    ")
    told = [facts["reason"], facts["progress"], *(f"warning: {warning}" for warning in facts["warnings"])]
    for text in told:
        lines += wrapped(f"  {text}", width, "    ") if text else []
    lines.append("")
    for judged in facts["gates"]:
        brief = judged if judged["verdict"] == "refuses" else _brief(judged)
        lines += [f"  {line}" for line in gate_lines(brief, width - 2)]
    lines.append("")
    busy = [d for d in facts["devices"] if d["state"] not in ("waiting", "confirmed", "left")]
    for device in busy[:MAX_DEVICES]:
        lines += wrapped(f"  {device['device']:<16} {device['state']:<10} {device['doing']}", width, "    ")
        lines += wrapped(f"    {device['reason']}", width, "      ") if device["reason"] else []
    if len(busy) > MAX_DEVICES:
        lines.append(f"  and {len(busy) - MAX_DEVICES} more")
    return [line.rstrip() for line in lines]


def _brief(judged: dict[str, Any]) -> dict[str, Any]:
    """Of a gate that does not refuse, only the figures: the picture is to fit."""
    return {**judged, "evidence": judged["evidence"].split("; ")[0].split(", after ")[0]}
