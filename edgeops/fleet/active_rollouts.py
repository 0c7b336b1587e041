"""Which rollouts a turn has to look at: what is over, and what nobody is served by any more, costs nothing."""

from __future__ import annotations

from sqlmodel import Session, col, select

from edgeops.fleet.membership import CLAIMING
from edgeops.registry.tables import Deployment, ModelVersion, Rollout

UNFINISHED = ("RUNNING", "SOAKING", "NEEDS_APPROVAL", "HELD", "PAUSED", "ROLLING_BACK")


def active(session: Session) -> list[Rollout]:
    """Rollouts that a step may do something for, oldest first: the unfinished, the completed that still stand, and
    those that are over while devices are still on their way back.
    """
    returning = select(Deployment.rollout_id).where(Deployment.state == "reverting")
    over = col(Rollout.state).in_(("ABORTED", "ROLLED_BACK")) & col(Rollout.id).in_(returning)
    query = (
        select(Rollout)
        .where(col(Rollout.state).in_((*UNFINISHED, "COMPLETED")) | over)
        .order_by(col(Rollout.id))
    )
    found = list(session.exec(query))
    retired = _retired(session, found)
    return [rollout for rollout in found if rollout.id not in retired]


def _retired(session: Session, rollouts: list[Rollout]) -> set[int | None]:
    """Completed rollouts that serve nobody any more: a newer one of the model has the same selection, and all of their
    devices have left. They stand again by themselves when that one is taken back.
    """
    versions = {
        row.id: row.model
        for row in session.exec(
            select(ModelVersion).where(col(ModelVersion.id).in_({r.model_version_id for r in rollouts}))
        )
    }
    serving = set(session.exec(select(Deployment.rollout_id).where(Deployment.state != "left").distinct()))
    newest: dict[tuple[str, str], int] = {}
    for rollout in rollouts:
        if rollout.state in CLAIMING:
            newest[versions[rollout.model_version_id], rollout.plan.get("to", "")] = rollout.id or 0
    return {
        rollout.id
        for rollout in rollouts
        if rollout.state == "COMPLETED"
        and rollout.id not in serving
        and newest[versions[rollout.model_version_id], rollout.plan.get("to", "")] != rollout.id
    }
