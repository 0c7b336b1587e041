"""One device's windows in, at most one alarm an episode out: a pure state machine.

An episode lasts until the model or its bins change: a drifted device says so once for each version it runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from edgeops.core.observe import Counters, ObservePlan
from edgeops.drift.detect import DEFAULT_LIMITS, Limits, Shift, alarming


@dataclass(frozen=True, slots=True)
class WindowSeen:
    """One reported window; ``model`` names the version that counted it (its manifest digest)."""

    sequence: int
    boot: int
    counters: Counters
    trial: bool = False
    model: bytes = b""


@dataclass(frozen=True, slots=True)
class Alarm:
    """The window that raised it, the shifts that passed (largest first), and how many windows were merged."""

    sequence: int
    shifts: tuple[Shift, ...]
    span: int


@dataclass(frozen=True, slots=True)
class DeviceDrift:
    """What is remembered of one device and model: latest (boot, sequence), recent counters, the alarm."""

    last: tuple[int, int] = (-1, -1)
    model: bytes = b""
    history: tuple[Counters, ...] = ()
    alarmed: bool = False
    windows_since_alarm: int = 0


def observe(
    state: DeviceDrift, plan: ObservePlan, window: WindowSeen, limits: Limits = DEFAULT_LIMITS
) -> tuple[DeviceDrift, Alarm | None]:
    """The state after a window, and the alarm if this window raises one.

    Windows are ordered by (boot, sequence); one that is not newer than the last is ignored. Windows on trial
    and windows of fewer than ``limits.min_inputs`` inferences enter the history but raise nothing themselves.
    Raises ``WireError`` when the counters' bins are not the plan's.
    """
    position = (window.boot, window.sequence)
    if position <= state.last:
        return state, None
    state = _append(_of_version(state, window), window, limits)
    if state.alarmed:
        return replace(state, windows_since_alarm=state.windows_since_alarm + 1), None
    if window.trial or window.counters.inferences < limits.min_inputs:
        return state, None
    alarm = _judge(state, plan, window.sequence, limits)
    return replace(state, alarmed=alarm is not None), alarm


def _of_version(state: DeviceDrift, window: WindowSeen) -> DeviceDrift:
    """The state, emptied when the window is of another model version or counted in other bins."""
    same_bins = not state.history or state.history[-1].bins == window.counters.bins
    if same_bins and state.model == window.model:
        return state
    return DeviceDrift(last=state.last, model=window.model)


def _append(state: DeviceDrift, window: WindowSeen, limits: Limits) -> DeviceDrift:
    history = (*state.history, window.counters)[-max(limits.spans) :]
    return replace(state, last=(window.boot, window.sequence), model=window.model, history=history)


def _judge(state: DeviceDrift, plan: ObservePlan, sequence: int, limits: Limits) -> Alarm | None:
    """The alarm of the shortest span that passes; spans reach back as far as the history does."""
    spans = sorted({min(span, len(state.history)) for span in limits.spans})
    for span in spans:
        passed = alarming(plan, reduce(add, state.history[-span:]), limits)
        if passed:
            return Alarm(sequence, passed, span)
    return None
