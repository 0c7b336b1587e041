"""Time in which nobody listened: a soak stands still while the control plane, or its broker, is away.

What a stage soaks for is that its devices are heard and found well. Whether this process was down or the broker was,
they were not heard.
"""

from __future__ import annotations

from sqlmodel import Session

from edgeops.fleet.rollouts import active
from edgeops.registry.counts import fact, state_fact

LISTENED = "listened"
NOTE_EVERY_S = 10.0
SMALLEST_S = 3 * NOTE_EVERY_S


def note_listening(session: Session, now: float) -> None:
    """Write down that the fleet is listened to; call it every ``NOTE_EVERY_S`` while that is so."""
    state_fact(session, LISTENED, {"at": now})


def sit_out(session: Session, now: float) -> float:
    """Move the soaks that are under way by the seconds in which nobody listened, and return those; 0 for few."""
    listened = fact(session, LISTENED).get("at")
    if listened is None or (away := now - float(listened)) < SMALLEST_S:
        return 0.0
    for rollout in active(session):
        if rollout.state == "SOAKING" and rollout.stage_since <= listened:
            rollout.stage_since += away
            session.add(rollout)
    return away


def move_noted(session: Session, jumped: float, now: float) -> None:
    """The clock was set by ``jumped`` seconds: what was noted is of the old one."""
    listened = fact(session, LISTENED).get("at")
    if listened is not None:
        note_listening(session, min(listened + jumped, now))
