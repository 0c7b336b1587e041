"""The rollout engine: a function of (state, facts, now) to (state, actions). No clock, no network, no database.

A stage advances on what devices have confirmed, never on what was sent. Stages go by the devices that are selected
at the moment: one that joins later is offered the version as soon as the current stage has room for it, and nothing
is ever taken away because another joined. What a device is to this rollout follows ``DEPLOYMENT``, the rollout
itself ``ROLLOUT`` of ``edgeops.core.lifecycle``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from edgeops.core.lifecycle import DEPLOYMENT, ROLLOUT
from edgeops.fleet.rollout.cohort import place
from edgeops.fleet.rollout.gates import ANSWERS, Answer
from edgeops.fleet.rollout.pace import Credit
from edgeops.fleet.rollout.plan import Plan

ADVANCING = frozenset({"RUNNING", "SOAKING", "NEEDS_APPROVAL"})
WAITING = frozenset({"HELD", "PAUSED"})
JUDGED = ADVANCING | WAITING | {"COMPLETED"}
OVER = frozenset({"ABORTED", "ROLLING_BACK", "ROLLED_BACK", "SUPERSEDED"})
"""Rollouts that offer their version to nobody any more."""
SETTLED = frozenset({"confirmed", "failed", "unsuited", "left", "reverted", "stuck"})
TAKEN = frozenset({"offered", "confirmed", "failed", "reverting", "reverted", "stuck"})
"""Deployments that use up a place of their stage."""
TAKEN_BACK = frozenset({"reverting", "reverted", "stuck"})
UNDECIDED = frozenset({"waiting", "offered"})
OFFERED = frozenset({"waiting", "offered", "confirmed", "failed"})
"""What can be taken back; one that waits was offered the version before, where it is to try again."""
LEFT = "no longer selected, or served by a newer rollout"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One device of a rollout; ``stage`` is the one in which it was offered the version, ``since`` in seconds.

    ``first``: it ran no version of the model before, so there is nothing to go back to. ``excused``: it failed before a
    person looked and resumed, so it uses up no place of its stage.
    """

    device_id: str
    state: str = DEPLOYMENT.initial
    stage: int | None = None
    reason: str | None = None
    since: float = 0.0
    offered_at: float | None = None
    first: bool = False
    excused: bool = False


