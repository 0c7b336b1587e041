"""The health of a fleet in numbers: one row per device and model, and the totals. Pure reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sqlmodel import Session, col, func, select

from edgeops.core.observe import ObservePlan
from edgeops.drift.estimate import calibration_curve, estimated_accuracy
from edgeops.registry.counts import fact, totals
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    DesiredState,
    Device,
    DeviceModel,
    ModelVersion,
    ReportWindow,
)
from edgeops.reports.figures import (
    UNKNOWN,
    Figure,
    latency_quantile,
    mean_confidence,
    measured,
    of_estimate,
    pooled,
)
from edgeops.reports.windows import (
    LoadPlan,
    Plans,
    Totals,
    labels_of,
    merged,
    newest_windows,
    totals_of_devices,
    version_names,
)

Connection = Literal["online", "offline", "silent", "never"]
Word = Literal["OK", "WARN", "FAIL"]

ENOUGH_LABELS = 30
SILENT_INTERVALS = 3
SILENT_AT_LEAST_S = 60.0
ACCURACY_MARGIN = 0.05  # below the validation accuracy, the interval included: the accuracy is low
_BROKEN = ("ROLLED_BACK", "FAILED", "REJECTED")


@dataclass(frozen=True, slots=True)
class Drift:
    """What moved on a device under the version that it runs."""

    alert: int
    state: str
    signals: tuple[tuple[str, str], ...]  # (signal, direction), largest first


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """One device and model. Figures are of the confirmed version's last windows, counts of all windows."""

    device: str
    attributes: Mapping[str, str]
    connection: Connection
    last_seen_at: float | None
    model: str | None
    wanted: str | None
    confirmed: str | None
    lifecycle: str | None
    reason: str | None
    accuracy: Figure
    estimated_accuracy: Figure
    confidence: Figure
    latency_p50_us: Figure
    latency_p95_us: Figure
    inferences: int
    windows: int
    errors: int
    rejected_inputs: int
    dropped_reports: int
    drift: Drift | None
    health: Word
    causes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True)
class FleetHealth:
    """The fleet at ``at``; ``devices`` counts devices, ``rows`` has one entry per device and model."""

    at: float
    devices: int
    connections: Mapping[str, int]
    versions: Mapping[str, int]
    health: Mapping[str, int]
    measured_accuracy: Figure
    estimated_accuracy: Figure
    bytes_published: int
    open_alerts: int
    ingest: Mapping[str, int]
    rows: tuple[DeviceHealth, ...] = field(default=())

    @property
    def online(self) -> int:
        """How many devices are connected and not silent."""
        return self.connections.get("online", 0)

    @property
    def silent(self) -> int:
        """How many devices are connected but have said nothing for too long."""
        return self.connections.get("silent", 0)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return _plain(asdict(self)) | {"online": self.online, "silent": self.silent}


def fleet_health(
    session: Session,
    load_plan: LoadPlan,
    now: float,
    last_windows: int = 4,
    report_interval_s: float = 60,
) -> FleetHealth:
    """The health of every device; ``load_plan`` gives the plan of a manifest digest in hexadecimal.

    A manifest whose plan is not found (``NotFoundError``) leaves the estimated figures unknown.
    """
    facts = _Facts(session, Plans(load_plan), now, last_windows, report_interval_s)
    devices = session.exec(select(Device).order_by(col(Device.id))).all()
    rows = tuple(row for device in devices for row in facts.rows_of(device))
    connections = Counter(facts.connection(device) for device in devices)
    open_alerts = select(func.count()).select_from(Alert).where(Alert.state == "open")
    return FleetHealth(
        at=now,
        devices=len(devices),
        connections=dict(sorted(connections.items())),
        versions=dict(sorted(Counter(row.confirmed for row in rows if row.confirmed).items())),
        health=dict(sorted(Counter(row.health for row in rows).items())),
        measured_accuracy=pooled((row.accuracy for row in rows), "measured"),
        estimated_accuracy=pooled((row.estimated_accuracy for row in rows), "estimated"),
        bytes_published=int(fact(session, "bytes_published").get("bytes", 0)),
        open_alerts=session.exec(open_alerts).one(),
        ingest=totals(session),
        rows=rows,
    )


