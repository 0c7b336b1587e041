"""The gates of a rollout, judged: evidence folded in and stored, a verdict in words, and what is refused.

Shares are counted from the deployments as they stand; comparisons go on where the stored evidence ended.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session

from edgeops.core.observe import LATENCY_BINS
from edgeops.fleet.figures import latency_p95, share_slower
from edgeops.fleet.observations import (
    MIN_LABELS,
    SeenWindow,
    baseline,
    first_cursors,
    latest_cursors,
    new_labels,
    new_windows,
    shadow_counts,
)
from edgeops.fleet.rollout.engine import TAKEN, Refusal
from edgeops.fleet.rollout.evidence import Evidence, Observation, evidence_from_dict
from edgeops.fleet.rollout.gates import GATES, GateRule
from edgeops.fleet.rollout.plan import Plan
from edgeops.fleet.rollout.single import Single, single_from_dict
from edgeops.fleet.verdicts import compare_words, share_words, single_words
from edgeops.registry.tables import Deployment, GateEvidence, ModelVersion, Rollout

SLOW_SHARE = 0.05
"""By definition of a 95th percentile, so many inferences may be slower than it."""
MIN_LATE = 5
SHADOW_SHARES = 10
"""A device tells of its shadow run after each such share of it."""
CURSORS = {"errors": "window", "confidence": "window", "latency": "window", "accuracy": "label"}
"""What a gate reads on from, and stores with its evidence."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The gates that refuse, and those that lean against the version without being sure, in words."""

    refusals: tuple[Refusal, ...] = ()
    undecided: tuple[str, ...] = ()


