"""Every window of one model as a point in time, for plots."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select as sa_select
from sqlmodel import Session, case, col, func, select

from edgeops.core.counters import empty_counters
from edgeops.core.errors import WireError
from edgeops.core.observe import ObservePlan
from edgeops.drift.estimate import estimated_accuracy
from edgeops.registry.tables import LabelTruth, ModelVersion, ReportWindow
from edgeops.reports.figures import mean_confidence
from edgeops.reports.windows import PREFIX, LoadPlan, Plans, counters_in

Labels = dict[tuple[str, str, int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class WindowPoint:
    """One window; ``measured_accuracy`` is the share right of its ``labels``, None where none came back."""

    device: str
    version: int
    boot: int
    sequence: int
    received_at: float
    inferences: int
    confidence: float | None
    measured_accuracy: float | None
    estimated_accuracy: float | None
    trial: bool
    labels: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def series(session: Session, load_plan: LoadPlan, model: str) -> list[WindowPoint]:
    """All windows of all versions of a model, by device, boot and sequence."""
    versions = {
        v.manifest_sha256: v.version
        for v in session.exec(select(ModelVersion).where(ModelVersion.model == model))
        if v.manifest_sha256
    }
    labels = _labels(session, model)
    plans = Plans(load_plan)
    query = (
        select(ReportWindow)
        .where(ReportWindow.model == model)
        .order_by(col(ReportWindow.device_id), col(ReportWindow.boot), col(ReportWindow.sequence))
    )
    return [
        _point(row, versions[row.manifest], labels, plans.get(row.manifest))
        for row in session.exec(query)
        if row.manifest in versions
    ]


def _labels(session: Session, model: str) -> Labels:
    query = (
        sa_select(
            col(LabelTruth.device_id),
            col(LabelTruth.manifest_prefix),
            col(LabelTruth.boot),
            col(LabelTruth.sequence),
            func.sum(case((col(LabelTruth.predicted) == col(LabelTruth.truth), 1), else_=0)),
            func.count(),
        )
        .where(col(LabelTruth.model) == model, col(LabelTruth.representative))
        .group_by(
            col(LabelTruth.device_id),
            col(LabelTruth.manifest_prefix),
            col(LabelTruth.boot),
            col(LabelTruth.sequence),
        )
    )
    return {(row[0], row[1], row[2], row[3]): (row[4], row[5]) for row in session.execute(query)}


def _point(row: ReportWindow, version: int, labels: Labels, plan: ObservePlan | None) -> WindowPoint:
    counters = counters_in(row.counters)
    estimate = None
    if plan is not None:
        try:
            found = estimated_accuracy(plan, empty_counters(plan) + counters)
            estimate = found.value if found else None
        except WireError:
            estimate = None  # counted in other bins than the plan's
    correct, n = labels.get((row.device_id, row.manifest[:PREFIX], row.boot, row.sequence), (0, 0))
    return WindowPoint(
        device=row.device_id,
        version=version,
        boot=row.boot,
        sequence=row.sequence,
        received_at=row.received_at,
        inferences=row.inferences,
        confidence=mean_confidence(counters.confidence).value,
        measured_accuracy=correct / n if n else None,
        estimated_accuracy=estimate,
        trial=row.trial,
        labels=n,
    )
