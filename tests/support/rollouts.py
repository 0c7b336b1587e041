"""Rollouts for the engine alone: a plan, a state that runs it, and the offers among what the engine does."""

from __future__ import annotations

from edgeops.fleet.rollout.engine import Action, Offer, RolloutState
from edgeops.fleet.rollout.plan import Plan
from edgeops.fleet.rollout.stages import parse_stages

NOW = 1_000_000.0


def plan(stages: str = "1,50%,100%", **others: object) -> Plan:
    return Plan("", parse_stages(stages), **others)  # type: ignore[arg-type]


def begin(how: Plan | None = None, rollout_id: int = 1) -> RolloutState:
    return RolloutState(rollout_id, "RUNNING", how or plan(), stage_since=NOW)


def offers(actions: list[Action]) -> list[str]:
    return [action.device_id for action in actions if isinstance(action, Offer)]
