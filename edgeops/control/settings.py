"""``edgeops.toml``: the settings of a workspace."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgeops.core.errors import ConfigError, NotFoundError, UsageError
from edgeops.core.known_keys import refuse_unknown
from edgeops.core.topics import check_name
from edgeops.drift.budget import parse_false_alarms
from edgeops.drift.learned import MOST_LEARNED
from edgeops.drift.policy import ALARMS, RetrainPolicy
from edgeops.drift.rounds import Terms
from edgeops.drift.seasons import SEASONS
from edgeops.drift.watch_terms import WatchTerms
from edgeops.fleet.rollout.gates import parse_gates
from edgeops.fleet.rollout.hours import parse_hours
from edgeops.fleet.rollout.stages import parse_stages

FILE = "edgeops.toml"
BROKER_ENVIRONMENT = "EDGEOPS_BROKER"
MAX_SOURCES = 3
MAX_SOURCE_BYTES = 200
DEFAULT_BROKER = "mqtt://127.0.0.1:1883"
LABEL_SOURCES = ("device", "person", "teacher")
MOST = {"permille": 1000, "uncertain_below": 16, "budget": 2**32 - 1, "labels_days": 36_500}


@dataclass(frozen=True)
class ReportSettings:
    """When a device closes a window, on what share of inputs it takes features, and whether it may send truths.

    A truth is a label's number and what was predicted, never an input. Without ``labels`` truths stay on the device
    until a drift alert asks for them, and the accuracy gate of a rollout sees none.
    """

    window_inferences: int = 0
    interval_ms: int = 60_000
    observe_permille: int = 1000
    labels: bool = True


@dataclass(frozen=True)
class CaptureSettings:
    """What devices in a drift alert may send: a share of their inputs, at most so many each, and who may label them.

    Beside the share go inputs whose confidence bin (0 to 15) is below ``uncertain_below`` and, with ``shifted``, those
    that lie in bins which have become fuller. ``daily_bytes`` bounds a device in a day of its uptime, 0 does not.
    """

    permille: int = 1000
    budget: int = 100
    daily_bytes: int = 0
    uncertain_below: int = 0
    shifted: bool = True
    labels: tuple[str, ...] = LABEL_SOURCES


@dataclass(frozen=True)
class DriftSettings:
    """How many false alarms are allowed, and from which size on (Jensen-Shannon distance) a shift matters.

    Windows of fewer than ``min_inputs`` are only judged together with later ones. Windows are judged in rounds of
    ``round_s``. With ``learn_windows`` so many first windows of each device are its own reference, in every hour of the
    ``season`` (``day`` or ``week``) by itself; 0: the training data is. ``run_length`` labels at least lie between two
    false alarms about errors.
    """

    false_alarms: str = "1 per 30 days per device"
    min_size: float = 0.02
    min_inputs: int = 40
    round_s: float = 60.0
    learn_windows: int = 0
    season: str = ""
    run_length: float = 30_000.0

    def __post_init__(self) -> None:
        """Refuse what means nothing: ``ValueError``."""
        if not 0 <= self.min_size < 1:
            raise ValueError(f"min_size = {self.min_size}: a distance from 0 to below 1 is needed")
        if self.min_inputs < 1 or self.round_s <= 0 or self.run_length < 10:
            raise ValueError(
                "min_inputs of at least 1, round_s above 0 and run_length of at least 10 are needed"
            )
        if self.learn_windows == 1 or self.learn_windows > MOST_LEARNED:
            raise ValueError(f"learn_windows = {self.learn_windows}: 0, or 2 to {MOST_LEARNED}")
        if self.season and not self.learn_windows:
            raise ValueError(
                "a season needs learn_windows: its references are learned, e.g. learn_windows = 40"
            )

    def terms(self) -> WatchTerms:
        """What the drift watch needs of them."""
        rate = parse_false_alarms(self.false_alarms)
        terms = Terms(rate.of_window, self.min_size, self.min_inputs, self.round_s)
        return WatchTerms(terms, self.round_s, self.learn_windows, self.season, self.run_length)


@dataclass(frozen=True)
class RetrainSettings:
    """When a drift alert is answered by a retrain; ``automatic = false`` only says so.

    Without ``automatic`` and ``seed`` they are the policy for models whose recipe says nothing else
    (``edgeops.drift.policy.RetrainPolicy``, which tells what each means).
    """

    automatic: bool = True
    alarms: tuple[str, ...] = ALARMS
    sustained: int = 1
    sustained_of: int = 1
    quiet_windows: int = 8
    min_devices: int = 2
    min_share: float = 0.1
    settle_windows: int = 3
    capture_windows: int = 6
    min_samples: int = 60
    cooldown_hours: float = 24.0
    retrains_a_month: int = 0
    bytes_a_month: int = 0
    quiet_hours: str = ""
    approval: bool = False
    seed: int = 0

    def policy(self) -> RetrainPolicy:
        """The policy that they are; raises ``ValueError`` for one that means nothing."""
        return RetrainPolicy(**{f.name: getattr(self, f.name) for f in dataclasses.fields(RetrainPolicy)})


@dataclass(frozen=True)
class WorkerSettings:
    """Where retrains are computed: on this machine, or with ``dask`` on the cluster of that scheduler's address."""

    dask: str = ""


