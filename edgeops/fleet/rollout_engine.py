"""The rollout engine: pure. Stages advance on what devices have confirmed, never on what was sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from edgeops.core.lifecycle import ROLLOUT


@dataclass(frozen=True, slots=True)
class DeviceProgress:
    """One device of a rollout: ``waiting``, ``offered``, ``confirmed`` or ``failed``."""

    device_id: str
    stage: int
    state: str = "waiting"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RolloutState:
    """``stage`` counts from 0; ``stages`` are cumulative percentages that end with 100."""

    lifecycle: str
    stages: tuple[int, ...]
    stage: int
    max_failed_share: float
    devices: tuple[DeviceProgress, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a device itself says about the rollout's version: ``confirmed``, ``failed`` or ``offered``."""

    device_id: str
    state: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """Make the rollout's version the desired one of this device."""

    device_id: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The rollout took a row of its lifecycle table."""

    event: str
    lifecycle: str
    stage: int
    reason: str | None = None


Action = Offer | Moved


def assign_stages(
    rollout_id: int, device_ids: Iterable[str], stages: Sequence[int]
) -> tuple[DeviceProgress, ...]:
    """Each device's stage, by a hash of device and rollout: stable, unbiased, another order each rollout.

    Stage i holds ceil(n * stages[i] / 100) devices together with the stages before it.
    """
    ordered = sorted(device_ids, key=lambda d: hashlib.sha256(f"{rollout_id}:{d}".encode()).digest())
    bounds = [-(-len(ordered) * percent // 100) for percent in stages]
    return tuple(
        DeviceProgress(device, next(i for i, bound in enumerate(bounds) if place < bound))
        for place, device in enumerate(ordered)
    )


def step(state: RolloutState, heard: Iterable[Heard]) -> tuple[RolloutState, list[Action]]:
    """Take what devices said, then offer, advance, hold or complete. The same input gives the same output."""
    if state.lifecycle != "RUNNING":
        return state, []
    state = _take(state, {h.device_id: h for h in heard})
    actions: list[Action] = []
    while state.lifecycle == "RUNNING":
        asked = [d for d in state.devices if d.stage <= state.stage]
        failed = [d for d in asked if d.state == "failed"]
        if failed and len(failed) > state.max_failed_share * len(asked):
            reason = (
                f"{len(failed)} of {len(asked)} devices failed; the first: {failed[0].reason or 'no reason'}"
            )
            return _move(state, "too_many_failures", actions, reason)
        waiting = {d.device_id for d in asked if d.state == "waiting"}
        if waiting:
            actions += [Offer(d.device_id) for d in asked if d.device_id in waiting]
            state = replace(
                state,
                devices=tuple(
                    replace(d, state="offered") if d.device_id in waiting else d for d in state.devices
                ),
            )
        if any(d.state == "offered" for d in asked) or waiting:
            break
        if state.stage + 1 < len(state.stages):
            state, actions = _move(replace(state, stage=state.stage + 1), "stage_confirmed", actions, None)
        else:
            return _move(state, "all_confirmed", actions, None)
    return state, actions


def _take(state: RolloutState, heard: dict[str, Heard]) -> RolloutState:
    devices = []
    for device in state.devices:
        news = heard.get(device.device_id)
        # A device may have confirmed the version before it was offered here: it runs it, that is enough.
        # Confirmed is final: the device's update machine has no way back from it either.
        if news is not None and (device.state in ("offered", "failed") or news.state == "confirmed"):
            device = replace(device, state=news.state, reason=news.reason)
        devices.append(device)
    return replace(state, devices=tuple(devices))


def _move(
    state: RolloutState, event: str, actions: list[Action], reason: str | None
) -> tuple[RolloutState, list[Action]]:
    lifecycle = ROLLOUT.next(state.lifecycle, event)
    return replace(state, lifecycle=lifecycle), [*actions, Moved(event, lifecycle, state.stage, reason)]
