"""The gates of a rollout: what each looks at, its limit, how much evidence it needs, and what it then does. Pure.

A gate either counts devices (``share``: which part of those that were offered the version did badly) or compares
the devices that run the new version with a control cohort that runs the old one at the same time (``compare``), by
the sequential test of ``edgeops.fleet.rollout.betting``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgeops.core.errors import UsageError

Answer = Literal["hold", "abort", "roll_stage_back", "roll_back"]
ANSWERS: tuple[Answer, ...] = ("hold", "abort", "roll_stage_back", "roll_back")
"""From the mildest to the strongest; of several gates that say no, the strongest answer counts."""


@dataclass(frozen=True, slots=True)
class GateRule:
    """One gate of one rollout; ``evidence`` is the least number of devices (``share``) or of observations."""

    name: str
    limit: float
    evidence: int
    answer: Answer

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as it is stored and as ``fleet.toml`` says it."""
        return {"name": self.name, "limit": self.limit, "evidence": self.evidence, "answer": self.answer}


@dataclass(frozen=True, slots=True)
class GateKind:
    """What a gate is: how it judges, what a limit means, and what it protects from."""

    default: GateRule
    method: Literal["share", "compare", "single"]
    unit: str
    protects: str


_KINDS = (
    GateKind(
        GateRule("install", 0.1, 1, "hold"),
        "share",
        "share of devices",
        "a version that devices cannot take: it does not fit, does not verify, or fails its self-test",
    ),
    GateKind(
        GateRule("rollbacks", 0.05, 1, "hold"),
        "share",
        "share of devices",
        "a version that starts and then fails its trial on the device",
    ),
    GateKind(
        GateRule("silence", 0.2, 1, "hold"),
        "share",
        "share of devices",
        "a version that takes devices down: those that answered and then stopped count as bad",
    ),
    GateKind(
        GateRule("errors", 0.02, 4, "roll_back"),
        "compare",
        "error rate above control",
        "inferences that fail",
    ),
    GateKind(
        GateRule("latency", 1.5, 4, "hold"),
        "single",
        "p95 beside control",
        "a version that is right but too slow",
    ),
    GateKind(
        GateRule("confidence", 0.2, 4, "roll_back"),
        "compare",
        "mean confidence below control",
        "a version that is less sure, where no labels come back",
    ),
    GateKind(
        GateRule("accuracy", 0.05, 4, "roll_back"),
        "compare",
        "accuracy below control",
        "a version that is wrong, where labels come back",
    ),
    GateKind(
        GateRule("shadow", 0.25, 1, "roll_back"),
        "single",
        "share of inputs on which the two models disagree",
        "a version that answers differently, before it is ever active and without labels",
    ),
)
GATES: Mapping[str, GateKind] = {kind.default.name: kind for kind in _KINDS}
DEFAULT_GATES: tuple[GateRule, ...] = tuple(kind.default for kind in _KINDS)
FIX = "write it as accuracy=0.02, accuracy=0.02:roll_back, accuracy=0.02:roll_back:20, or accuracy=off"


def parse_gates(
    texts: list[str] | tuple[str, ...], base: tuple[GateRule, ...] = DEFAULT_GATES
) -> tuple[GateRule, ...]:
    """``base`` as changed by ``NAME=LIMIT[:ANSWER[:EVIDENCE]]`` or ``NAME=off``; raises ``UsageError``."""
    rules = {rule.name: rule for rule in base}
    for text in texts:
        match = re.fullmatch(r"\s*([a-z]+)\s*=\s*(off|[\d.]+)(?::([a-z_-]+))?(?::(\d+))?\s*", text)
        if match is None:
            raise UsageError(f"gate {text!r} is not understood", fix=FIX, gate=text)
        name, limit, answer, evidence = match.groups()
        kind = _kind(name)
        if limit == "off":
            rules.pop(name, None)
            continue
        changed = replace(rules.get(name, kind.default), limit=_limit(name, limit))
        if answer is not None:
            changed = replace(changed, answer=_answer(answer))
        if evidence is not None:
            changed = replace(changed, evidence=int(evidence))
        rules[name] = changed
    return tuple(rules[name] for name in GATES if name in rules)


def gate_from_dict(stored: Mapping[str, Any]) -> GateRule:
    """A gate as it is stored or stands in ``fleet.toml``; what is missing has its default. Raises ``UsageError``."""
    default = _kind(str(stored.get("name", ""))).default
    evidence = stored.get("evidence", default.evidence)
    if isinstance(evidence, bool) or not isinstance(evidence, int) or evidence < 0:
        raise UsageError(f"gate {default.name}: evidence = {evidence!r} is no count", key="evidence")
    return GateRule(
        default.name,
        _limit(default.name, stored.get("limit", default.limit)),
        evidence,
        _answer(str(stored.get("answer", default.answer))),
    )


def _kind(name: str) -> GateKind:
    if name not in GATES:
        raise UsageError(f"no gate {name!r}; there are {', '.join(GATES)}", fix=FIX, gate=name)
    return GATES[name]


def _limit(name: str, value: object) -> float:
    try:
        limit = float(str(value))
    except ValueError:
        limit = -1.0
    highest = 100.0 if name == "latency" else 1.0
    if not 0 <= limit <= highest or (name == "latency" and limit < 1):
        lowest = 1 if name == "latency" else 0
        raise UsageError(
            f"gate {name}: limit {value!r} is not from {lowest} to {highest:g}", fix=FIX, gate=name
        )
    return limit


def _answer(text: str) -> Answer:
    wanted = text.replace("-", "_")
    for answer in ANSWERS:
        if answer == wanted:
            return answer
    raise UsageError(f"no answer {text!r}; there are {', '.join(ANSWERS)}", fix=FIX, answer=text)