@dataclass(frozen=True)
class RolloutSettings:
    """What a rollout does where it is not told otherwise, and the trial on the device.

    ``stages`` as ``--stages`` takes them, ``gates`` as ``--gate`` does; ``max_failed_share`` is the limit of the gate
    ``install``. Times are in seconds; 0 bounds nothing. Chunks that no desired state needs any more stay on the broker
    for ``chunk_grace_s``. Without ``--soak`` a stage is watched for ``soak_s``, and at least for ``soak_windows``
    report intervals: gates judge by reports, and none comes within seconds. ``sources`` are HTTPS addresses below
    which a blob is found by its digest.
    """

    stages: tuple[str, ...] = ("10%", "50%", "100%")
    gates: tuple[str, ...] = ()
    soak_s: float = 0.0
    soak_windows: int = 5
    patience_s: float = 600.0
    spread_s: float = 0.0
    shadow_inferences: int = 0
    device_bytes_per_day: int = 0
    max_failed_share: float = 0.1
    trial_inferences: int = 20
    trial_max_errors: int = 0
    chunk_bytes: int = 4096
    chunk_grace_s: float = 86_400.0
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegistrySettings:
    """How many days the registry keeps what devices said; 0 keeps all. What is still needed stays in any case.

    A truth is taken for ``labels_days`` after its window came, if the window is still kept; 0 is for ever.
    """

    keep_days: int = 30
    labels_days: int = 30


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
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    workers: WorkerSettings = field(default_factory=WorkerSettings)


def check_sources(addresses: Sequence[str]) -> None:
    """Raise ``UsageError`` for what a manifest cannot name as a source: at most 3 HTTPS addresses of 200 bytes."""
    if len(addresses) > MAX_SOURCES:
        raise UsageError(f"{len(addresses)} sources where a manifest names {MAX_SOURCES}", fix="name fewer")
    for address in addresses:
        if not _is_https(address):
            raise UsageError(f"{address!r} is no HTTPS address", fix="write it as https://host/folder")
        if len(address.encode()) > MAX_SOURCE_BYTES:
            raise UsageError(
                f"a source of {len(address.encode())} bytes where {MAX_SOURCE_BYTES} are allowed"
            )


def check_season(text: str) -> None:
    """Raise ``UsageError`` for what is no season."""
    if text not in SEASONS:
        raise UsageError(f"{text!r} is no season", fix='season = "day", "week" or ""')


def check_quiet_hours(text: str) -> None:
    """Raise ``UsageError`` for what is no daily window; empty is none at all."""
    if text:
        try:
            parse_hours(text)
        except UsageError as error:
            raise UsageError(error.message, fix='quiet_hours = "22:00-06:00 Europe/Berlin"') from error


def check_label_sources(names: Sequence[str]) -> None:
    """Raise ``UsageError`` for a source of labels that there is not."""
    unknown = [name for name in names if name not in LABEL_SOURCES]
    if unknown:
        raise UsageError(f"labels cannot come from {unknown[0]!r}", fix=f"use of {', '.join(LABEL_SOURCES)}")


def _is_https(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and not parts.query and not parts.fragment


_PARSED: dict[str, Callable[[tuple[str, ...]], object]] = {
    "stages": lambda texts: parse_stages(",".join(texts)),
    "gates": lambda texts: parse_gates(list(texts)),
    "sources": check_sources,
    "labels": check_label_sources,
    "quiet_hours": lambda texts: check_quiet_hours(*texts),
    "false_alarms": lambda texts: parse_false_alarms(*texts),
    "season": lambda texts: check_season(*texts),
}

_SECTIONS = {
    "report": ReportSettings,
    "capture": CaptureSettings,
    "drift": DriftSettings,
    "retrain": RetrainSettings,
    "rollout": RolloutSettings,
    "registry": RegistrySettings,
    "workers": WorkerSettings,
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
    try:
        section = cls(**values)
        if isinstance(section, RetrainSettings):
            section.policy()
    except ValueError as error:
        fix = f"correct [{name}] in {path}"
        raise ConfigError(f"{path}: [{name}]: {error}", fix=fix, file=str(path), key=name) from error
    return section


def _checked(value: Any, kind: str, where: str, file: str, key: str) -> Any:
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not all(type(v) in (int, str) for v in value):
            raise ConfigError(f"{where}: a list of texts is needed", file=file, key=key)
        # a bare number is a share: what settings said before there were counts
        texts = tuple(f"{v}%" if type(v) is int else str(v) for v in value)
        _parse(key, texts, where, file)
        return texts
    if kind == "str":
        if not isinstance(value, str):
            raise ConfigError(f"{where}: text is needed", file=file, key=key, value=value)
        _parse(key, (value,), where, file)
        return value
    good = {
        "bool": type(value) is bool,
        "int": type(value) is int and value >= 0,
        "float": type(value) in (int, float) and value >= 0,
    }[kind]
    if not good:
        raise ConfigError(f"{where}: {kind} of at least 0 is needed", file=file, key=key, value=value)
    return value


def _parse(key: str, texts: tuple[str, ...], where: str, file: str) -> None:
    if key in _PARSED:
        try:
            _PARSED[key](texts)
        except UsageError as error:
            raise ConfigError(f"{where}: {error.message}", fix=error.fix, file=file, key=key) from error


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
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        return f"[{', '.join(json.dumps(v) for v in value)}]"
    return str(value)
