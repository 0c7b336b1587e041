"""Time in which nobody listened: a soak stands still while the control plane, or its broker, is away.

What a stage soaks for is that its devices are heard and found well. Whether this process was down or the broker was,
they were not heard.
"""

from __future__ import annotations

from sqlmodel import Session

from edgeops.fleet.active_rollouts import active
from edgeops.registry.counts import fact, state_fact

LISTENED = "listened"
NOTE_EVERY_S = 10.0
TOLD_S = 3 * NOTE_EVERY_S
"""What is less is a restart, or a broker that comes and goes: not worth a line."""


def note_listening(session: Session, now: float) -> None:
    """Write down that the fleet is listened to; call it every ``NOTE_EVERY_S`` while that is so."""
    state_fact(session, LISTENED, {"at": now})


def sit_out(session: Session, now: float) -> float:
    """Let the soaks that are under way go on from where they were when the fleet was last listened to.

    Returns for how many seconds nobody listened; what was not noted any more counts as not listened to. A soak that
    began after the last note begins anew.
    """
    listened = fact(session, LISTENED).get("at")
    if listened is None or (away := now - float(listened)) <= 0:
        return 0.0
    for rollout in active(session):
        if rollout.state == "SOAKING":
            rollout.stage_since = now - max(0.0, float(listened) - rollout.stage_since)
            session.add(rollout)
    return away


def move_noted(session: Session, jumped: float, now: float) -> None:
    """The clock was set by ``jumped`` seconds: what was noted is of the old one."""
    listened = fact(session, LISTENED).get("at")
    if listened is not None:
        note_listening(session, min(listened + jumped, now))
