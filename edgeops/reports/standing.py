"""How each version stands: how right it is, as estimated and as measured, and what silent devices leave out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeops.reports.figures import Figure, pooled
from edgeops.reports.health import DeviceHealth

BLIND = "estimated from confidence, which cannot see a world that looks as before and means something else; labels can"
APART = 0.02
"""Silent devices whose last estimates were that much off those of the others bias what the others say."""


@dataclass(frozen=True, slots=True)
class VersionStanding:
    """A version on the devices that run it; ``silent`` are those that should report and do not.

    ``bias`` is by how much the fleet's estimated accuracy would change if the silent devices were still as they were
    last; None where none is silent or nothing is known of them.
    """

    model: str
    devices: int
    silent: int
    drifted: int
    estimated: Figure
    measured: Figure
    bias: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "model": self.model,
            "devices": self.devices,
            "silent": self.silent,
            "drifted": self.drifted,
            "estimated_accuracy": self.estimated.as_dict(),
            "measured_accuracy": self.measured.as_dict(),
            "silence_bias": self.bias,
            "note": BLIND,
        }

    @property
    def words(self) -> str | None:
        """What silence leaves out, in a sentence; None where it leaves out nothing that is known."""
        if not self.silent:
            return None
        who = f"{self.model}: {self.silent} of {self.devices} devices are silent"
        if self.bias is None:
            return f"{who}; what they would say is not known."
        if abs(self.bias) < APART:
            return f"{who}; when last heard they were like the others."
        way = "lower" if self.bias < 0 else "higher"
        return f"{who}; with what they said last, the accuracy would be {abs(self.bias):.3f} {way}."


def standings(rows: Sequence[DeviceHealth]) -> list[VersionStanding]:
    """One for each version that a device has confirmed, by name."""
    versions: dict[str, list[DeviceHealth]] = {}
    for row in rows:
        if row.confirmed:
            versions.setdefault(row.confirmed, []).append(row)
    return [_standing(name, found) for name, found in sorted(versions.items())]


def _standing(name: str, rows: Sequence[DeviceHealth]) -> VersionStanding:
    heard = [row for row in rows if row.connection == "online"]
    silent = [row for row in rows if row.connection != "online"]
    estimated = pooled((row.estimated_accuracy for row in heard), "estimated")
    everyone = pooled((row.estimated_accuracy for row in rows), "estimated")
    bias = None
    if silent and estimated.value is not None and everyone.value is not None and everyone.n > estimated.n:
        bias = everyone.value - estimated.value
    return VersionStanding(
        name,
        len(rows),
        len(silent),
        sum(row.drift is not None and row.drift.state == "open" for row in rows),
        estimated,
        pooled((row.accuracy for row in heard), "measured"),
        bias,
    )
