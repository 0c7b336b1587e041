"""A recipe's document as TOML again: every value as it was read, comments not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_LINE = 100


def to_toml(document: Mapping[str, Any]) -> str:
    """TOML that ``tomllib`` reads as the same document: sections first to last, what is nested on one line.

    Takes what ``tomllib`` gives: text, numbers, yes or no, dates, lists and tables.
    """
    sections = {name: value for name, value in document.items() if isinstance(value, dict)}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in document.items() if name not in sections]
    for name, table in sections.items():
        lines += ["", f"[{_key(name)}]"] if lines else [f"[{_key(name)}]"]
        lines += [f"{_key(key)} = {_entry(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _entry(value: Any) -> str:
    """A value of a section; a long list of tables has one a line."""
    text = _value(value)
    if len(text) > _LINE and isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return "[\n" + "".join(f"    {_value(item)},\n" for item in value) + "]"
    return text


def _key(name: str) -> str:
    return name if _BARE.match(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    return str(value.isoformat())


def _text(text: str) -> str:
    # a JSON string is a TOML basic string, but for one control character
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
