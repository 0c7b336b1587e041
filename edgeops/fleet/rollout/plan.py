"""What a rollout was asked to do: stages, soak, hours, pace, approval, gates. Pure; stored with the rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeops.core.errors import UsageError
from edgeops.fleet.rollout.gates import GateRule, gate_from_dict
from edgeops.fleet.rollout.hours import Hours, parse_hours
from edgeops.fleet.rollout.pace import Pace, parse_pace
from edgeops.fleet.rollout.selector import Selector, parse_selector
from edgeops.fleet.rollout.stages import Stage, parse_stages

DEFAULT_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """``soak_s`` seconds of evidence after a stage has settled; ``patience_s`` seconds that a device which does
    not answer is waited for. ``spread_s``: over so many seconds devices spread the start of their transfers.
    ``device_bytes_per_day`` and ``max_bytes`` bound the transfers of a device and of the whole rollout, 0 does not.
    ``shadow_inferences``: so many inputs a candidate sees beside the active model before its trial.
    """

    selector_text: str
    stages: tuple[Stage, ...]
    soak_s: float = 0.0
    patience_s: float = DEFAULT_PATIENCE_S
    hours: Hours | None = None
    pace: Pace | None = None
    approve: bool = False
    gates: tuple[GateRule, ...] = ()
    shadow_inferences: int = 0
    spread_s: float = 0.0
    device_bytes_per_day: int = 0
    max_bytes: int = 0
    rate_text: str = ""

    @property
    def selector(self) -> Selector:
        """The devices that it is for."""
        return parse_selector(self.selector_text)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as it is stored."""
        return {
            "to": self.selector_text,
            "stages": [str(stage) for stage in self.stages],
            "soak_s": self.soak_s,
            "patience_s": self.patience_s,
            "window": str(self.hours) if self.hours else None,
            "rate": self.rate_text or None,
            "approve": self.approve,
            "gates": [gate.to_dict() for gate in self.gates],
            "shadow_inferences": self.shadow_inferences,
            "spread_s": self.spread_s,
            "device_bytes_per_day": self.device_bytes_per_day,
            "max_bytes": self.max_bytes,
        }


def plan_from_dict(stored: Mapping[str, Any]) -> Plan:
    """The inverse of ``Plan.to_dict``; keys that are missing have their defaults. Raises ``UsageError``."""
    rate = stored.get("rate") or ""
    window = stored.get("window")
    numbers = {
        key: stored.get(key, 0)
        for key in ("soak_s", "spread_s", "shadow_inferences", "device_bytes_per_day", "max_bytes")
    }
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise UsageError(f"{key} = {value!r} is no number from 0 on", key=key, value=value)
    return Plan(
        selector_text=stored.get("to", ""),
        stages=parse_stages(",".join(stored["stages"])),
        soak_s=float(numbers["soak_s"]),
        patience_s=float(stored.get("patience_s", DEFAULT_PATIENCE_S)),
        hours=parse_hours(window) if window else None,
        pace=parse_pace(rate) if rate else None,
        approve=bool(stored.get("approve", False)),
        gates=tuple(gate_from_dict(gate) for gate in stored.get("gates", ())),
        shadow_inferences=int(numbers["shadow_inferences"]),
        spread_s=float(numbers["spread_s"]),
        device_bytes_per_day=int(numbers["device_bytes_per_day"]),
        max_bytes=int(numbers["max_bytes"]),
        rate_text=rate,
    )
