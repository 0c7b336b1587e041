"""What a command prints: data on stdout, everything else on stderr, errors with a last line ``Fix:``."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

MAX_COLUMNS = 7


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


WorkspaceOption = Annotated[
    str, typer.Option("--workspace", "-w", envvar="EDGEOPS_WORKSPACE", help="The workspace folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print.")]


def chosen(output: Format, as_json: bool) -> Format:
    """``--json`` is the short form of ``-o json``."""
    return Format.JSON if as_json else output


def say(line: str) -> None:
    """A message for a person: stderr."""
    print(line, file=sys.stderr, flush=True)


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2, sort_keys=False, default=str), flush=True)


def print_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], output: Format, empty: str) -> None:
    """A list of things: ``columns`` are keys, the most important first.

    A terminal gets at most seven columns and as many as fit; what was left out is said. JSON gets everything.
    """
    if output is Format.JSON:
        print_json(list(rows))
    elif output is Format.JSONL:
        for row in rows:
            print(json.dumps(row, default=str))
    elif output is Format.CSV:
        _print_csv(rows, columns)
    elif not rows:
        say(empty)
    else:
        _print_table(rows, columns)


def print_facts(facts: dict[str, Any], output: Format) -> None:
    """One thing: its fields, one a line."""
    if output is Format.JSON:
        print_json(facts)
        return
    if output is Format.JSONL:
        print(json.dumps(facts, default=str))
        return
    if output is Format.CSV:
        _print_csv([facts], list(facts))
        return
    leaves = _leaves(facts)
    width = max(len(key) for key, _ in leaves)
    room = max(40, os.get_terminal_size().columns - width - 2) if sys.stdout.isatty() else 0
    for key, value in leaves:
        lines = (
            textwrap.wrap(value, room, break_long_words=False, break_on_hyphens=False) if room else [value]
        )
        for index, line in enumerate(lines or [""]):
            print(f"{key if index == 0 else '':<{width}}  {line}".rstrip())


def _leaves(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as lines: a dictionary of plain values is one line, anything deeper is taken apart."""
    found = []
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, dict) and any(isinstance(v, dict | list) for v in value.values()):
            found += _leaves(value, f"{name} ")
        elif isinstance(value, list) and any(isinstance(v, dict) or " " in str(v) for v in value):
            for index, item in enumerate(value):
                found.append((name if index == 0 else "", cell(item)))
        else:
            found.append((name, cell(value)))
    return found


def cell(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    if isinstance(value, dict):
        return "  ".join(f"{k}={cell(v)}" for k, v in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(cell(v) for v in value) or "-"
    return str(value)


def ago(seconds: float | None) -> str:
    """How long ago a time was."""
    if seconds is None:
        return "never"
    passed = max(0, int(time.time() - seconds))
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if passed < limit:
            return f"{passed // size} {unit} ago"
    return f"{passed // 86_400} d ago"


def iso(seconds: float | None) -> str | None:
    """A time as ISO 8601 UTC, for data."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    terminal = sys.stdout.isatty()
    shown = list(columns[:MAX_COLUMNS]) if terminal else list(columns)
    width = os.get_terminal_size().columns if terminal else 0
    while True:
        table = [[c.replace("_", " ") for c in shown], *([cell(row.get(c)) for c in shown] for row in rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(shown))]
        if not terminal or len(shown) == 1 or sum(widths) + 2 * (len(shown) - 1) <= width:
            break
        shown.pop()
    for line in table:
        print("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip())
    left_out = [c.replace("_", " ") for c in columns if c not in shown]
    if left_out:
        say(f"(left out: {', '.join(left_out)}; -o json shows all)")


def _print_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    import csv

    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows([[_flat(row.get(c)) for c in columns] for row in rows])


def _flat(value: Any) -> Any:
    """A CSV field: what has parts is JSON within it."""
    return json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else value
