"""``agent.toml``: who the device is, where its broker is, where it keeps things, what it infers on."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from edgeops.core.errors import ConfigError
from edgeops.core.known_keys import refuse_unknown
from edgeops.core.topics import check_name

_KEYS = {
    "fleet": str,
    "device": str,
    "broker": str,
    "data": str,
    "trust": str,
    "target": str,
    "model": str,
    "source": str,
    "interval_ms": int,
    "runtime": str,
    "queue_reports": int,
}


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Paths are absolute; ``interval_ms`` is the pause between two inputs of a source."""

    fleet: str
    device: str
    broker: str
    data: Path
    trust: Path
    target: str = "linux"
    model: str | None = None
    source: str | None = None
    interval_ms: int = 0
    runtime: str | None = None
    queue_reports: int = 500


def load_config(path: Path) -> AgentConfig:
    """Read ``agent.toml``; raises ``ConfigError`` naming file, key and value."""
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file", fix="edgeops device enroll NAME writes one", file=str(path)
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}", file=str(path)) from error
    refuse_unknown(table, _KEYS, str(path))
    for key, value in table.items():
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise ConfigError(
                f"{path}: {key} = {value!r} is not {_KEYS[key].__name__}",
                file=str(path),
                key=key,
                value=value,
            )
    for key in ("fleet", "device", "broker"):
        if key not in table:
            raise ConfigError(f"{path}: key {key!r} is missing", file=str(path), key=key)
    base = path.resolve().parent
    return AgentConfig(
        fleet=check_name(table["fleet"], "fleet"),
        device=check_name(table["device"], "device"),
        broker=table["broker"],
        data=base / table.get("data", "data"),
        trust=base / table.get("trust", "trust.cose"),
        target=table.get("target", "linux"),
        model=table.get("model"),
        source=_anchored(table.get("source"), base),
        interval_ms=table.get("interval_ms", 0),
        runtime=table.get("runtime"),
        queue_reports=table.get("queue_reports", 500),
    )


def _anchored(source: str | None, base: Path) -> str | None:
    """A replay folder is relative to the configuration file, like every other path in it."""
    if source is not None and source.startswith("replay:"):
        return f"replay:{base / source.removeprefix('replay:')}"
    return source
