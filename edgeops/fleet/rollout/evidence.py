"""The evidence of one gate that compares: a fold over what devices reported, stored as it stands. Pure.

Each observation is a window's figure (0..1) less the same device's own figure before the rollout, so that a device
that was always worse is no evidence against the version; how well that past is known is allowed for. The mean of
the treated observations since the last comparison is set against that of the control: whichever comes first waits for
the other, and none is used twice. Where no control cohort is left (the last stage, a fleet of one), a device is set
against what it did itself before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edgeops.fleet.rollout.betting import Capital, capital_from_dict
from edgeops.fleet.rollout.gates import GateRule

ALPHA = 0.01
"""The probability that a gate ever says no to a version that is within its limit, over a whole rollout."""
FALLING_IS_BAD = frozenset({"accuracy", "confidence"})
"""A version that was trained for a world that has changed is surer than the control cohort: that is no fault."""
SPAN = 0.5
"""A difference beyond this is taken as this: the smaller the range, the more a test can bet on a small difference."""
SURE = 2.5
"""So many standard errors a device's own past may be wrong, in favour of the version."""
NO_PAST = 0.2
"""By so much devices of which no past is known may differ without any version's doing."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One figure in 0..1 of one device; ``before`` is the device's own mean before the rollout, where known, and
    ``spread`` the standard error of that mean.
    """

    device_id: str
    treated: bool
    value: float
    before: float | None = None
    spread: float = 0.0

    @property
    def change(self) -> float:
        """Against the device's own past; -1..1."""
        return self.value - self.before if self.before is not None else self.value


@dataclass(frozen=True, slots=True)
class Pair:
    """What control and treated devices said since the last comparison; each waits for the other."""

    control_sum: float = 0.0
    control_count: int = 0
    treated_sum: float = 0.0
    treated_count: int = 0
    doubt: float = 0.0

    def control(self, value: float) -> Pair:
        """With one more of the control cohort."""
        return replace(self, control_sum=self.control_sum + value, control_count=self.control_count + 1)

    def treated(self, value: float, doubt: float) -> Pair:
        """With one more of the new version, of which ``doubt`` may be the device's."""
        return replace(
            self,
            treated_sum=self.treated_sum + value,
            treated_count=self.treated_count + 1,
            doubt=self.doubt + doubt,
        )

    @property
    def whole(self) -> bool:
        """Whether both have said something."""
        return bool(self.control_count and self.treated_count)

    @property
    def difference(self) -> float:
        """Treated less control."""
        return self.treated_sum / self.treated_count - self.control_sum / self.control_count


@dataclass(frozen=True, slots=True)
class Evidence:
    """``worse`` is the capital won against "not worse than the limit".

    ``changes`` pairs devices whose past is known, by how they changed; ``values`` the others, as they are.
    """

    worse: Capital = field(default_factory=Capital)
    changes: Pair = field(default_factory=Pair)
    values: Pair = field(default_factory=Pair)
    control_changes: int = 0
    treated_total: float = 0.0
    treated_count: int = 0
    control_total: float = 0.0
    control_seen: int = 0

    def take(self, rule: GateRule, observations: Iterable[Observation], has_control: bool) -> Evidence:
        """Fold observations in, in the order in which they came; the same input gives the same evidence.

        ``has_control``: whether devices of the control cohort are left to wait for.
        """
        state = self if has_control else self._alone(rule)
        for seen in observations:
            state = (
                state._control(rule, seen) if not seen.treated else state._treated(rule, seen, has_control)
            )
        return state

    def _alone(self, rule: GateRule) -> Evidence:
        """What waited for a control cohort that is no more is set against the devices' own past."""
        waiting = self.changes
        if not waiting.treated_count or waiting.control_count:
            return self
        mean, doubt = waiting.treated_sum / waiting.treated_count, waiting.doubt / waiting.treated_count
        return replace(self._bet(rule, mean, doubt), changes=Pair())

    def _control(self, rule: GateRule, seen: Observation) -> Evidence:
        known = seen.before is not None
        state = replace(
            self,
            values=self.values.control(seen.value),
            changes=self.changes.control(seen.change) if known else self.changes,
            control_changes=self.control_changes + known,
            control_total=self.control_total + seen.value,
            control_seen=self.control_seen + 1,
        )
        return state._compared(rule)

    def _treated(self, rule: GateRule, seen: Observation, has_control: bool) -> Evidence:
        state = replace(
            self, treated_total=self.treated_total + seen.value, treated_count=self.treated_count + 1
        )
        known = seen.before is not None
        doubt = max(0.0, SURE * seen.spread - rule.limit) if known else NO_PAST
        if known and not has_control and not self.changes.control_count:
            return state._bet(rule, seen.change, doubt)
        if known and (self.control_changes or not self.control_seen):
            return replace(state, changes=self.changes.treated(seen.change, doubt))._compared(rule)
        return replace(state, values=self.values.treated(seen.value, NO_PAST))._compared(rule)

    def _compared(self, rule: GateRule) -> Evidence:
        """With the comparison that can be made now, if there is one."""
        state = self
        if self.changes.whole:
            doubt = self.changes.doubt / self.changes.treated_count
            state = replace(state._bet(rule, self.changes.difference, doubt), changes=Pair())
        if self.values.whole:
            doubt = self.values.doubt / self.values.treated_count
            state = replace(state._bet(rule, self.values.difference, doubt), values=Pair())
        return state

    def _bet(self, rule: GateRule, difference: float, doubt: float) -> Evidence:
        if rule.limit >= 1:
            return self  # it cannot be passed
        span = max(SPAN, min(1.0, 2 * rule.limit))
        down = (-difference if rule.name in FALLING_IS_BAD else difference) - doubt
        down = min(span, max(-span, down))
        return replace(self, worse=self.worse.bet((1 + down / span) / 2, (1 + rule.limit / span) / 2))

    def refuses(self, rule: GateRule) -> bool:
        """Whether the gate says no."""
        return self.worse.count >= rule.evidence and self.worse.rejects(ALPHA)

    def leans(self, rule: GateRule) -> bool:
        """Whether it stands against the version without being enough to refuse it."""
        return self.worse.leaning and not self.refuses(rule)

    @property
    def odds(self) -> float:
        """The highest capital so far, 1 at the start; a gate says no at 1/alpha."""
        return math.exp(min(700.0, self.worse.highest))

    @property
    def treated_mean(self) -> float | None:
        """The mean figure of the devices with the new version."""
        return self.treated_total / self.treated_count if self.treated_count else None

    @property
    def control_mean(self) -> float | None:
        """The mean figure of the control cohort."""
        return self.control_total / self.control_seen if self.control_seen else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as it is stored."""
        return {
            "worse": self.worse.to_dict(),
            "changes": asdict(self.changes),
            "values": asdict(self.values),
            "control_changes": self.control_changes,
            "treated_total": self.treated_total,
            "treated_count": self.treated_count,
            "control_total": self.control_total,
            "control_seen": self.control_seen,
        }


def evidence_from_dict(stored: Mapping[str, Any]) -> Evidence:
    """The inverse of ``Evidence.to_dict``; nothing stored is no evidence yet."""
    if not stored:
        return Evidence()
    numbers = {name: stored[name] for name in Evidence().to_dict() if name not in _PARTS}
    pairs = (Pair(**stored["changes"]), Pair(**stored["values"]))
    return Evidence(capital_from_dict(stored["worse"]), *pairs, **numbers)


_PARTS = ("worse", "changes", "values")
