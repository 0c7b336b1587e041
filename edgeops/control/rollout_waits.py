"""What a rollout waits for: devices for stage, hours or pace, a stage for its soak or for who is quiet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeops.fleet.rollout.cohort import place
from edgeops.fleet.rollout.engine import TAKEN, RolloutState, affordable, offered_target
from edgeops.registry.tables import Device

OFFERING = ("RUNNING", "SOAKING", "NEEDS_APPROVAL", "COMPLETED")
NAMED = 3


def why_waiting(
    state: RolloutState, gone: frozenset[str], device_bytes: int, bytes_of: Mapping[str, int], now: float
) -> dict[str, str]:
    """Why each waiting device was not offered the version yet; ``gone``: away, so they come last in a stage.

    ``device_bytes`` and ``bytes_of`` are what the version costs, as in the engine's facts.
    """
    waiting = sorted(
        (d.device_id for d in state.deployments.values() if d.state == "waiting"),
        key=lambda device_id: (device_id in gone, place(state.id, device_id), device_id),
    )
    if state.lifecycle not in OFFERING:
        return dict.fromkeys(waiting, f"the rollout is {state.lifecycle}")
    taken = sum(d.state in TAKEN for d in state.deployments.values())
    room = offered_target(state) - taken
    paid = affordable(state, waiting, device_bytes, bytes_of)
    return {
        device_id: _held_up(state, rank, taken, rank < paid, now)
        if rank < room
        else _stage(state, taken + rank + 1)
        for rank, device_id in enumerate(waiting)
    }


def what_is_left(
    state: RolloutState, devices: Mapping[str, Device], patience_s: float, now: float
) -> dict[str, Any]:
    """Seconds that are left of the stage's soak, and of the patience with the device that answered last; in words too.

    Patience runs with devices that are not online: one that is online speaks up in time.
    """
    soak = patience = None
    words = None
    if state.lifecycle == "SOAKING":
        soak = max(0.0, state.plan.soak_s - (now - state.stage_since))
        words = f"soaks for {time_words(soak)} more"
    elif state.lifecycle in ("HELD", "PAUSED"):
        verbs = " or ".join(f"edgeops rollout {verb} {state.id}" for verb in ("resume", "rollback"))
        words = f"waits for a person: {verbs}"
    elif state.lifecycle in ("RUNNING", "ROLLING_BACK"):
        doing = "confirm" if state.lifecycle == "RUNNING" else "go back"
        awaited = sorted(
            d.device_id for d in state.deployments.values() if d.state in ("offered", "reverting")
        )
        if awaited:
            words = f"waits for {_names(awaited)} to {doing}"
        left = {
            device_id: max(0.0, patience_s - (now - _heard(state, devices[device_id])))
            for device_id in awaited
            if not devices[device_id].online
        }
        if left and words is not None:
            patience = max(left.values())
            words += f"; patience with {_names(sorted(left))} ends in {time_words(patience)}"
    return {"progress": words, "soak_left_s": soak, "patience_left_s": patience}


def time_words(seconds: float) -> str:
    """``45 s``, ``12 min``, ``5 h``: rounded up, so that what is left is never called nothing."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{-int(-seconds // size)} {unit}"
    return f"{-int(-seconds // 86_400)} d"


def _heard(state: RolloutState, device: Device) -> float:
    deployment = state.deployments[device.id]
    return max(device.last_seen_at or 0.0, deployment.since, deployment.offered_at or 0.0)


def _held_up(state: RolloutState, rank: int, taken: int, paid: bool, now: float) -> str:
    """What holds up a device for which the stage has room."""
    plan = state.plan
    if plan.hours is not None and not plan.hours.open_at(now):
        opens = f"{plan.hours.start // 60:02d}:{plan.hours.start % 60:02d}"
        return f"its hours open at {opens} {plan.hours.zone}"
    if not paid:
        return f"the byte budget of {plan.max_bytes} is spent"
    if plan.pace is not None:
        confirmed = sum(d.state == "confirmed" for d in state.deployments.values())
        if int(state.credit.refill(plan.pace, taken, confirmed, now).offers) <= rank:
            return f"its pace is {plan.rate_text}"
    return "comes next"


def _stage(state: RolloutState, number: int) -> str:
    """In which stage the device comes that is the ``number``-th to get the version."""
    live = sum(d.state not in ("left", "unsuited") for d in state.deployments.values())
    stages = state.plan.stages
    for index in range(state.stage + 1, len(stages)):
        if stages[index].devices(live) >= number:
            return f"waits for its stage, {index + 1} of {len(stages)}"
    return "waits for its stage"


def _names(device_ids: list[str]) -> str:
    more = len(device_ids) - NAMED
    return ", ".join(device_ids[:NAMED]) + (f" and {more} more" if more > 0 else "")
