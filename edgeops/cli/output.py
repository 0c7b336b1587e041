"""What a command prints: data on stdout, everything else on stderr, errors with a last line ``Fix:``."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from contextvars import ContextVar
from enum import StrEnum
from typing import Annotated, Any

import typer

from edgeops.cli.layout import GAP, fitted, lines_of, terminal_width, wrapped

MAX_COLUMNS = 7
# enough of a digest to tell it from another; --json has all of it
_DIGEST = re.compile(r"^([0-9a-f]{12})[0-9a-f]{28,116}(?=$| )")

workspace_given: ContextVar[str] = ContextVar("workspace_given", default="")
"""The workspace that the command line named, for a hint that is a command to name it too."""


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def _remember(context: typer.Context, workspace: str) -> str:
    source = context.get_parameter_source("workspace")
    if source is not None and source.name == "COMMANDLINE":
        workspace_given.set(workspace)
    return workspace


WorkspaceOption = Annotated[
    str,
    typer.Option(
        "--workspace", "-w", envvar="EDGEOPS_WORKSPACE", help="The workspace folder.", callback=_remember
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print.")]


def chosen(output: Format, as_json: bool) -> Format:
    """``--json`` is the short form of ``-o json``."""
    return Format.JSON if as_json else output


def say(line: str) -> None:
    """A message for a person: stderr."""
    print(line, file=sys.stderr, flush=True)


def tell(line: str) -> None:
    """A message of many figures: stderr, wrapped between words on a terminal."""
    width = terminal_width(sys.stderr)
    say(line if width is None else "\n".join(wrapped(line, width, "    ")))


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2, sort_keys=False, default=str), flush=True)


def print_rows(
    rows: Sequence[dict[str, Any]], columns: Sequence[str], output: Format, empty: str, keep: int = 2
) -> None:
    """A list of things: ``columns`` are keys, the most important first.

    A terminal gets at most seven columns and as many as fit, but always the first ``keep``; what was left out
    is said. JSON gets everything.
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
        _print_table(rows, columns, keep)


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
    longest = max(len(key) for key, _ in leaves)
    width = terminal_width()
    if width is None:
        for key, value in leaves:
            print(f"{key:<{longest}}  {value}".rstrip())
        return
    keys = min(longest, width * 2 // 5)
    for leaf in leaves:
        print("\n".join(lines_of(leaf, [keys, width - keys - GAP])))


def print_markdown(text: str) -> None:
    """Markdown on stdout: as it is for a program or with ``--plain``, laid out for a terminal."""
    width = terminal_width()
    if width is None or os.environ.get("EDGEOPS_PLAIN") or os.environ.get("TERM") == "dumb":
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    colours = None if os.environ.get("NO_COLOR") else "auto"
    Console(width=width, color_system=colours).print(Markdown(text, hyperlinks=False))  # type: ignore[arg-type]


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
            found.append((name, cell(value) or "-"))
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
    return _DIGEST.sub(r"\1", value, count=1) if isinstance(value, str) else str(value)


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


def _print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str], keep: int) -> None:
    width = terminal_width()
    shown = list(columns) if width is None else list(columns[: max(MAX_COLUMNS, keep)])
    table = [[c.replace("_", " ") for c in shown], *([cell(row.get(c)) for c in shown] for row in rows)]
    if width is None:
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            print("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip())
        return
    widths = fitted(table, width, keep)
    for line in table:
        print("\n".join(lines_of(line, widths)))
    left_out = [c.replace("_", " ") for c in columns[len(widths) :]]
    if left_out:
        tell(f"(left out: {', '.join(left_out)}; -o json shows all)")


def _print_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    import csv

    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows([[_flat(row.get(c)) for c in columns] for row in rows])


def _flat(value: Any) -> Any:
    """A CSV field: what has parts is JSON within it."""
    return json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else value
