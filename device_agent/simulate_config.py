"""``simulate.toml``: which devices a simulation runs, on which images, and whose camera drifts when."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agent.config import load_config
from edgeops.core.errors import ConfigError, UsageError
from edgeops.core.known_keys import refuse_unknown

_KEYS: dict[str, type | tuple[type, ...]] = {
    "seed": int,
    "interval_ms": (int, float),
    "window_inferences": int,
    "field": str,
    "ledger": str,
    "eval_share": (int, float),
    "drift_after_windows": int,
    "device": list,
}
_DEVICE_KEYS: dict[str, type | tuple[type, ...]] = {
    "agent": str,
    "site": str,
    "drifts": bool,
    "frozen": list,
}


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """One device: its name and ``agent.toml``, the site it stands at, and whether its camera will drift.

    ``frozen``: from which to before which window, counted from its first confirmed one, it gives the same picture again
    and again.
    """

    name: str
    agent: Path
    site: str
    drifts: bool
    frozen: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """A simulation; paths are absolute, ``interval_ms`` is the pause between two inputs of one device."""

    seed: int
    field: Path
    ledger: Path
    devices: tuple[DevicePlan, ...]
    interval_ms: float = 20.0
    window_inferences: int = 50
    eval_share: float = 0.3
    drift_after_windows: int = 22


def load_plan(path: Path) -> SimulationPlan:
    """Read ``simulate.toml``; raises ``ConfigError`` naming file, key and value."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: {reason}", fix="name a simulate.toml", file=str(path)) from error
    _check(table, _KEYS, path, ("seed", "field", "device"))
    base = path.resolve().parent
    devices = []
    for entry in table["device"]:
        if not isinstance(entry, dict):
            raise ConfigError(f"{path}: device is not a list of tables", file=str(path), key="device")
        _check(entry, _DEVICE_KEYS, path, ("agent",), "device")
        agent = base / entry["agent"]
        name = load_config(agent).device
        frozen = _frozen(entry.get("frozen"), path)
        devices.append(DevicePlan(name, agent, entry.get("site", "site"), entry.get("drifts", False), frozen))
    names = [device.name for device in devices]
    if not names or len(set(names)) != len(names):
        why = "a device stands twice" if names else "there is no device"
        raise ConfigError(f"{path}: {why}", fix=f"correct [[device]] in {path}", file=str(path), key="device")
    known = {"interval_ms", "window_inferences", "eval_share", "drift_after_windows"}
    plan = SimulationPlan(
        table["seed"],
        base / table["field"],
        base / table.get("ledger", "ledger"),
        tuple(devices),
        **{key: value for key, value in table.items() if key in known},
    )
    _check_ranges(plan, path)
    return plan


def parse_shard(text: str) -> tuple[int, int]:
    """``k/n`` with 1 <= k <= n; raises ``UsageError``."""
    first, slash, second = text.partition("/")
    if slash and first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second):
        return int(first), int(second)
    raise UsageError(f"shard {text!r} is not k/n with k from 1 to n", fix="write --shard 1/2")


def _check(
    table: dict[str, Any],
    known: dict[str, type | tuple[type, ...]],
    path: Path,
    needed: tuple[str, ...],
    section: str = "",
) -> None:
    refuse_unknown(table, known, str(path), section)
    for key in needed:
        if key not in table:
            raise ConfigError(f"{path}: key {key!r} is missing", file=str(path), key=key)
    for key, value in table.items():
        if not isinstance(value, known[key]) or (isinstance(value, bool) and known[key] is not bool):
            raise ConfigError(
                f"{path}: {key} = {value!r} is of the wrong type", file=str(path), key=key, value=value
            )


def _frozen(value: list[Any] | None, path: Path) -> tuple[int, int] | None:
    if value is None:
        return None
    if len(value) != 2 or not all(type(window) is int for window in value) or not 0 <= value[0] < value[1]:
        raise ConfigError(
            f"{path}: frozen = {value} is not [FROM, TO] in windows",
            file=str(path),
            key="frozen",
            value=value,
        )
    return value[0], value[1]


def _check_ranges(plan: SimulationPlan, path: Path) -> None:
    for key, value, low, high in (
        ("interval_ms", plan.interval_ms, 0.1, 3_600_000),
        ("eval_share", plan.eval_share, 0, 1),
        ("drift_after_windows", plan.drift_after_windows, 0, 1_000_000),
    ):
        if not low <= value <= high:
            raise ConfigError(
                f"{path}: {key} = {value} is not between {low} and {high}",
                file=str(path),
                key=key,
                value=value,
            )