def judge(
    session: Session,
    rollout: Rollout,
    version: ModelVersion,
    plan: Plan,
    rows: Mapping[str, Deployment],
    stopped: frozenset[str],
    now: float,
    *,
    has_control: bool,
) -> Judgement:
    """Judge every gate of the plan, and store what it saw.

    ``stopped``: devices that answered and then fell silent. ``has_control``: whether devices are left that run an
    older version and may tell of it.
    """
    stored = {rule.name: _stored(session, rollout, rule) for rule in plan.gates}
    reading = [row for name, row in stored.items() if name in CURSORS]
    if any(CURSORS[row.gate] not in row.cursor for row in reading):
        begin = first_cursors(session, rollout)
        for row in reading:
            row.cursor = {CURSORS[row.gate]: begin[CURSORS[row.gate]], **row.cursor}
    seen = _windows(session, rollout, version, rows, stored)
    refusals, undecided = [], []
    for rule in plan.gates:
        row = stored[rule.name]
        leans = False
        match rule.name:
            case "install" | "rollbacks" | "silence":
                refuses, words = _share(rule, rows, stopped, rollout.judged_since)
            case "errors" | "confidence":
                observations = [o for w in seen if (o := _of_window(w, rule.name)) is not None]
                refuses, leans, words = _compare(rule, row, observations, has_control)
            case "accuracy":
                observations = _of_labels(session, rollout, version, rows, row)
                refuses, leans, words = _compare(rule, row, observations, has_control)
            case "latency":
                refuses, leans, words = _latency(rule, row, seen)
            case _:
                counts = shadow_counts(session, version, rows)
                share = max(1, plan.shadow_inferences // SHADOW_SHARES)
                refuses, leans, words = _shadow(rule, row, counts, share)
        row.verdict, row.words, row.judged_at = _verdict(rule, row, refuses, leans), words, now
        session.add(row)
        if refuses:
            refusals.append(Refusal(rule.name, rule.answer, words))
        elif leans:
            undecided.append(f"{rule.name}: {words}")
    return Judgement(tuple(refusals), tuple(undecided))


def unjudged(session: Session, rollout: Rollout, plan: Plan, rows: Mapping[str, Deployment]) -> str | None:
    """That no gate on quality could judge, where devices had a version to compare with; None where one did."""
    rules = [rule for rule in plan.gates if GATES[rule.name].method != "share"]
    judged = any(_stored(session, rollout, rule).verdict == "passes" for rule in rules)
    if judged or not rules or all(row.before is None for row in rows.values()):
        return None
    return "no gate on quality had enough evidence while its stages soaked"


def judge_late(
    session: Session, rollout: Rollout, plan: Plan, rows: Mapping[str, Deployment], now: float
) -> tuple[Refusal, ...]:
    """What devices that took the version after the rollout had completed did with it; refusals hold the rest back.

    A single bad device among those that come one by one in the course of months is no verdict.
    """
    since = rollout.finished_at if rollout.finished_at is not None else now
    late = {device_id: row for device_id, row in rows.items() if row.since > since and row.state in TAKEN}
    refusals = []
    for rule in plan.gates:
        if rule.name not in ("install", "rollbacks"):
            continue
        refuses, words = _share(
            replace(rule, evidence=max(rule.evidence, MIN_LATE)), late, frozenset(), rollout.judged_since
        )
        if refuses:
            row = _stored(session, rollout, rule)
            row.verdict, row.words, row.judged_at = "refuses", f"after completion: {words}", now
            session.add(row)
            refusals.append(Refusal(rule.name, "hold", row.words))
    return tuple(refusals)


def forget(session: Session, rollout: Rollout, version: ModelVersion, rows: Mapping[str, Deployment]) -> None:
    """Begin all evidence anew, with what comes from now on: a person looked at the rest and resumed."""
    latest = latest_cursors(session)
    for name in GATES:
        row = session.get(GateEvidence, (rollout.id, name))
        if row is None:
            continue
        row.evidence = {}
        if name in CURSORS:
            row.cursor = {CURSORS[name]: latest[CURSORS[name]]}
        elif name == "shadow":
            row.cursor = {"shadow": {d: list(c) for d, c in shadow_counts(session, version, rows).items()}}
        session.add(row)


def _verdict(rule: GateRule, row: GateEvidence, refuses: bool, leans: bool) -> str:
    """``refuses``, ``undecided`` while it leans to that, ``passes``, or ``too early`` while there is less evidence than
    the rule asks for.
    """
    if refuses or leans:
        return "refuses" if refuses else "undecided"
    seen = row.evidence.get("worse") or row.evidence.get("single") or {}
    return (
        "too early"
        if GATES[rule.name].method != "share" and seen.get("count", 0) < rule.evidence
        else "passes"
    )


def _stored(session: Session, rollout: Rollout, rule: GateRule) -> GateEvidence:
    key = (rollout.id or 0, rule.name)
    return session.get(GateEvidence, key) or GateEvidence(rollout_id=key[0], gate=rule.name)


def _windows(
    session: Session,
    rollout: Rollout,
    version: ModelVersion,
    rows: Mapping[str, Deployment],
    stored: Mapping[str, GateEvidence],
) -> list[SeenWindow]:
    """The windows that the gates have not seen; those of one rollout read together, so they share a cursor."""
    reading = [row for name, row in stored.items() if CURSORS.get(name) == "window"]
    if not reading:
        return []
    found = new_windows(session, rollout, version, rows, reading[0].cursor["window"])
    for row in reading:
        row.cursor = {**row.cursor, "window": found.cursor}
    return found.seen


def _of_window(window: SeenWindow, figure: str) -> Observation | None:
    value = window.figures.errors if figure == "errors" else window.figures.confidence
    if value is None:
        return None
    spread = window.before.get(f"{figure}_spread", 0.0)
    return Observation(window.device_id, window.treated, value, window.before.get(figure), spread)


def _of_labels(
    session: Session,
    rollout: Rollout,
    version: ModelVersion,
    rows: Mapping[str, Deployment],
    row: GateEvidence,
) -> list[Observation]:
    """An observation for each device from which some labels came, in the order of their ids."""
    counts, cursor = new_labels(session, version, rows, row.cursor["label"])
    waiting: dict[str, list[int]] = dict(row.cursor.get("waiting", {}))  # too few so far
    found = []
    for device_id, (treated, labels, right) in sorted(counts.items()):
        side, before, before_right = waiting.pop(device_id, [int(treated), 0, 0])
        if side == treated:  # else it was offered the version since
            labels, right = labels + before, right + before_right
        if labels < MIN_LABELS:
            waiting[device_id] = [int(treated), labels, right]
            continue
        past = baseline(session, rollout, version, rows[device_id])
        spread = past.get("accuracy_spread", 0.0)
        found.append(Observation(device_id, treated, right / labels, past.get("accuracy"), spread))
    row.cursor = {"label": cursor, "waiting": waiting}
    return found


def _share(
    rule: GateRule, rows: Mapping[str, Deployment], stopped: frozenset[str], judged_since: float
) -> tuple[bool, str]:
    offered = [d for d in rows.values() if d.state in TAKEN]
    if rule.name == "silence":
        bad = [d for d in offered if d.device_id in stopped]
    else:
        back = rule.name == "rollbacks"
        bad = [
            d
            for d in offered
            if d.state == "failed"
            and d.since > judged_since
            and (d.reason or "").startswith("rolled back") is back
        ]
    refuses = len(offered) >= rule.evidence and len(bad) > rule.limit * len(offered)
    first = min(bad, key=lambda d: (d.since, d.device_id), default=None)
    example = f"; {first.device_id}: {first.reason or 'nothing more was heard of it'}" if first else ""
    return refuses, share_words(rule, len(bad), len(offered), example)


def _compare(
    rule: GateRule, row: GateEvidence, observations: list[Observation], has_control: bool
) -> tuple[bool, bool, str]:
    evidence: Evidence = evidence_from_dict(row.evidence).take(rule, observations, has_control)
    row.evidence = evidence.to_dict()
    return evidence.refuses(rule), evidence.leans(rule), compare_words(rule, evidence)


def _latency(rule: GateRule, row: GateEvidence, seen: list[SeenWindow]) -> tuple[bool, bool, str]:
    """Treated windows against a 95th percentile: too many inferences beyond it are too slow."""
    empty = [0] * LATENCY_BINS
    kept: dict[str, Any] = row.evidence or {"control": empty, "control_before": empty, "treated": empty}
    control, past, treated = kept["control"], kept["control_before"], kept["treated"]
    state = single_from_dict(kept.get("single", {}))
    for window in seen:
        before: Sequence[int] = window.before.get("latency") or empty
        if not window.treated:
            control = _added(control, window.figures.latency)
            past = _added(past, before)
            continue
        treated = _added(treated, window.figures.latency)
        # A slow board among fast ones is no slow version: where its own past is known, that is what counts,
        # as much slower as the control cohort has become meanwhile.
        own, now, then = latency_p95(before), latency_p95(control), latency_p95(past)
        reference = own * max(1.0, now / then) if own and now and then else own or now
        if reference is not None:
            slower = share_slower(window.figures.latency, rule.limit * reference)
            state = state.take(slower, SLOW_SHARE)
    row.evidence = {"control": control, "control_before": past, "treated": treated, "single": state.to_dict()}
    words = single_words(rule, state, latency_p95(treated), latency_p95(control))
    return state.refuses(rule.evidence), state.leans(rule.evidence), words


def _added(a: Sequence[int], b: Sequence[int]) -> list[int]:
    return [x + y for x, y in zip(a, b, strict=True)]


def _shadow(
    rule: GateRule, row: GateEvidence, counts: Mapping[str, tuple[int, int, int]], share: int
) -> tuple[bool, bool, str]:
    """A figure for each ``share`` inputs: also a whole run of which nothing was heard in between is that many."""
    taken: dict[str, list[int]] = dict(row.cursor.get("shadow", {}))
    state: Single = single_from_dict(row.evidence.get("single", {}))
    for device_id, (inferences, disagreements, generation) in sorted(counts.items()):
        before, before_bad, of = taken.get(device_id, [0, 0, 0])
        if inferences < before or generation != of:  # it began anew
            before, before_bad = 0, 0
        if inferences == before:
            continue
        taken[device_id] = [inferences, disagreements, generation]
        draw = random.Random(f"{row.rollout_id} {device_id} {inferences}")
        for value in _shares(inferences - before, disagreements - before_bad, share, draw):
            state = state.take(value, rule.limit)
    row.cursor = {**row.cursor, "shadow": taken}
    row.evidence = {"single": state.to_dict()}
    total = sum(inferences for inferences, _, _ in counts.values())
    disagreed = sum(bad for _, bad, _ in counts.values()) / total if total else math.nan
    words = single_words(rule, state, disagreed if total else None, None)
    return state.refuses(rule.evidence), state.leans(rule.evidence), words


def _shares(inputs: int, bad: int, share: int, draw: random.Random) -> list[float]:
    """The share of bad ones in each of several lots of ``inputs``, as if they had come in any order.

    In which lot a bad one was is not known, so it is drawn: whatever the order, that is as likely as any.
    """
    lots = max(1, inputs // share)
    places = draw.sample(range(inputs), min(bad, inputs))
    sizes = [inputs // lots + (lot < inputs % lots) for lot in range(lots)]
    counts = [0] * lots
    for place in places:
        counts[place % lots] += 1
    return [count / size for count, size in zip(counts, sizes, strict=True)]
