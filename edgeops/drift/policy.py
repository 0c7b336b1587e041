"""What the alarms of a fleet ask for: nothing, more evidence, patience, a retrain, or a look at a sensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["none", "collect", "wait", "retrain", "sensor_fault"]


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    """A changed world: at least ``min_devices`` and ``min_share`` of the fleet have alarmed.

    A retrain waits until ``settle_windows`` after the last device's alarm, until every alarmed device has
    reported ``capture_windows`` under the capture policy, and for ``min_samples`` labelled samples.
    """

    min_devices: int = 2
    min_share: float = 0.1
    settle_windows: int = 3
    capture_windows: int = 6
    min_samples: int = 60

    def __post_init__(self) -> None:
        """Refuse a policy that means nothing."""
        counts = (self.settle_windows, self.capture_windows, self.min_samples)
        if self.min_devices < 1 or not 0 <= self.min_share <= 1 or min(counts) < 0:
            raise ValueError(f"retrain policy out of range: {self}")

    def needed(self, devices_in_fleet: int) -> int:
        """How many devices must alarm; never more than the fleet has."""
        share = math.ceil(round(self.min_share * devices_in_fleet, 9))
        return max(1, min(max(self.min_devices, share), devices_in_fleet))


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """What an alarmed device has reported since: windows after its alarm, and windows while it captured.

    ``silent``: nothing has come for so long that the others do not wait for it.
    """

    windows_since_alarm: int
    windows_under_capture: int = 0
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a fleet that runs one model version."""

    devices_in_fleet: int
    alarmed: Mapping[str, AlarmFacts]
    labelled_samples: int = 0

    @property
    def awaited(self) -> tuple[AlarmFacts, ...]:
        """The alarmed devices that are waited for: those that speak; all of them when none does."""
        speaking = tuple(facts for facts in self.alarmed.values() if not facts.silent)
        return speaking or tuple(self.alarmed.values())


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why, in a sentence with the numbers.

    ``collect`` asks for labels from the whole fleet and for captured inputs from the alarmed devices; it is
    repeated until each of them has reported a window under the capture policy, so acting on it is idempotent.
    """

    kind: Kind
    reason: str


def decide(policy: RetrainPolicy, evidence: Evidence) -> Decision:
    """What the evidence asks for under the policy."""
    if not evidence.alarmed:
        return Decision("none", f"None of {_devices(evidence.devices_in_fleet)} has raised a drift alarm.")
    settled = min(facts.windows_since_alarm for facts in evidence.awaited)
    needed = policy.needed(evidence.devices_in_fleet)
    few = len(evidence.alarmed) < needed
    if few and settled >= policy.settle_windows:
        return Decision(
            "sensor_fault",
            f"{_who(evidence)} drifted and {settled} windows later no other has, of {needed} that a retrain "
            "needs: look at the sensor.",
        )
    return _collect(evidence) or _settle(policy, evidence, settled) or _complete(policy, evidence)


def _collect(evidence: Evidence) -> Decision | None:
    waiting = sum(facts.windows_under_capture == 0 for facts in evidence.awaited)
    if not waiting:
        return None
    return Decision(
        "collect",
        f"{_who(evidence)} drifted, {waiting} of them without a captured window yet: labels on for the fleet "
        "and capture on for the drifted devices.",
    )


def _settle(policy: RetrainPolicy, evidence: Evidence, settled: int) -> Decision | None:
    if settled >= policy.settle_windows:
        return None
    return Decision(
        "wait",
        f"{_who(evidence)} drifted, the latest only {settled} of {policy.settle_windows} windows ago: "
        "more may follow.",
    )


def _complete(policy: RetrainPolicy, evidence: Evidence) -> Decision:
    captured = min(facts.windows_under_capture for facts in evidence.awaited)
    if captured < policy.capture_windows:
        slow = sum(f.windows_under_capture < policy.capture_windows for f in evidence.awaited)
        return Decision(
            "wait",
            f"{slow} of {_devices(len(evidence.alarmed))} that drifted still capture: the slowest has "
            f"{captured} of {policy.capture_windows} windows.",
        )
    if evidence.labelled_samples < policy.min_samples:
        return Decision(
            "wait", f"{evidence.labelled_samples} of {policy.min_samples} labelled samples have arrived."
        )
    return Decision(
        "retrain",
        f"{_who(evidence)} drifted, none newly for {policy.settle_windows} windows, and "
        f"{evidence.labelled_samples} labelled samples have arrived (at least {policy.min_samples} needed).",
    )


def _who(evidence: Evidence) -> str:
    return f"{len(evidence.alarmed)} of {_devices(evidence.devices_in_fleet)}"


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
