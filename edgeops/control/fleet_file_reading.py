"""Reading ``fleet.toml``: its keys, and of one that is wrong file, entry, key, value, and what it takes."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgeops.control.rollout_orders import plan_of
from edgeops.control.workspace import Workspace
from edgeops.core.errors import ConfigError, NotFoundError, UsageError
from edgeops.core.known_keys import refuse_unknown
from edgeops.fleet.rollout.plan import Plan
from edgeops.fleet.rollout.selector import Selector


@dataclass(frozen=True)
class FileKey:
    """A key of a ``[[rollout]]``: what kind of value it takes, and one as it is written in the file."""

    name: str
    kind: Literal["text", "list of texts", "count", "true or false"]
    example: str

    def takes(self, value: object) -> bool:
        """Whether a value is of the kind."""
        match self.kind:
            case "text":
                return isinstance(value, str)
            case "list of texts":
                return isinstance(value, list) and all(isinstance(item, str) for item in value)
            case "count":
                return type(value) is int and value >= 0
            case "true or false":
                return isinstance(value, bool)


ROLLOUT_KEYS = (
    FileKey("model", "text", '"digits@2"'),
    FileKey("to", "text", """'site = "berlin"'"""),
    FileKey("stages", "list of texts", '["1", "25%", "100%"]'),
    FileKey("soak", "text", '"10m"'),
    FileKey("patience", "text", '"1h"'),
    FileKey("window", "text", '"22:00-05:00 Europe/Berlin"'),
    FileKey("rate", "text", '"60/min"'),
    FileKey("approve", "true or false", "true"),
    FileKey("gates", "list of texts", '["accuracy=0.02:roll_back"]'),
    FileKey("shadow", "count", "200"),
    FileKey("spread", "text", '"5m"'),
    FileKey("max_bytes", "count", "10000000"),
)
"""In the order of the table in ``docs/rollouts.in.md``."""
_KEYS = {key.name: key for key in ROLLOUT_KEYS}


@dataclass(frozen=True)
class WantedRollout:
    """A ``[[rollout]]`` of the file: the version as it is written there, and its plan."""

    model: str
    plan: Plan


@dataclass(frozen=True)
class FleetFile:
    """What a file asks for; of a device the attributes that it names, an empty one to be removed."""

    rollouts: tuple[WantedRollout, ...]
    devices: Mapping[str, Mapping[str, str]]


def read_fleet_file(path: Path, workspace: Workspace) -> FleetFile:
    """Read a file; raises ``NotFoundError``, and ``ConfigError`` that names the entry and the key."""
    table = _table(path)
    refuse_unknown(table, ["rollout", "device"], str(path))
    entries = table.get("rollout", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(
            f"{path}: write rollouts as [[rollout]]",
            fix="begin each rollout with a line [[rollout]], in two brackets",
            file=str(path),
            key="rollout",
        )
    rollouts = tuple(_rollout(entry, path, number, workspace) for number, entry in enumerate(entries, 1))
    _refuse_twice(rollouts, path)
    return FleetFile(rollouts, _devices(table.get("device", {}), path))


def _table(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{path}: no such file", fix="name the fleet file by its path from this folder", path=str(path)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8", fix="save it as UTF-8", file=str(path)) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", fix="name a file that you may read", file=str(path)
        ) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, line = _place(str(error), text)
        reads = text.split("\n")[line - 1].strip()
        raise ConfigError(
            f"{path}, line {line}: {what}",
            fix=f"correct line {line}, which reads: {reads} (a text stands in quotation marks)",
            file=str(path),
            line=line,
        ) from error


def _place(message: str, text: str) -> tuple[str, int]:
    """What the parser says without the place, and the number of the line; of the end the last one with anything."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if match is not None:
        return f"{match[1]} (column {match[3]})", int(match[2])
    return message, len(text.rstrip().split("\n"))


def _devices(table: object, path: Path) -> Mapping[str, Mapping[str, str]]:
    shape = 'write devices as [device.NAME] with KEY = "VALUE"'
    if not isinstance(table, dict):
        raise ConfigError(
            f"{path}: {shape}", fix="begin each with [device.NAME]", file=str(path), key="device"
        )
    for name, values in table.items():
        if not isinstance(values, dict):
            raise ConfigError(
                f"{path}: device {name}: {shape}",
                fix=f"begin it with a line [device.{name}]",
                file=str(path),
                key=f"device.{name}",
            )
        for key, value in values.items():
            if not isinstance(value, str):
                plain = isinstance(value, bool | int | float)
                example = json.dumps(_literal(value) if plain else "berlin")
                raise _wrong(path, f"device {name}", key, value, f"a text such as {example}", example)
    return table


def _rollout(entry: Mapping[str, Any], path: Path, number: int, workspace: Workspace) -> WantedRollout:
    where = f"rollout {number}"
    refuse_unknown(dict(entry), list(_KEYS), str(path), where)
    for name, value in entry.items():
        key = _KEYS[name]
        if not key.takes(value):
            kind = "true or false" if key.kind == "true or false" else f"a {key.kind} such as {key.example}"
            raise _wrong(path, where, name, value, kind, key.example)
    if not entry.get("model"):
        fix = f"add a line such as model = {_KEYS['model'].example}"
        raise ConfigError(f"{path}: {where}: key 'model' is missing", fix=fix, file=str(path), key="model")
    asked = {name: value for name, value in entry.items() if name != "model"}
    if "stages" in asked:
        asked["stages"] = ",".join(asked["stages"])
    try:
        plan = plan_of(workspace, **asked)
    except UsageError as error:
        message, hint = _as_in_a_file(error)
        raise ConfigError(f"{path}: {where}: {message}", fix=hint, file=str(path)) from error
    return WantedRollout(entry["model"], plan)


def _as_in_a_file(error: UsageError) -> tuple[str, str | None]:
    """An error and its hint, which speak of options, in the words of the file."""
    message, fix = error.message.removeprefix("--"), error.fix
    key = _KEYS.get(message.split(" ")[0])
    if key is not None:
        fix = f"write it as {key.name} = {key.example}"
    elif fix is not None:
        fix = re.sub(r"--(\w+) (\d+)", r"\1 = \2", fix)
    return message, fix


def _wrong(path: Path, where: str, key: str, value: object, kind: str, example: str) -> ConfigError:
    return ConfigError(
        f"{path}: {where}: {key} = {_literal(value)} must be {kind}",
        fix=f"write {key} = {example}",
        file=str(path),
        key=key,
        value=value,
    )


def _literal(value: object) -> str:
    """A value as the file has it, or nearly."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _refuse_twice(rollouts: Sequence[WantedRollout], path: Path) -> None:
    """Two entries of a model for exactly the same devices: only one of them could be meant."""
    seen: list[tuple[str, Selector]] = []
    for number, entry in enumerate(rollouts, 1):
        key = (entry.model.partition("@")[0], entry.plan.selector)
        if key in seen:
            both = f"rollout {seen.index(key) + 1} and rollout {number}"
            to = entry.plan.selector_text or "every device"
            raise ConfigError(
                f"{path}: {both} are both of {key[0]}, to {to}", fix="keep one of them", file=str(path)
            )
        seen.append(key)
