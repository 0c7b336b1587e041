"""Who drifted, and what that says: one device (its sensor), a cohort (what its devices share), a version, or the fleet.

Pure. An attribute explains an alarm where the devices that have it alarmed and the others did not; whether that is more
than chance is Fisher's exact test, with as many tests allowed for as there are values to look at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["device", "cohort", "version", "fleet", "scattered"]

FLEET_SHARE = 0.8
"""From this share of the devices on, the world has changed."""
COVERAGE = 0.8
"""An explanation holds for at least this share of the devices that alarmed."""
DOUBT = 0.05


EARLY_WINDOWS = 10
"""A device that drifts within so many windows under a version may drift because of it."""


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What was seen of the devices that ran other versions of the model at the time, and how many of those that drifted
    did so within ``EARLY_WINDOWS`` windows under theirs.
    """

    devices: int
    drifted: int
    early: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``selector`` picks the cohort; ``coverage`` is the share of the alarmed devices in it, ``contrast`` how much
    more often its devices alarmed than the others, both 0..1.
    """

    kind: Kind
    alarmed: int
    devices: int
    selector: str | None = None
    coverage: float = 1.0
    contrast: float = 0.0

    @property
    def words(self) -> str:
        """What it is, in a sentence."""
        who = f"{self.alarmed} of {self.devices} device{'' if self.devices == 1 else 's'}"
        match self.kind:
            case "device":
                return f"One device of {self.devices} drifted: look at its sensor before its model."
            case "fleet":
                return f"{who} drifted: the world has changed for the fleet."
            case "version":
                return (
                    f"{who} with this version drifted soon after they got it, and hardly any with another: look at "
                    "what came with it, such as quantization, preprocessing or firmware."
                )
            case "cohort":
                return (
                    f"{who} drifted, {self.coverage:.0%} of them with {self.selector}, whose devices alarmed "
                    f"{self.contrast:.0%} more often than the others."
                )
            case _:
                return f"{who} drifted, and no attribute says which: look at each."


def diagnose(fleet: Mapping[str, Mapping[str, str]], alarmed: frozenset[str]) -> Diagnosis:
    """``fleet`` has the attributes of each device that runs the model, ``alarmed`` among them or not."""
    everyone = {**{device: {} for device in alarmed}, **fleet}
    count, total = len(alarmed), len(everyone)
    if total and count >= FLEET_SHARE * total and total > 1:
        return Diagnosis("fleet", count, total)
    if count == 1:
        return Diagnosis("device", count, total)
    best = _best_attribute(everyone, alarmed)
    return best or Diagnosis("scattered", count, total)


def with_versions(found: Diagnosis, meanwhile: Meanwhile) -> Diagnosis:
    """The diagnosis with the other versions in mind: where the world is the same for all, the version is another.

    It is one where ``FLEET_SHARE`` of its devices drifted, most of them early, and hardly any of the others, which must
    be three at least.
    """
    if found.kind not in ("fleet", "scattered") or found.alarmed < 2:
        return found
    most = found.alarmed >= FLEET_SHARE * found.devices and 2 * meanwhile.early > found.alarmed
    others = meanwhile.devices >= 3 and meanwhile.drifted <= (1 - FLEET_SHARE) * meanwhile.devices
    return replace(found, kind="version") if most and others else found


def _best_attribute(fleet: Mapping[str, Mapping[str, str]], alarmed: frozenset[str]) -> Diagnosis | None:
    having: dict[tuple[str, str], set[str]] = {}
    for device, attributes in fleet.items():
        for pair in attributes.items():
            having.setdefault(pair, set()).add(device)
    total, count = len(fleet), len(alarmed)
    found: list[tuple[float, float, str]] = []
    for (key, value), devices in having.items():
        inside = len(devices & alarmed)
        if len(devices) == total or inside < COVERAGE * count:
            continue
        contrast = inside / len(devices) - (count - inside) / (total - len(devices))
        if _chance(total, count, len(devices), inside) * len(having) <= DOUBT:
            found.append((contrast, inside / count, f'{key} = "{value}"'))
    if not found:
        return None
    contrast, coverage, selector = max(found, key=lambda f: (round(f[0], 9), round(f[1], 9), f[2]))
    return Diagnosis("cohort", count, total, selector, coverage, contrast)


def _chance(total: int, alarmed: int, having: int, inside: int) -> float:
    """The probability that at least ``inside`` of the ``having`` devices are among the alarmed ones by chance."""
    ways = math.comb(total, having)
    most = min(alarmed, having)
    hits = sum(
        math.comb(alarmed, k) * math.comb(total - alarmed, having - k) for k in range(inside, most + 1)
    )
    return hits / ways
