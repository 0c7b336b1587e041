"""Another plan for a rollout that is under way: the stage it is in now, and its soak from the beginning."""

from __future__ import annotations

from sqlmodel import Session

from edgeops.core.lifecycle import ROLLOUT
from edgeops.fleet import audit
from edgeops.fleet.rollout.engine import TAKEN
from edgeops.fleet.rollout.plan import Plan, plan_from_dict
from edgeops.fleet.rollouts import deployments_of, subject
from edgeops.registry.tables import Rollout


def change_plan(session: Session, rollout: Rollout, plan: Plan, actor: str, now: float) -> None:
    """Give a rollout another plan; no soak and no approval that it asks for is skipped.

    Where the stages are others, the devices that have the version count as offered in the first stages that have room
    for them, and the rollout is in the last of these: it fills that one, and soaks it.
    """
    if plan.stages != plan_from_dict(rollout.plan).stages:
        rollout.stage = _restage(session, rollout, plan)
        if rollout.state in ("SOAKING", "NEEDS_APPROVAL"):
            rollout.state = ROLLOUT.next(ROLLOUT.next(rollout.state, "pause"), "resume")
    rollout.plan, rollout.stage_since = plan.to_dict(), now
    detail = {"plan": rollout.plan, "stage": rollout.stage + 1}
    audit.record(session, now, actor, "change plan", subject(rollout), None, detail)
    session.add(rollout)


def _restage(session: Session, rollout: Rollout, plan: Plan) -> int:
    """Say of each device that has a place in which of the new stages that is; returns the last of these."""
    rows = deployments_of(session, rollout).values()
    live = sum(row.state not in ("left", "unsuited") for row in rows)
    taken = [row for row in rows if row.state in TAKEN]
    present = 0
    for place, row in enumerate(sorted(taken, key=lambda r: (r.stage or 0, r.offered_at or 0.0)), 1):
        while present + 1 < len(plan.stages) and plan.stages[present].devices(live) < place:
            present += 1
        row.stage = present
        session.add(row)
    return present
