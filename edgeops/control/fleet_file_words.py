"""How the fleet differs from ``fleet.toml``: each attribute and option with both values, and what devices run now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlmodel import Session, col, select

from edgeops.fleet.active_rollouts import UNFINISHED
from edgeops.fleet.rollout.duration import duration_words
from edgeops.fleet.rollout.gates import GATES, GateRule
from edgeops.fleet.rollout.plan import Plan
from edgeops.fleet.rollout.stages import words
from edgeops.fleet.standing import Standing
from edgeops.registry.tables import Deployment, ModelVersion, Rollout

NOTHING = "nothing"


@dataclass(frozen=True)
class Difference:
    """An attribute of a device or an option of a plan; None where it is not set, or is not to be."""

    name: str
    now: str | None
    wanted: str | None

    def __str__(self) -> str:
        """``soak: 10m -> 1m``."""
        return f"{self.name}: {_shown(self.now, 'not set')} -> {_shown(self.wanted, 'removed')}"

    def to_dict(self) -> dict[str, str | None]:
        """Plain data."""
        return {"name": self.name, "now": self.now, "wanted": self.wanted}


def attribute_differences(has: Mapping[str, str], says: Mapping[str, str]) -> tuple[Difference, ...]:
    """What a file changes of a device's attributes: a key that it does not name stays, an empty one goes."""
    found = (Difference(key, has.get(key), value or None) for key, value in sorted(says.items()))
    return tuple(difference for difference in found if difference.now != difference.wanted)


def merged(has: Mapping[str, str], says: Mapping[str, str]) -> dict[str, str]:
    """The attributes that a device has after a file was applied."""
    after = dict(has)
    for difference in attribute_differences(has, says):
        if difference.wanted is None:
            del after[difference.name]
        else:
            after[difference.name] = difference.wanted
    return after


def attribute_words(attributes: Mapping[str, str]) -> str:
    """``ring=canary, site=berlin``, or ``none``."""
    return ", ".join(f"{key}={value}" for key, value in sorted(attributes.items())) or "none"


def plan_differences(now: Plan, wanted: Plan) -> tuple[Difference, ...]:
    """What differs between two plans for the same devices, by the names of the options."""
    has, wants = _options(now), _options(wanted)
    found = [Difference(name, has[name], wants[name]) for name in has if has[name] != wants[name]]
    found += _gate_differences(now.gates, wanted.gates)
    return tuple(difference for difference in found if difference.name != "rate" or now.pace != wanted.pace)


def _options(plan: Plan) -> dict[str, str | None]:
    return {
        "stages": words(plan.stages),
        "soak": duration_words(plan.soak_s),
        "patience": duration_words(plan.patience_s),
        "window": str(plan.hours) if plan.hours else None,
        "rate": plan.rate_text or None,
        "approve": "yes" if plan.approve else "no",
        "shadow": _unless_0(plan.shadow_inferences),
        "spread": duration_words(plan.spread_s) if plan.spread_s else None,
        "max_bytes": _unless_0(plan.max_bytes),
        "device_bytes_per_day": _unless_0(plan.device_bytes_per_day),
    }


def _gate_differences(now: Iterable[GateRule], wanted: Iterable[GateRule]) -> list[Difference]:
    """One for all gates that differ, as the key ``gates`` takes them."""
    has, wants = ({rule.name: rule for rule in rules} for rules in (now, wanted))
    names = [name for name in GATES if has.get(name) != wants.get(name)]
    if not names:
        return []
    return [
        Difference(
            "gates", *(", ".join(_gate(name, side.get(name)) for name in names) for side in (has, wants))
        )
    ]


def _gate(name: str, rule: GateRule | None) -> str:
    return f"{name}={rule.limit:.15g}:{rule.answer}:{rule.evidence}" if rule else f"{name}=off"


def _unless_0(count: int) -> str | None:
    return str(count) if count else None


def _shown(value: str | None, instead: str) -> str:
    return instead if value is None else (value or '""')


class Running:
    """What devices run of a model now, or are wanted to run: what they confirmed, and what they were told since."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._standing = Standing(session)

    def words(self, model: str, devices: Collection[str]) -> str:
        """``digits@2 on 5 of 7, digits@1 on 2``; and which rollouts have some of these devices waiting for them."""
        rows = self._session.exec(select(ModelVersion).where(ModelVersion.model == model))
        versions = {row.manifest_sha256: row for row in rows}
        said, wanted = self._standing.said(model), self._standing.wanted(model)

        def has(device: str) -> str:
            runs, told = said[device].confirmed if device in said else None, wanted.get(device)
            if told is None or told == runs:
                return _name(versions.get(runs)) if runs is not None else NOTHING
            return f"{_name(versions.get(told))} wanted"

        counts = Counter(map(has, devices))
        names = sorted(counts, key=lambda name: (name == NOTHING, -counts[name], name))
        first, *others = names or [NOTHING]
        if first == NOTHING:
            counted = NOTHING
        else:
            parts = [f"{first} on {counts[first]} of {len(devices)}"]
            counted = ", ".join([*parts, *(f"{name} on {counts[name]}" for name in others)])
        return "; ".join([counted, *self._to_come(model, devices)])

    def _to_come(self, model: str, devices: Collection[str]) -> list[str]:
        query = (
            select(Rollout, ModelVersion, Deployment.device_id)
            .join(ModelVersion, col(Rollout.model_version_id) == col(ModelVersion.id))
            .join(Deployment, col(Deployment.rollout_id) == col(Rollout.id))
            .where(
                ModelVersion.model == model, col(Rollout.state).in_(UNFINISHED), Deployment.state == "waiting"
            )
            .order_by(col(Rollout.id))
        )
        found = [
            f"rollout {rollout.id} of {_name(version)} is {rollout.state}"
            for rollout, version, device in self._session.exec(query)
            if device in devices
        ]
        return list(dict.fromkeys(found))


def _name(version: ModelVersion | None) -> str:
    return f"{version.model}@{version.version}" if version else "a version that is not known"
