"""What ``rollout start``, its dry run and ``rollout show`` print for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeops.cli.layout import terminal_width, wrapped
from edgeops.cli.notices import warn
from edgeops.cli.output import Format, print_facts, print_rows, tell
from edgeops.fleet.rollout.duration import duration_words

GATE = "gate {gate:<11} {verdict:<14} "
GATE_INDENT = " " * len(GATE.format(gate="", verdict=""))
ONLY_WHERE_SENT = ("uplink_bytes", "saved_bytes")
IN_WORDS = ("soak_left_s", "patience_left_s")
"""Facts for programs: ``progress`` says them to people."""


def print_preview(facts: dict[str, Any]) -> None:
    """Who would get a version, how large the stages are, and what speaks against it."""
    print_rows(
        facts["devices"], ["device", "connection", "target", "has", "reason"], Format.TABLE, "no device"
    )
    sizes = ", ".join(_stage(row["stage"], row["devices"]) for row in facts["stages"])
    tell(f"stages {sizes}; {soak_words(facts['soak_s'])}")
    if len(facts["by_runtime"]) > 1 or "plan" in facts["by_runtime"]:
        kinds = ", ".join(f"{_devices(count)} with {name}" for name, count in facts["by_runtime"].items())
        tell(f"{kinds}; {facts['bytes']:,} bytes in all without patches")
    if facts["already"]:
        tell(f"{len(facts['already'])} of {len(facts['devices'])} have {facts['model']} already")
    print_takes(facts["takes"], "would take")
    warn(facts["warnings"])


def print_started(facts: dict[str, Any]) -> None:
    """What a rollout was started with."""
    tell(
        f"rollout {facts['rollout']}: {facts['model']} to {facts['devices']} devices in stages "
        f"{', '.join(facts['stages'])}; {soak_words(facts['soak_s'])}"
    )
    print_takes(facts["takes"], "takes")
    warn(facts["warnings"])


def print_takes(takes: Sequence[dict[str, Any]], verb: str) -> None:
    """From which unfinished rollouts devices are taken."""
    for taken in takes:
        devices = _devices(taken["devices"])
        end = ", which is then superseded" if taken["ends_it"] else ""
        tell(f"{verb} {devices} from rollout {taken['rollout']}{end}")


def print_rollout(facts: dict[str, Any]) -> None:
    """One rollout: facts, gates and devices."""
    facts = dict(facts)
    devices, gates, warnings = facts.pop("devices"), facts.pop("gates"), facts.pop("warnings")
    for key in (*IN_WORDS, *(key for key in ("progress", *ONLY_WHERE_SENT) if not facts[key])):
        facts.pop(key)
    print_facts(facts, Format.TABLE)
    print()
    for judged in gates:
        print("\n".join(gate_lines(judged, terminal_width() or 10_000)))
    print()
    print_rows(devices, ["device", "stage", "state", "doing", "reason"], Format.TABLE, "no devices")
    warn(warnings)


def gate_lines(judged: dict[str, Any], width: int) -> list[str]:
    """A gate's verdict, what it rests on, and where it refuses its answer."""
    figures, _, rest = judged["evidence"].partition("; ")
    told = [figures, rest] if rest else [figures]
    if judged["verdict"] == "refuses":
        told.append(f"its answer: {judged['answer']}")
    lines = [line for part in told for line in wrapped(part, width - len(GATE_INDENT))]
    return [GATE.format(**judged) + lines[0], *(GATE_INDENT + line for line in lines[1:])]


def soak_words(soak_s: float) -> str:
    """How long each stage is watched."""
    return f"each is watched for {duration_words(soak_s)}" if soak_s else "none is watched (no soak)"


def _stage(stage: str, devices: int) -> str:
    return f"{stage} ({_devices(devices)})"


def _devices(count: int) -> str:
    return f"{count} device{'' if count == 1 else 's'}"
