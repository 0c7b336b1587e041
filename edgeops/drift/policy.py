"""What the alarms of a fleet ask for: nothing, more evidence, patience, a retrain, or a look at a sensor.

Pure: times and counts are handed in, so that a decision can be made again from what was stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from edgeops.drift.delays import Ledger, delay
from edgeops.drift.device_track import FLAGS

Kind = Literal["none", "collect", "wait", "retrain", "sensor_fault"]

ALARMS = ("data", "confidence", "multivariate", "prediction", "concept")
"""The kinds of alarms that can ask for a retrain; ``quality`` never does: it is the sensor's."""

MIN_FAIR = 12
"""Half of the fairly drawn samples may be held out, and six are the least that a sign test can tell anything by."""
MOST = 0.8
"""So large a share of the drifted devices must have settled and captured; a retrain does not wait for the last."""


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    """A changed world: at least ``min_devices`` and ``min_share`` of the fleet drift, by one of ``alarms``.

    A device drifts when ``sustained`` of its last ``sustained_of`` windows say so, until ``quiet_windows`` in a row do
    not. A retrain waits until ``settle_windows`` after the last device's alarm, until every drifted device has
    reported ``capture_windows`` under the capture policy, and for ``min_samples`` labelled samples that no earlier
    retrain had. Then, where they are not 0 or empty: until ``cooldown_hours`` after the last retrain, for as long as
    ``retrains_a_month`` or ``bytes_a_month`` (of 30 days) are used up, and through ``quiet_hours``
    (``22:00-06:00 Europe/Berlin``; UTC where no zone is named), in which no rollout of it starts either. With
    ``approval`` a person is asked last.
    """

    alarms: tuple[str, ...] = ALARMS
    sustained: int = 1
    sustained_of: int = 1
    quiet_windows: int = 8
    min_devices: int = 2
    min_share: float = 0.1
    settle_windows: int = 3
    capture_windows: int = 6
    min_samples: int = 60
    cooldown_hours: float = 24.0
    retrains_a_month: int = 0
    bytes_a_month: int = 0
    quiet_hours: str = ""
    approval: bool = False

    def __post_init__(self) -> None:
        """Refuse a policy that means nothing: ``ValueError``."""
        counts = (
            *(self.settle_windows, self.capture_windows, self.min_samples),
            *(self.cooldown_hours, self.retrains_a_month, self.bytes_a_month),
        )
        if self.min_devices < 1 or not 0 <= self.min_share <= 1 or min(counts) < 0:
            raise ValueError(f"retrain policy out of range: {self}")
        if not 1 <= self.sustained <= self.sustained_of <= FLAGS or not 1 <= self.quiet_windows <= FLAGS:
            raise ValueError(
                f"retrain policy: {self.sustained} of {self.sustained_of} windows, until {self.quiet_windows} are "
                f"quiet, is out of range: at most {FLAGS} are remembered"
            )
        unknown = [kind for kind in self.alarms if kind not in ALARMS]
        if unknown or not self.alarms or len(set(self.alarms)) != len(self.alarms):
            raise ValueError(
                f"retrain policy: alarms are one or more of {', '.join(ALARMS)}, each once, not {list(self.alarms)}"
            )

    def needed(self, devices_in_fleet: int) -> int:
        """How many devices must alarm; never more than the fleet has."""
        share = math.ceil(round(self.min_share * devices_in_fleet, 9))
        return max(1, min(max(self.min_devices, share), devices_in_fleet))


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """What an alarmed device has reported since: windows after its alarm, and windows while it captured.

    ``silent``: nothing has come for so long that the others do not wait for it. ``kinds`` are those of its alarm,
    ``cleared`` says that it has been quiet since.
    """

    windows_since_alarm: int
    windows_under_capture: int = 0
    silent: bool = False
    kinds: frozenset[str] = frozenset({"data"})
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a fleet that runs one model version; ``ledger`` of what the model has cost so far.

    ``labelled_samples`` counts those that no retrain of the version has had, ``fair_samples`` all that were drawn
    uniformly and not labelled by a teacher; None where that is not known.
    """

    devices_in_fleet: int
    alarmed: Mapping[str, AlarmFacts]
    labelled_samples: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    fair_samples: int | None = None

    @property
    def awaited(self) -> tuple[AlarmFacts, ...]:
        """The alarmed devices that are waited for: those that speak; all of them when none does."""
        speaking = tuple(facts for facts in self.alarmed.values() if not facts.silent)
        return speaking or tuple(self.alarmed.values())

    def counted(self, policy: RetrainPolicy) -> Evidence:
        """The same without the devices that do not count: quiet again, or alarmed by what the policy leaves out."""
        wanted = frozenset(policy.alarms)
        drifting = {
            device: facts
            for device, facts in self.alarmed.items()
            if not facts.cleared and facts.kinds & wanted
        }
        return self if len(drifting) == len(self.alarmed) else replace(self, alarmed=drifting)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why, in a sentence with the numbers.

    ``collect`` asks for labels from the whole fleet and for captured inputs from the alarmed devices; it is
    repeated until each of them has reported a window under the capture policy, so acting on it is idempotent.
    """

    kind: Kind
    reason: str


