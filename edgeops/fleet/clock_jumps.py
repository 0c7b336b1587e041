"""A wall clock that is set: what was waited for so far counts as waited, and the rest is still to come.

Times in the registry are of the wall clock, since they outlive the process. Where that clock is set while a rollout
runs, a soak would otherwise be over at once or never, and every device would seem silent or never could.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import Session, col, select

from edgeops.fleet.active_rollouts import active
from edgeops.fleet.rollouts import deployments_of
from edgeops.registry.tables import BlobPublication, Device

SMALLEST_S = 30.0
"""What is less is a clock that is disciplined, or a process that was not given the processor for a while."""


class JumpWatch:
    """Notices that ``clock`` went another way than ``steady``, which nobody can set. Both are in seconds."""

    def __init__(self, clock: Callable[[], float], steady: Callable[[], float]) -> None:
        self._clock = clock
        self._steady = steady
        self._apart = clock() - steady()

    def jump(self) -> float:
        """By how many seconds the clock was set since the last call, 0 where it was not."""
        apart = self._clock() - self._steady()
        jumped = apart - self._apart
        if abs(jumped) < SMALLEST_S:
            return 0.0
        self._apart = apart
        return jumped


def shift_times(session: Session, jumped: float, now: float) -> None:
    """Move what running rollouts wait from by ``jumped`` seconds; ``now`` is after the jump.

    With 0 it only mends what lies in the future: the clock was set back while nobody watched.
    """

    def moved(at: float) -> float:
        return min(at + jumped, now)

    for rollout in active(session):
        rollout.stage_since, rollout.judged_since = moved(rollout.stage_since), moved(rollout.judged_since)
        rollout.credit_at = None if rollout.credit_at is None else moved(rollout.credit_at)
        # What is reported from now on belongs to the rollout, whatever the clock said when it began.
        rollout.created_at = min(rollout.created_at, now)
        for row in deployments_of(session, rollout).values():
            row.since = moved(row.since)
            row.offered_at = None if row.offered_at is None else moved(row.offered_at)
            session.add(row)
        session.add(rollout)
    for device in session.exec(select(Device).where(col(Device.last_seen_at).is_not(None))):
        device.last_seen_at = moved(device.last_seen_at or 0.0)
        session.add(device)
    for blob in session.exec(select(BlobPublication).where(col(BlobPublication.unneeded_since).is_not(None))):
        blob.unneeded_since = moved(blob.unneeded_since or 0.0)
        session.add(blob)
