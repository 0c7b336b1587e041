"""Verdicts of gates in words and numbers. Pure."""

from __future__ import annotations

from edgeops.fleet.rollout.evidence import ALPHA, Evidence
from edgeops.fleet.rollout.gates import GateRule
from edgeops.fleet.rollout.single import Single

NEEDED = round(1 / ALPHA)
FIGURES = {"errors": "error rate", "confidence": "mean confidence", "accuracy": "right answers"}
SIDES = {"errors": "above", "confidence": "below", "accuracy": "below"}


def share_words(rule: GateRule, bad: int, offered: int, example: str) -> str:
    """``2 of 20 devices, where 10 % may; cam-07: rejected: ...``."""
    if not offered:
        return "nothing offered yet"
    return f"{bad} of {offered} devices, where {rule.limit:.0%} may{example}"


def compare_words(rule: GateRule, evidence: Evidence) -> str:
    """Both cohorts' means, how many pairs, and how sure that is."""
    if evidence.treated_mean is None:
        return "no figures from the new version yet"
    control = f"{evidence.control_mean:.3f}" if evidence.control_mean is not None else "none"
    return (
        f"{FIGURES[rule.name]} new {evidence.treated_mean:.3f}, control {control}, "
        f"at most {rule.limit:g} {SIDES[rule.name]}, after {_count(evidence.worse.count, 'comparison')}; "
        f"{_odds(evidence.odds)}"
    )


def single_words(rule: GateRule, state: Single, new: float | None, control: float | None) -> str:
    """What is measured, its limit, and how sure it is that it is passed."""
    if new is None:
        return "no figures from the new version yet"
    if rule.name == "latency":
        beside = f", control {control:.0f} us" if control is not None else ""
        figures = f"latency p95 new {new:.0f} us{beside}, limit x{rule.limit:g}"
    else:
        figures = f"the models disagree on {new:.1%} of inputs, limit {rule.limit:.0%}"
    return f"{figures}, after {_count(state.capital.count, 'figure')}; {_odds(state.odds)}"


def _odds(odds: float) -> str:
    """How much a bet of 1 against the version has won, and how much makes a gate refuse."""
    shown = f"{odds:.1f}" if odds < NEEDED else (f"{odds:.0f}" if odds < 1e6 else "over a million")
    return f"odds {shown} to 1 against it; {NEEDED} to 1 is enough"


def _count(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"
