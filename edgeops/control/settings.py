"""``edgeops.toml``: the settings of a workspace."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeops.core.errors import ConfigError, NotFoundError
from edgeops.core.known_keys import refuse_unknown
from edgeops.core.topics import check_name

FILE = "edgeops.toml"
BROKER_ENVIRONMENT = "EDGEOPS_BROKER"
DEFAULT_BROKER = "mqtt://127.0.0.1:1883"


@dataclass(frozen=True)
class ReportSettings:
    """When a device closes a window, and on what share of inputs it takes features."""

    window_inferences: int = 0
    interval_ms: int = 60_000
    observe_permille: int = 1000


@dataclass(frozen=True)
class CaptureSettings:
    """What devices in a drift alert may send: a share of their inputs, at most so many each."""

    permille: int = 1000
    budget: int = 100


@dataclass(frozen=True)
class DriftSettings:
    """Both limits must be passed for an alarm; the distance is Jensen-Shannon, base 2."""

    alpha: float = 1e-8
    distance: float = 0.15
    min_inputs: int = 40


@dataclass(frozen=True)
class RetrainSettings:
    """When a drift alert is answered by a retrain; ``automatic = false`` only says so."""

    automatic: bool = True
    min_devices: int = 2
    min_share: float = 0.1
    settle_windows: int = 3
    capture_windows: int = 6
    min_samples: int = 60
    seed: int = 0


@dataclass(frozen=True)
class RolloutSettings:
    """Stages in percent, the share of failed devices that holds a rollout, and the trial on the device."""

    stages: tuple[int, ...] = (10, 50, 100)
    max_failed_share: float = 0.1
    trial_inferences: int = 20
    trial_max_errors: int = 0
    chunk_bytes: int = 4096


@dataclass(frozen=True)
class Settings:
    """Everything that ``edgeops.toml`` can say."""

    fleet: str
    broker: str = DEFAULT_BROKER
    report: ReportSettings = field(default_factory=ReportSettings)
    capture: CaptureSettings = field(default_factory=CaptureSettings)
    drift: DriftSettings = field(default_factory=DriftSettings)
    retrain: RetrainSettings = field(default_factory=RetrainSettings)
    rollout: RolloutSettings = field(default_factory=RolloutSettings)


_SECTIONS = {
    "report": ReportSettings,
    "capture": CaptureSettings,
    "drift": DriftSettings,
    "retrain": RetrainSettings,
    "rollout": RolloutSettings,
}


def load_settings(root: Path) -> Settings:
    """Read the workspace's settings; ``EDGEOPS_BROKER`` goes before the file.

    Raises ``NotFoundError`` where there is no workspace, ``ConfigError`` naming file, key and value.
    """
    path = root / FILE
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{root} is not a workspace: it has no {FILE}",
            fix=f"edgeops init {root}, or name another with --workspace",
            path=str(root),
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}", file=str(path)) from error
    refuse_unknown(table, ["fleet", "broker", *_SECTIONS], str(path))
    if not isinstance(table.get("fleet"), str) or not isinstance(table.get("broker", ""), str):
        raise ConfigError(f"{path}: 'fleet' and 'broker' must be text", file=str(path), key="fleet")
    sections = {name: _section(cls, table.get(name, {}), path, name) for name, cls in _SECTIONS.items()}
    broker = os.environ.get(BROKER_ENVIRONMENT) or table.get("broker", DEFAULT_BROKER)
    return Settings(check_name(table["fleet"], "fleet"), broker, **sections)


def _section(cls: type[Any], table: object, path: Path, name: str) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [{name}] must be a table", file=str(path), key=name)
    kinds = {f.name: f.type for f in dataclasses.fields(cls)}
    refuse_unknown(table, kinds, str(path), name)
    values = {}
    for key, value in table.items():
        values[key] = _checked(value, str(kinds[key]), f"{path}: {name}.{key} = {value!r}", str(path), key)
    return cls(**values)


def _checked(value: Any, kind: str, where: str, file: str, key: str) -> Any:
    if kind.startswith("tuple"):
        ascending = isinstance(value, list) and all(type(v) is int and 0 < v <= 100 for v in value)
        if not ascending or not value or sorted(set(value)) != value or value[-1] != 100:
            raise ConfigError(
                f"{where}: ascending percentages that end with 100 are needed", file=file, key=key
            )
        return tuple(value)
    good = {
        "bool": type(value) is bool,
        "int": type(value) is int and value >= 0,
        "float": type(value) in (int, float) and value >= 0,
    }[kind]
    if not good:
        raise ConfigError(f"{where}: {kind} of at least 0 is needed", file=file, key=key, value=value)
    return value


def render_settings(settings: Settings) -> str:
    """The settings as TOML, every key present, so that a person sees what there is."""
    # a JSON string is a TOML basic string too
    lines = [f"fleet = {json.dumps(settings.fleet)}", f"broker = {json.dumps(settings.broker)}"]
    for name in _SECTIONS:
        lines += ["", f"[{name}]"]
        section = getattr(settings, name)
        lines += [f"{f.name} = {_literal(getattr(section, f.name))}" for f in dataclasses.fields(section)]
    return "\n".join(lines) + "\n"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(str(v) for v in value)}]"
    return str(value)