def sustained(flags: Sequence[bool], n: int, m: int, quiet: int) -> bool:
    """Whether a device drifts after windows that did (True) or did not, in their order.

    It begins when ``n`` of the last ``m`` say so, and ends when ``quiet`` in a row do not; what was before an end
    does not count for the next beginning.
    """
    drifts, since, calm = False, 0, 0
    for index, flag in enumerate(flags):
        calm = 0 if flag else calm + 1
        if drifts and calm >= quiet:
            drifts, since = False, index + 1
        elif not drifts:
            drifts = sum(flags[max(since, index + 1 - m) : index + 1]) >= n
    return drifts


def decide(policy: RetrainPolicy, evidence: Evidence) -> Decision:
    """What the evidence asks for under the policy."""
    faulty = sum("quality" in facts.kinds and not facts.cleared for facts in evidence.alarmed.values())
    evidence = evidence.counted(policy)
    fleet = _devices(evidence.devices_in_fleet)
    if not evidence.alarmed:
        if faulty:
            return Decision(
                "sensor_fault", f"The inputs of {faulty} of {fleet} are at fault: look at the sensor."
            )
        return Decision("none", f"None of {fleet} has raised a drift alarm that lasts and counts.")
    needed = policy.needed(evidence.devices_in_fleet)
    settled = _reached([facts.windows_since_alarm for facts in evidence.awaited], needed)
    few = len(evidence.alarmed) < needed
    if few and settled >= policy.settle_windows:
        return Decision(
            "sensor_fault",
            f"{_who(evidence)} drifted and {settled} windows later no other has, of {needed} that a retrain "
            "needs: look at the sensor.",
        )
    return (
        _collect(evidence, needed)
        or _settle(policy, evidence, settled)
        or _complete(policy, evidence, needed)
        or _delayed(policy, evidence)
        or _retrain(policy, evidence)
    )


def _reached(windows: Sequence[int], needed: int) -> int:
    """How many windows enough devices have: in a large fleet a new one alarms now and then, and must not start the
    waiting anew for all.
    """
    enough = min(len(windows), max(needed, math.ceil(round(MOST * len(windows), 9))))
    return sorted(windows, reverse=True)[enough - 1]


def _collect(evidence: Evidence, needed: int) -> Decision | None:
    waiting = sum(facts.windows_under_capture == 0 for facts in evidence.awaited)
    if _reached([facts.windows_under_capture for facts in evidence.awaited], needed):
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


def _complete(policy: RetrainPolicy, evidence: Evidence, needed: int) -> Decision | None:
    captured = _reached([facts.windows_under_capture for facts in evidence.awaited], needed)
    if captured < policy.capture_windows:
        slow = sum(f.windows_under_capture < policy.capture_windows for f in evidence.awaited)
        return Decision(
            "wait",
            f"{slow} of {_devices(len(evidence.alarmed))} that drifted still capture: most have "
            f"{captured} of {policy.capture_windows} windows.",
        )
    if evidence.labelled_samples < policy.min_samples:
        return Decision(
            "wait",
            f"{evidence.labelled_samples} of {policy.min_samples} {evidence.ledger.new}labelled samples have arrived.",
        )
    fair = min(MIN_FAIR, policy.min_samples)
    if evidence.fair_samples is not None and evidence.fair_samples < fair:
        return Decision(
            "wait",
            f"{evidence.fair_samples} of {fair} labelled samples that can prove anything have arrived: drawn "
            "uniformly (capture.permille), and labelled by their device or a person.",
        )
    return None


def _delayed(policy: RetrainPolicy, evidence: Evidence) -> Decision | None:
    why = delay(policy.cooldown_hours, policy.retrains_a_month, policy.bytes_a_month, evidence.ledger)
    return None if why is None else Decision("wait", f"{_who(evidence)} drifted, but {why}.")


def _retrain(policy: RetrainPolicy, evidence: Evidence) -> Decision:
    return Decision(
        "retrain",
        f"{_who(evidence)} drifted, none newly for {policy.settle_windows} windows, and "
        f"{evidence.labelled_samples} {evidence.ledger.new}labelled samples have arrived "
        f"(at least {policy.min_samples} needed).",
    )


def _who(evidence: Evidence) -> str:
    return f"{len(evidence.alarmed)} of {_devices(evidence.devices_in_fleet)}"


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
