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
    "arena_bytes": int,
    "chunks_in_flight": int,
}


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Paths are absolute; ``interval_ms`` is the pause between two inputs of a source.

    ``arena_bytes`` is the working memory that a model may need at most, 0 sets no limit. ``chunks_in_flight`` is how
    many chunks are asked for at a time, and written with one fsync.
    """

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
    arena_bytes: int = 0
    chunks_in_flight: int = 16


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
    if table.get("arena_bytes", 0) < 0:
        raise ConfigError(
            f"{path}: arena_bytes = {table['arena_bytes']} is below 0",
            fix="give the bytes of working memory that a model may need, or 0 for no limit",
            file=str(path),
            key="arena_bytes",
            value=table["arena_bytes"],
        )
    if not 1 <= table.get("chunks_in_flight", 16) <= 256:
        raise ConfigError(
            f"{path}: chunks_in_flight = {table['chunks_in_flight']} is not between 1 and 256",
            file=str(path),
            key="chunks_in_flight",
            value=table["chunks_in_flight"],
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
        arena_bytes=table.get("arena_bytes", 0),
        chunks_in_flight=table.get("chunks_in_flight", 16),
    )


def _anchored(source: str | None, base: Path) -> str | None:
    """A replay folder is relative to the configuration file, like every other path in it."""
    if source is not None and source.startswith("replay:"):
        return f"replay:{base / source.removeprefix('replay:')}"
    return source