@dataclass(frozen=True, slots=True)
class RolloutState:
    """``stage`` counts from 0; ``stage_since`` is when it began to soak, in seconds."""

    id: int
    lifecycle: str
    plan: Plan
    stage: int = 0
    stage_since: float = 0.0
    credit: Credit = field(default_factory=Credit)
    deployments: Mapping[str, Deployment] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a device itself says: ``confirmed``, ``failed``, ``tries_again``, ``lost`` or ``restored``."""

    device_id: str
    event: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A gate says no, and what it asks for."""

    gate: str
    answer: Answer
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the world: the selected devices with the reason why the version does not suit one (None: it
    does), what devices said, which are quiet (have not answered for the plan's patience), which of the selected have
    been away for that long, before anything was offered to them, what gates refuse, and which lean to that.
    """

    members: Mapping[str, str | None]
    heard: tuple[Heard, ...] = ()
    quiet: frozenset[str] = frozenset()
    away: frozenset[str] = frozenset()
    refusals: tuple[Refusal, ...] = ()
    undecided: tuple[str, ...] = ()
    device_bytes: int = 0  # what the version costs a device that has nothing of it
    bytes_of: Mapping[str, int] = field(default_factory=dict)  # of devices that take another artifact of it


@dataclass(frozen=True, slots=True)
class Offer:
    """Make the rollout's version the desired one of this device."""

    device_id: str


@dataclass(frozen=True, slots=True)
class Revert:
    """Make the version that the device had before the desired one again."""

    device_id: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The rollout took a row of its lifecycle table; ``by`` is a gate's name, ``engine`` or a person."""

    event: str
    source: str
    target: str
    stage: int
    by: str
    reason: str | None = None


Action = Offer | Revert | Moved
Command = Literal["pause", "resume", "abort", "approve", "roll_back"]


def step(state: RolloutState, facts: Facts, now: float) -> tuple[RolloutState, list[Action]]:
    """Take what is known, then offer, advance, hold or take back. Doing it twice with the same facts does nothing,
    but for going past a failure that was news the first time.
    """
    if state.lifecycle in ("DRAFT", "SUPERSEDED"):
        return state, []
    if state.lifecycle in ("ABORTED", "ROLLED_BACK"):
        # All that is left is to hear of those that are still on their way back.
        back = [(h.device_id, h.event, h.reason) for h in facts.heard if h.event == "restored"]
        return _events(state, back, now), []
    before, state = state, _take(state, facts, now)
    if state.lifecycle == "ROLLING_BACK":
        return _rolling_back(state, facts, now)
    refusal = max(facts.refusals, key=lambda r: ANSWERS.index(r.answer), default=None)
    if refusal is not None and _heeds(state, refusal):
        return _answer(state, refusal, now)
    actions: list[Action] = []
    if state.lifecycle in ("RUNNING", "SOAKING", "NEEDS_APPROVAL", "COMPLETED"):
        state, actions = _offer(state, facts, now)
    # Gates judged what was known before this step: a failure that is news they have to see before it is gone past.
    news = _failed(state) - _failed(before)
    while (moved := _advance(state, facts, now)) is not None:
        if news and state.lifecycle == "SOAKING":
            break
        state, event = moved
        actions.append(event)
        if state.lifecycle == "RUNNING":
            state, more = _offer(state, facts, now)
            actions += more
    return state, actions


def _failed(state: RolloutState) -> set[str]:
    return {device_id for device_id, deployment in state.deployments.items() if deployment.state == "failed"}


def _heeds(state: RolloutState, refusal: Refusal) -> bool:
    """One that waits for a person still takes a bad version back; one that has completed stops going on."""
    if state.lifecycle in WAITING:
        return refusal.answer in ("abort", "roll_back")
    return state.lifecycle in ADVANCING or (state.lifecycle == "COMPLETED" and refusal.answer == "hold")


def without(state: RolloutState, device_ids: Iterable[str], now: float) -> RolloutState:
    """These devices have left, which the last step did not know yet: what is ordered does not concern them."""
    return _events(state, [(device_id, "left", LEFT) for device_id in device_ids], now)


def command(
    state: RolloutState, name: Command, by: str, reason: str | None, now: float
) -> tuple[RolloutState, list[Action]]:
    """What a person asks for; raises ``LifecycleError`` where the rollout's state does not allow it."""
    match name:
        case "abort":
            state, moved = _move(state, "abort", by, reason)
            state, reverts = _revert(state, UNDECIDED, now)
            return state, [moved, *reverts]
        case "roll_back":
            state, moved = _move(state, "roll_back", by, reason)
            state, reverts = _revert(state, OFFERED, now)
            return state, [moved, *reverts]
        case "approve":
            state, moved = _move(state, "approve", by, reason)
            return replace(state, stage=state.stage + 1, stage_since=now), [moved]
        case "resume":
            # What a gate took back with its stage was looked at: it is offered again.
            state, moved = _move(state, "resume", by, reason)
            back = [d.device_id for d in state.deployments.values() if d.state in TAKEN_BACK]
            return _events(state, [(device_id, "retry", None) for device_id in back], now), [moved]
        case _:
            state, moved = _move(state, name, by, reason)
            return state, [moved]


def retry(
    state: RolloutState, device_ids: frozenset[str] | None, now: float
) -> tuple[RolloutState, list[str]]:
    """Failed and reverted devices (all of them, or these) wait for the version again; returns which.

    A rollout that has ended, or goes back, lets none.
    """
    if state.lifecycle in OVER:
        return state, []
    again = [
        d.device_id
        for d in state.deployments.values()
        if DEPLOYMENT.allows(d.state, "retry") and (device_ids is None or d.device_id in device_ids)
    ]
    return _events(state, [(device_id, "retry", None) for device_id in again], now), again


def affordable(
    state: RolloutState, waiting: Sequence[str], device_bytes: int, bytes_of: Mapping[str, int]
) -> int:
    """How many of the waiting devices, in their order, the byte budget leaves room for; all without a budget.

    A device costs ``bytes_of`` it, or ``device_bytes``.
    """
    if not state.plan.max_bytes:
        return len(waiting)
    left = state.plan.max_bytes - sum(bytes_of.get(name, device_bytes) for name in _offered_ever(state))
    for index, name in enumerate(waiting):
        left -= bytes_of.get(name, device_bytes)
        if left < 0:
            return index
    return len(waiting)


def _offered_ever(state: RolloutState) -> list[str]:
    return [d.device_id for d in state.deployments.values() if d.offered_at is not None]


def offered_target(state: RolloutState) -> int:
    """How many devices the current stage is for."""
    live = [d for d in state.deployments.values() if d.state not in ("left", "unsuited")]
    return state.plan.stages[state.stage].devices(len(live))


def _take(state: RolloutState, facts: Facts, now: float) -> RolloutState:
    """Who is selected now, whom the version suits, and what the devices said."""
    deployments = dict(state.deployments)
    for device_id in facts.members.keys() - deployments.keys():
        deployments[device_id] = Deployment(device_id, since=now)
    joined = replace(state, deployments=deployments)
    events: list[tuple[str, str, str | None]] = []
    for device_id in deployments:
        if device_id not in facts.members:
            events.append((device_id, "left", LEFT))
        else:
            unsuited = facts.members[device_id]
            events.append((device_id, "joined", None))
            events.append((device_id, "suited" if unsuited is None else "unsuited", unsuited))
    events += [(h.device_id, h.event, h.reason) for h in facts.heard]
    return _events(joined, events, now)


def _offer(state: RolloutState, facts: Facts, now: float) -> tuple[RolloutState, list[Action]]:
    """Offer to the next devices of the stage, as many as hours, pace and budget allow.

    Those that have been away come last: a stage of one that never answers would wait for ever.
    """
    plan = state.plan
    taken = sum(d.state in TAKEN for d in state.deployments.values())
    room = offered_target(state) - _places(state, facts)
    waiting = sorted(
        (d.device_id for d in state.deployments.values() if d.state == "waiting"),
        key=lambda device_id: (device_id in facts.away, place(state.id, device_id), device_id),
    )
    if room <= 0 or not waiting or (plan.hours is not None and not plan.hours.open_at(now)):
        return state, []
    chosen = waiting[: min(room, affordable(state, waiting, facts.device_bytes, facts.bytes_of))]
    if not chosen:
        if state.lifecycle != "RUNNING":
            return state, []
        costs = [facts.bytes_of.get(name, facts.device_bytes) for name in _offered_ever(state)]
        alike = f"at {costs[0]} each" if len({*costs}) == 1 else f"that take {sum(costs)}"
        spent = f"the byte budget of {plan.max_bytes} is spent: {len(costs)} devices {alike}"
        state, moved = _move(state, "hold", "engine", spent)
        return state, [moved]
    if plan.pace is not None:
        confirmed = sum(d.state == "confirmed" for d in state.deployments.values())
        credit = state.credit.refill(plan.pace, taken, confirmed, now)
        chosen = chosen[: int(credit.offers)]
        state = replace(state, credit=credit.spend(len(chosen)))
    state = _events(state, [(device_id, "offer", None) for device_id in chosen], now)
    return state, [Offer(device_id) for device_id in chosen]


def _places(state: RolloutState, facts: Facts) -> int:
    """How many places of the stage are used up.

    While nobody has confirmed, a device that was away before it was offered anything, or that failed before a person
    resumed, holds none: another takes its part.
    """
    taken = [d for d in state.deployments.values() if d.state in TAKEN]
    if any(d.state == "confirmed" for d in taken):
        return len(taken)
    idle = [d for d in taken if d.excused or (d.state == "offered" and d.device_id in facts.away)]
    return len(taken) - len(idle)


def _advance(state: RolloutState, facts: Facts, now: float) -> tuple[RolloutState, Moved] | None:
    """One move of the rollout, or None when it has to wait."""
    if state.lifecycle == "RUNNING" and _settled(state, facts):
        state, moved = _move(state, "stage_confirmed", "engine", None)
        return replace(state, stage_since=now), moved
    soaked = state.lifecycle == "SOAKING" and now - state.stage_since >= state.plan.soak_s
    if soaked and _settled(state, facts):  # one may have joined, or lost the version, meanwhile
        if facts.undecided:
            # Neither sure enough to take it back nor clear enough to go on: some more time, then a person.
            if now - state.stage_since < state.plan.soak_s + state.plan.patience_s:
                return None
            return _move(
                state, "hold", "engine", f"still undecided after its soak: {'; '.join(facts.undecided)}"
            )
        if state.stage + 1 == len(state.plan.stages):
            return _move(state, "completed", "engine", None)
        if state.plan.approve:
            return _move(state, "asked", "engine", "the next stage waits for: edgeops rollout approve")
        state, moved = _move(state, "next_stage", "engine", None)
        return replace(state, stage=state.stage + 1, stage_since=now), moved
    return None


def _settled(state: RolloutState, facts: Facts) -> bool:
    """Whether the stage is full, and every device of it that answers has decided.

    A device that has been quiet for the plan's patience is not waited for: it catches up when it comes. But while
    nobody has confirmed, quiet devices are no reason to go on.
    """
    offered = [d for d in state.deployments.values() if d.state in TAKEN]
    if not offered or len(offered) < offered_target(state):
        return False
    awaited = [d for d in offered if d.state not in SETTLED and d.device_id not in facts.quiet]
    last = state.stage + 1 == len(state.plan.stages)
    return not awaited and (
        any(d.state == "confirmed" for d in offered) or (last and not _quiet(offered, facts))
    )


def _quiet(offered: list[Deployment], facts: Facts) -> list[Deployment]:
    return [d for d in offered if d.state not in SETTLED and d.device_id in facts.quiet]


def _answer(state: RolloutState, refusal: Refusal, now: float) -> tuple[RolloutState, list[Action]]:
    by = f"gate {refusal.gate}"
    state, moved = _move(state, refusal.answer, by, f"{refusal.gate}: {refusal.reason}")
    actions: list[Action] = [moved]
    match refusal.answer:
        case "roll_back":
            state, reverts = _revert(state, OFFERED, now)
        case "abort":
            state, reverts = _revert(state, UNDECIDED, now)
        case "roll_stage_back":
            state, reverts = _revert(state, OFFERED, now, stage=state.stage)
            state = replace(state, stage=max(0, state.stage - 1))
        case _:
            reverts = []
    return state, actions + reverts


def _rolling_back(state: RolloutState, facts: Facts, now: float) -> tuple[RolloutState, list[Action]]:
    state, reverts = _revert(state, OFFERED, now)  # one may have come back into the selection meanwhile
    if any(d.state == "reverting" and d.device_id not in facts.quiet for d in state.deployments.values()):
        return state, reverts
    state, moved = _move(state, "all_reverted", "engine", None)
    return state, [*reverts, moved]


def _revert(
    state: RolloutState, from_states: frozenset[str], now: float, stage: int | None = None
) -> tuple[RolloutState, list[Action]]:
    """Take devices in these states back, of those that were offered the version by this rollout."""
    chosen = [
        d.device_id
        for d in state.deployments.values()
        if d.state in from_states and d.offered_at is not None and (stage is None or d.stage == stage)
    ]
    nothing = "it ran no version of this model before"
    first = [device_id for device_id in chosen if state.deployments[device_id].first]
    state = _events(state, [(device_id, "revert", None) for device_id in chosen], now)
    state = _events(state, [(device_id, "failed", nothing) for device_id in first], now)
    return state, [Revert(device_id) for device_id in chosen]


def _events(state: RolloutState, events: Iterable[tuple[str, str, str | None]], now: float) -> RolloutState:
    """Take rows of the deployment table (device, event, reason); those that it does not have change nothing."""
    deployments = dict(state.deployments)
    for device_id, event, reason in events:
        old = deployments.get(device_id)
        if old is None or not DEPLOYMENT.allows(old.state, event):
            continue
        new = replace(old, state=DEPLOYMENT.next(old.state, event), reason=reason, since=now)
        deployments[device_id] = replace(new, stage=state.stage, offered_at=now) if event == "offer" else new
    return replace(state, deployments=deployments)


def _move(state: RolloutState, event: str, by: str, reason: str | None) -> tuple[RolloutState, Moved]:
    target = ROLLOUT.next(state.lifecycle, event)
    moved = Moved(event, state.lifecycle, target, state.stage, by, reason)
    return replace(state, lifecycle=target), moved
