"""What a report tells besides the fleet's health: versions, rollouts, alerts, retrains, a demo's ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from edgeops.core.counters import Counters
from edgeops.core.observe import ObservePlan
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    DatasetVersion,
    Deployment,
    ModelVersion,
    ReportWindow,
    Retrain,
    Rollout,
    Run,
)
from edgeops.reports.windows import LoadPlan, Plans, merged

PICTURED_SIGNALS = 3


@dataclass(frozen=True, slots=True)
class AlertPicture:
    """One signal of one alarmed device: counts per bin of the reference, and of the windows that alarmed."""

    alert_id: int
    device: str
    signal: str
    reference: tuple[int, ...]
    current: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ObservedPoint:
    """What an omniscient observer saw of one window; ``drifted`` is whether its inputs had drifted."""

    device: str
    drifts: bool
    window: int
    version: int
    drifted: bool
    n: int
    correct: int


@dataclass(frozen=True, slots=True)
class Moved:
    """One device of an alert: the window that raised it and (signal, direction, distance), largest first."""

    device: str
    window: int
    signals: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, slots=True)
class AlertStory:
    """One drift episode."""

    id: int
    version: str
    state: str
    decision: str
    reason: str | None
    opened_at: float
    devices: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class RetrainStory:
    """One retrain; ``gates`` as the run recorded them."""

    id: int
    alert: int
    state: str
    samples: int
    version: str | None
    gates: tuple[Mapping[str, Any], ...]
    reason: str | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class StageStory:
    """One stage of a rollout; ``seconds`` from the first offer to the last decision, None while undecided."""

    stage: str
    devices: int
    states: Mapping[str, int]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RolloutStory:
    """One rollout with its stages."""

    id: int
    version: str
    state: str
    reason: str | None
    seconds: float | None
    stages: tuple[StageStory, ...]


@dataclass(frozen=True, slots=True)
class VersionStory:
    """One model version and where it came from."""

    name: str
    state: str
    parent: str | None
    dataset: str
    run: int
    seed: int
    accuracy: Mapping[str, float]
    artifact_bytes: int
    artifact_sha256: str


@dataclass(frozen=True, slots=True)
class ReportExtras:
    """All that ``render_report`` shows besides health and series; empty parts are left out of the page."""

    alerts: tuple[AlertPicture, ...] = ()
    summary: Mapping[str, Any] | None = None
    observed_accuracy: tuple[ObservedPoint, ...] = ()
    episodes: tuple[AlertStory, ...] = ()
    retrains: tuple[RetrainStory, ...] = ()
    rollouts: tuple[RolloutStory, ...] = ()
    versions: tuple[VersionStory, ...] = ()


def gather_extras(
    session: Session,
    load_plan: LoadPlan,
    *,
    summary: Mapping[str, Any] | None = None,
    observed_accuracy: Sequence[ObservedPoint] = (),
) -> ReportExtras:
    """The story of every model as the registry has it, with a demo's summary and ledger if there are any."""
    versions = session.exec(
        select(ModelVersion).order_by(col(ModelVersion.model), col(ModelVersion.version))
    ).all()
    names = {version.id or 0: f"{version.model}@{version.version}" for version in versions}
    manifests = {names[version.id or 0]: version.manifest_sha256 for version in versions}
    alerts = session.exec(select(Alert).order_by(col(Alert.id)))
    episodes = tuple(_episode(session, alert, names) for alert in alerts)
    plans = Plans(load_plan)
    pictures = (p for e in episodes for p in _pictures(session, e, manifests.get(e.version), plans))
    retrains = session.exec(select(Retrain).order_by(col(Retrain.id)))
    rollouts = session.exec(select(Rollout).order_by(col(Rollout.id)))
    return ReportExtras(
        alerts=tuple(pictures),
        summary=summary,
        observed_accuracy=tuple(observed_accuracy),
        episodes=episodes,
        retrains=tuple(_retrain(retrain, names) for retrain in retrains),
        rollouts=tuple(_rollout(session, rollout, names) for rollout in rollouts),
        versions=tuple(_version(session, version, names) for version in versions),
    )