class _Facts:
    """What is read once for the whole fleet, and how a device's rows are made of it."""

    def __init__(
        self, session: Session, plans: Plans, now: float, last_windows: int, report_interval_s: float
    ) -> None:
        self._session = session
        self._plans = plans
        self._now = now
        self._last = last_windows
        self._patience = max(SILENT_INTERVALS * report_interval_s, SILENT_AT_LEAST_S)
        self._names = version_names(session)
        self._desired = {row.device_id: row.models for row in session.exec(select(DesiredState))}
        self._states: dict[str, dict[str, DeviceModel]] = {}
        for state in session.exec(select(DeviceModel)):
            self._states.setdefault(state.device_id, {})[state.model] = state
        self._totals = totals_of_devices(session)
        self._drift = _drift_by_version(session)

    def connection(self, device: Device) -> Connection:
        """Whether the device is there, and talks."""
        if device.last_seen_at is None:
            return "never"
        if not device.online:
            return "offline"
        return "silent" if self._now - device.last_seen_at > self._patience else "online"

    def rows_of(self, device: Device) -> list[DeviceHealth]:
        """One row for each model that the device has or shall have; one without a model if there is none."""
        models: set[str | None] = {*self._desired.get(device.id, {}), *self._states.get(device.id, {})}
        return [self._row(device, model) for model in sorted(models, key=str) or [None]]

    def _row(self, device: Device, model: str | None) -> DeviceHealth:
        state = self._states.get(device.id, {}).get(model or "")
        confirmed = state.confirmed if state else None
        rows = newest_windows(self._session, device.id, model or "", confirmed, self._last)
        plan = self._plans.get(confirmed)
        total = self._totals.get((device.id, model or ""), Totals())
        drift = self._drift.get((device.id, confirmed or ""))
        figures = self._figures(device.id, confirmed, plan, rows)
        dropped = rows[0].dropped if rows else 0  # the agent counts up for as long as it runs
        connection = self.connection(device)
        health, causes = _judge(connection, state, drift, figures, plan, dropped)
        wanted = self._desired.get(device.id, {}).get(model or "", {}).get("manifest")
        return DeviceHealth(
            device=device.id,
            attributes=dict(device.attributes),
            connection=connection,
            last_seen_at=device.last_seen_at,
            model=model,
            wanted=self._name(wanted),
            confirmed=self._name(confirmed),
            lifecycle=state.lifecycle if state else None,
            reason=state.reason if state else None,
            **figures,
            inferences=total.inferences,
            windows=total.windows,
            errors=total.errors,
            rejected_inputs=total.rejected_inputs,
            dropped_reports=dropped,
            drift=drift,
            health=health,
            causes=causes,
        )

    def _name(self, manifest: str | None) -> str | None:
        return self._names.get(manifest, f"unknown {manifest[:12]}") if manifest else None

    def _figures(
        self, device: str, manifest: str | None, plan: ObservePlan | None, rows: Sequence[ReportWindow]
    ) -> dict[str, Figure]:
        names = ("accuracy", "estimated_accuracy", "confidence", "latency_p50_us", "latency_p95_us")
        if manifest is None or not rows:
            return dict.fromkeys(names, UNKNOWN)
        correct, n = labels_of(self._session, device, manifest, rows)
        labelled = measured(correct, n) if n >= ENOUGH_LABELS else UNKNOWN
        if plan is None:
            return dict.fromkeys(names, UNKNOWN) | {"accuracy": labelled}
        counters = merged(plan, rows)
        estimate = of_estimate(estimated_accuracy(plan, counters), "estimated", sum(counters.confidence))
        return {
            "accuracy": labelled if labelled.n else estimate,
            "estimated_accuracy": estimate,
            "confidence": mean_confidence(counters.confidence),
            "latency_p50_us": latency_quantile(counters.latency, 0.5),
            "latency_p95_us": latency_quantile(counters.latency, 0.95),
        }


def _drift_by_version(session: Session) -> dict[tuple[str, str], Drift]:
    """The newest episode that is not closed, by (device, manifest digest)."""
    query = (
        select(AlertDevice, Alert, ModelVersion)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .join(ModelVersion, col(ModelVersion.id) == col(Alert.model_version_id))
        .where(Alert.state != "closed", col(AlertDevice.cleared_at).is_(None))
        .order_by(col(Alert.id))
    )
    found: dict[tuple[str, str], Drift] = {}
    for row, alert, version in session.exec(query):
        signals = tuple((str(s["signal"]), str(s.get("direction", ""))) for s in row.shifts)
        found[row.device_id, version.manifest_sha256 or ""] = Drift(alert.id or 0, alert.state, signals)
    return found


def _judge(
    connection: Connection,
    state: DeviceModel | None,
    drift: Drift | None,
    figures: Mapping[str, Figure],
    plan: ObservePlan | None,
    dropped: int,
) -> tuple[Word, tuple[str, ...]]:
    fails: list[str] = []
    warns: list[str] = []
    if state and state.lifecycle in _BROKEN:
        fails.append(state.lifecycle.lower().replace("_", " "))
    if drift:
        moved = ", ".join(f"{signal} {direction}".rstrip() for signal, direction in drift.signals)
        (fails if drift.state == "open" else warns).append(f"drift ({drift.state}): {moved}")
    if connection != "online":
        warns.append("never seen" if connection == "never" else connection)
    expected, accuracy = _validation_accuracy(plan), figures["accuracy"]
    if expected is not None and accuracy.high is not None and accuracy.high < expected - ACCURACY_MARGIN:
        warns.append(f"accuracy low ({accuracy.basis} {accuracy.value:.3f}, validation {expected:.3f})")
    if dropped:
        warns.append(f"{dropped} reports dropped")
    word: Word = "FAIL" if fails else "WARN" if warns else "OK"
    return word, (*fails, *warns)


def _validation_accuracy(plan: ObservePlan | None) -> float | None:
    if plan is None or calibration_curve(plan.calibration) is None:
        return None
    return sum(right for _, right in plan.calibration) / sum(seen for seen, _ in plan.calibration)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
