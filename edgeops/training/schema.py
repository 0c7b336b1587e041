"""Checking a TOML table against a list of keys, with errors that name file, key, line and the nearest key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeops.core.errors import ConfigError

REQUIRED = object()
_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\-\" ]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*\"?([A-Za-z0-9_.\-]+)\"?\s*=")


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section: its type, its default (or ``REQUIRED``) and its range, both ends included.

    A list's ``items`` are whole numbers of that range, or text where it is None; it has ``length`` of them, or
    any number but none where that is zero. ``about`` is what the documentation says of it.
    """

    type: type
    default: Any = REQUIRED
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    items: tuple[int, int] | None = None
    length: int = 0
    about: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A TOML file's path and text, kept to say in which line a key stands."""

    path: Path
    text: str

    def line_of(self, dotted: str) -> int | None:
        """The line, from 1, of a key such as ``training.epochs``, of its inline table, or of its section."""
        section = ""
        found: dict[str, int] = {}
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := _HEADER.match(line):
                section = header.group(1).replace('"', "").replace(" ", "")
                found.setdefault(section, number)
            elif key := _KEY.match(line):
                name = key.group(1)
                found.setdefault(f"{section}.{name}" if section else name, number)
        while dotted:
            if dotted in found:
                return found[dotted]
            dotted = dotted.rpartition(".")[0]
        return None

    def error(self, dotted: str, problem: str, value: object = None, **fields: object) -> ConfigError:
        """A ``ConfigError`` about one key of this file."""
        line = self.line_of(dotted)
        where = f"{self.path}:{line}" if line else str(self.path)
        return ConfigError(
            f"{where}: {problem}",
            fix=f"correct {dotted!r} in {where}",
            file=str(self.path),
            key=dotted,
            value=value,
            line=line,
            **fields,
        )

    def refuse_unknown(self, table: Mapping[str, object], known: Mapping[str, object], section: str) -> None:
        """Raise for the first key that is not known, naming the nearest one that is."""
        for name, value in table.items():
            if name in known:
                continue
            dotted = f"{section}.{name}" if section else name
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
            raise self.error(
                dotted, f"unknown key {dotted!r}; {hint}", value, nearest=near[0] if near else None
            )


def read_section(source: Source, table: object, section: str, keys: Mapping[str, Key]) -> dict[str, Any]:
    """All keys of one section with their defaults filled in; raises ``ConfigError`` for anything else."""
    if not isinstance(table, dict):
        raise source.error(section, f"{section!r} must be a section, e.g. [{section}]", table)
    source.refuse_unknown(table, keys, section)
    values: dict[str, Any] = {}
    for name, key in keys.items():
        dotted = f"{section}.{name}"
        if name in table:
            values[name] = _checked(source, dotted, key, table[name])
        elif key.default is REQUIRED:
            raise source.error(dotted, f"{dotted!r} is missing")
        else:
            values[name] = key.default
    return values


_WANTED = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def _checked(source: Source, dotted: str, key: Key, value: object) -> Any:
    """``value`` as the key's type, within its range; a whole number passes for a float, a bool does not."""
    if key.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, key.type) or (isinstance(value, bool) and key.type is not bool):
        raise source.error(dotted, f"{dotted!r} must be {_WANTED[key.type]}, not {value!r}", value)
    if isinstance(value, int | float):
        low, high = key.low, key.high
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise source.error(dotted, f"{dotted!r} must lie in {_range(low, high)}, not be {value}", value)
    if key.items is not None:
        _check_items(source, dotted, key, value)
    if key.choices and value not in key.choices:
        near = difflib.get_close_matches(str(value), key.choices, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(key.choices)}"
        raise source.error(dotted, f"{dotted!r} is {value!r}; {hint}", value)
    return value


def _check_items(source: Source, dotted: str, key: Key, value: Any) -> None:
    low, high = key.items or (0, 0)
    good = all(type(item) is int and low <= item <= high for item in value)
    if not good or not value or (key.length and len(value) != key.length):
        count = f"{key.length} whole numbers" if key.length else "one or more whole numbers"
        raise source.error(dotted, f"{dotted!r} must list {count} in {low}..{high}, not {value}", value)


def _range(low: float | None, high: float | None) -> str:
    return f"{'-inf' if low is None else f'{low:g}'}..{'inf' if high is None else f'{high:g}'}"