def _episode(session: Session, alert: Alert, names: Mapping[int, str]) -> AlertStory:
    rows = session.exec(
        select(AlertDevice).where(AlertDevice.alert_id == alert.id).order_by(col(AlertDevice.device_id))
    )
    moved = tuple(Moved(row.device_id, row.sequence, _signals(row)) for row in rows)
    name = names[alert.model_version_id]
    return AlertStory(alert.id or 0, name, alert.state, alert.decision, alert.reason, alert.opened_at, moved)


def _signals(row: AlertDevice) -> tuple[tuple[str, str, float], ...]:
    return tuple(
        (str(s["signal"]), str(s.get("direction", "")), float(s.get("distance", 0.0))) for s in row.shifts
    )


def _pictures(
    session: Session, episode: AlertStory, manifest: str | None, plans: Plans
) -> list[AlertPicture]:
    """The signals that moved furthest, each on the device where it moved furthest."""
    plan = plans.get(manifest)
    furthest: dict[str, tuple[float, str]] = {}
    for moved in episode.devices:
        for signal, _, distance in moved.signals:
            furthest[signal] = max(furthest.get(signal, (-1.0, "")), (distance, moved.device))
    if plan is None:
        return []
    found = []
    for signal, (_, device) in sorted(furthest.items(), key=lambda item: -item[1][0])[:PICTURED_SIGNALS]:
        raised = session.get_one(AlertDevice, (episode.id, device))
        query = (
            select(ReportWindow)
            .where(
                ReportWindow.device_id == device,
                ReportWindow.manifest == manifest,
                ReportWindow.boot == raised.boot,
                ReportWindow.sequence <= raised.sequence,
            )
            .order_by(col(ReportWindow.sequence).desc())
            .limit(max(raised.windows_seen, 1))
        )
        pair = _counts(plan, merged(plan, session.exec(query).all()), signal)
        if pair and sum(pair[1]):
            found.append(AlertPicture(episode.id, device, signal, *pair))
    return found


def _counts(
    plan: ObservePlan, counters: Counters, signal: str
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    if signal == "confidence":
        return plan.confidence, counters.confidence
    for feature, seen in zip(plan.features, counters.features, strict=True):
        if feature.name == signal:
            return feature.reference, seen
    return None


def _retrain(row: Retrain, names: Mapping[int, str]) -> RetrainStory:
    seconds = row.finished_at - row.created_at if row.finished_at else None
    version = names.get(row.model_version_id or 0)
    gates = tuple(row.gates)
    return RetrainStory(
        row.id or 0, row.alert_id, row.state, row.samples, version, gates, row.reason, seconds
    )


def _rollout(session: Session, row: Rollout, names: Mapping[int, str]) -> RolloutStory:
    deployments = session.exec(select(Deployment).where(Deployment.rollout_id == row.id)).all()
    stages = tuple(
        _stage(stage, [d for d in deployments if d.stage == index])
        for index, stage in enumerate(row.plan["stages"])
    )
    seconds = row.finished_at - row.created_at if row.finished_at else None
    return RolloutStory(row.id or 0, names[row.model_version_id], row.state, row.reason, seconds, stages)


def _stage(stage: str, devices: Sequence[Deployment]) -> StageStory:
    offered = [d.offered_at for d in devices if d.offered_at is not None]
    decided = [d.decided_at for d in devices if d.decided_at is not None]
    done = bool(devices) and len(decided) == len(devices) and bool(offered)
    states = dict(sorted(Counter(d.outcome for d in devices).items()))
    return StageStory(stage, len(devices), states, max(decided) - min(offered) if done else None)


def _version(session: Session, row: ModelVersion, names: Mapping[int, str]) -> VersionStory:
    run = session.get_one(Run, row.run_id)
    dataset = session.get_one(DatasetVersion, run.dataset_id)
    return VersionStory(
        name=names[row.id or 0],
        state=row.state,
        parent=names.get(row.parent_id or 0),
        dataset=f"{dataset.name}@{dataset.version}",
        run=run.id or 0,
        seed=run.seed,
        accuracy={name: float(m["accuracy"]) for name, m in run.metrics.items() if "accuracy" in m},
        artifact_bytes=row.artifact_bytes,
        artifact_sha256=row.artifact_sha256,
    )
