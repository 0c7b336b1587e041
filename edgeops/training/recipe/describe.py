"""What a recipe may say, for editors (JSON Schema) and for people (Markdown); both from the same keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgeops.core.features.parameters import REQUIRED as NEEDED
from edgeops.core.features.parameters import Parameter
from edgeops.core.features.steps import OPERATIONS
from edgeops.training.architectures.catalogue import ARCHITECTURES
from edgeops.training.recipe.keys import AUGMENTATION, DISTILLATION, PRUNING, ROBUSTNESS, SEARCH, SECTIONS
from edgeops.training.schema import REQUIRED, Key

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
_WORDS = {str: "text", int: "whole number", float: "number", bool: "yes or no", list: "list", dict: "table"}
_TABLES: Mapping[str, Mapping[str, Key]] = {
    "training.augmentation": AUGMENTATION,
    "training.pruning": PRUNING,
    "training.distillation": DISTILLATION,
}
_ENTRIES: Mapping[str, Mapping[str, Key]] = {"gates.robustness": ROBUSTNESS, "search.space": SEARCH}


def json_schema() -> dict[str, Any]:
    """A JSON Schema (2020-12) of ``recipe.toml``; editors take it for TOML too."""
    sections = {name: _object(keys, name) for name, keys in SECTIONS.items()}
    sections["preprocessing"]["properties"]["steps"]["items"] = {"oneOf": list(_steps())}
    built_in = [
        _object({"kind": Key(str, choices=(name,), about=entry.purpose), **entry.parameters}, "architecture")
        for name, entry in ARCHITECTURES.items()
    ]
    own = _object(
        {"python": Key(str, about="file.py:function"), "parameters": Key(dict, default={})}, "architecture"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "EdgeOps recipe",
        "type": "object",
        "additionalProperties": False,
        "required": ["recipe", "data", "architecture", "training"],
        "properties": {**sections, "architecture": {"oneOf": [*built_in, own]}},
    }


def _steps() -> Iterator[dict[str, Any]]:
    for name, operation in OPERATIONS.items():
        properties: dict[str, Any] = {"op": {"const": name}}
        required = ["op"]
        for parameter in operation.parameters:
            properties[parameter.name] = _parameter(parameter)
            if parameter.default is NEEDED:
                required.append(parameter.name)
        yield {
            "type": "object",
            "additionalProperties": False,
            "required": required,
            "properties": properties,
        }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    document: dict[str, Any] = {"description": parameter.about} if parameter.about else {}
    if parameter.default is not NEEDED:
        document["default"] = parameter.default
    if parameter.choices:
        return {**document, "enum": list(parameter.choices)}
    one: dict[str, Any] = {"type": "integer" if parameter.whole else "number"}
    one.update(minimum=parameter.low, maximum=parameter.high)
    if not parameter.many:
        return {**document, **one}
    counts = {"minItems": min(parameter.many), "maxItems": max(parameter.many)}
    return {**document, "anyOf": [one, {"type": "array", "items": one, **counts}]}


def _object(keys: Mapping[str, Key], section: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(key, f"{section}.{name}") for name, key in keys.items()},
    }
    required = [name for name, key in keys.items() if key.default is REQUIRED]
    return {**document, "required": required} if required else document


def _property(key: Key, dotted: str) -> dict[str, Any]:
    if dotted in _TABLES:
        return _object(_TABLES[dotted], dotted)
    document: dict[str, Any] = {"type": _TYPES[key.type]}
    if key.about:
        document["description"] = key.about
    if key.default is not REQUIRED and key.default is not None:
        document["default"] = key.default
    if key.choices:
        document["enum"] = list(key.choices)
    for name, bound in (("minimum", key.low), ("maximum", key.high)):
        if bound is not None:
            document[name] = bound
    if dotted in _ENTRIES:
        document["items"] = _object(_ENTRIES[dotted], dotted)
    elif key.items is not None:
        document["items"] = {"type": "integer", "minimum": key.items[0], "maximum": key.items[1]}
        document["minItems"] = key.length or 1
        if key.length:
            document["maxItems"] = key.length
    return document


def markdown() -> str:
    """A table for each section and each architecture."""
    lines: list[str] = []
    for name, keys in SECTIONS.items():
        lines += [f"## [{name}]", "", *_table(keys), ""]
        for dotted, inner in (*_TABLES.items(), *_ENTRIES.items()):
            if dotted.startswith(f"{name}."):
                lines += [f"### {dotted}", "", *_table(inner), ""]
    lines += ["## [architecture]", ""]
    lines += ['Either `kind`, one of those below, or `python = "file.py:function"` with `parameters`.', ""]
    for name, entry in ARCHITECTURES.items():
        lines += [f'### kind = "{name}"', "", f"For {entry.purpose}.", "", *_table(entry.parameters), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(keys: Mapping[str, Key]) -> list[str]:
    lines = ["| key | what | default |", "|---|---|---|"]
    for name, key in keys.items():
        default = "required" if key.default is REQUIRED else f"`{_toml(key.default)}`"
        kind = ", ".join(f"`{choice}`" for choice in key.choices) or _WORDS[key.type]
        low, high = key.low, key.high
        bounds = f", {low:g}..{high:g}" if low is not None and high is not None and high < 2**31 - 1 else ""
        lines.append(f"| `{name}` | {key.about or kind} ({kind}{bounds}) | {default} |")
    return lines


def _toml(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "{}"
    return str(value)
