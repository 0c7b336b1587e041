"""Reading the registry for a rollout's gates: what treated and control devices reported since it began.

Each source has a cursor that is stored with the evidence in the same transaction, so that nothing is taken twice and
nothing is left out, whatever is interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from sqlmodel import Session, case, col, func, select

from edgeops.core.codec import decode
from edgeops.core.messages import Report
from edgeops.core.observe import LATENCY_BINS
from edgeops.fleet.figures import WindowFigures, figures_of
from edgeops.registry.tables import Deployment, DeviceModel, LabelTruth, ModelVersion, ReportWindow, Rollout

BEFORE_WINDOWS = 20
"""So many windows of a device before the rollout make its own baseline."""
MIN_BEFORE = 3
BATCH = 1_000
"""So many windows are read in a turn; the others in the next."""
LABEL_BATCH = 50_000
MIN_LABELS = 3
MIN_LABELS_BEFORE = 30


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """One window of one device in the cohort; ``before`` is the device's own past, where it has one."""

    device_id: str
    treated: bool
    figures: WindowFigures
    before: Mapping[str, Any]


@dataclass
class Windows:
    """The windows that came, oldest first, and where to go on."""

    seen: list[SeenWindow] = field(default_factory=list)
    cursor: int = 0


def first_cursors(session: Session, rollout: Rollout) -> dict[str, int]:
    """Where windows and labels begin that came after the rollout did."""
    windows = select(func.max(ReportWindow.id)).where(ReportWindow.received_at < rollout.created_at)
    labels = select(func.max(LabelTruth.id)).where(LabelTruth.received_at < rollout.created_at)
    return {"window": session.exec(windows).one() or 0, "label": session.exec(labels).one() or 0}


def latest_cursors(session: Session) -> dict[str, int]:
    """Where windows and labels begin that have not come yet."""
    windows, labels = select(func.max(ReportWindow.id)), select(func.max(LabelTruth.id))
    return {"window": session.exec(windows).one() or 0, "label": session.exec(labels).one() or 0}


def new_windows(
    session: Session, rollout: Rollout, version: ModelVersion, rows: Mapping[str, Deployment], cursor: int
) -> Windows:
    """Windows after ``cursor``: of the new version from devices that were offered it, of an older one from those
    that wait for it.
    """
    query = select(ReportWindow).where(ReportWindow.model == version.model, col(ReportWindow.id) > cursor)
    found = Windows(cursor=cursor)
    latest = latest_cursors(session)["window"]
    read = session.exec(query.order_by(col(ReportWindow.id)).limit(BATCH)).all()
    # windows of other models are not looked at again
    found.cursor = (read[-1].id or cursor) if len(read) == BATCH else latest
    for window in read:
        deployment = rows.get(window.device_id)
        if deployment is None:
            continue
        treated = window.manifest == version.manifest_sha256
        if treated != (deployment.offered_at is not None):
            continue  # on its way from one to the other: evidence of neither
        if treated and not 0 < deployment.generation <= window.generation:
            continue  # it was queued since an earlier rollout of the same version
        figures = figures_of(decode(Report, window.counters))
        if figures is not None:
            before = baseline(session, rollout, version, deployment)
            found.seen.append(SeenWindow(window.device_id, treated, figures, before))
    return found


def baseline(
    session: Session, rollout: Rollout, version: ModelVersion, deployment: Deployment
) -> dict[str, Any]:
    """The means of a device's own windows before the rollout; worked out once and kept with its deployment."""
    if "windows" not in deployment.baseline:
        query = (
            select(ReportWindow)
            .where(
                ReportWindow.device_id == deployment.device_id,
                ReportWindow.model == version.model,
                ReportWindow.manifest != version.manifest_sha256,
                ReportWindow.received_at < rollout.created_at,
            )
            .order_by(col(ReportWindow.id).desc())
            .limit(BEFORE_WINDOWS)
        )
        windows = session.exec(query).all()
        past = [f for w in windows if (f := figures_of(decode(Report, w.counters))) is not None]
        kept: dict[str, Any] = {"windows": len(past)}
        if len(past) >= MIN_BEFORE:
            for figure in ("errors", "confidence"):
                values = [v for f in past if (v := getattr(f, figure)) is not None]
                if len(values) >= MIN_BEFORE:
                    kept[figure] = fmean(values)
                    kept[f"{figure}_spread"] = stdev(values) / math.sqrt(len(values))
            kept["latency"] = [sum(f.latency[bucket] for f in past) for bucket in range(LATENCY_BINS)]
        labels, right = _labels_before(session, rollout, {w.manifest[:16] for w in windows}, deployment)
        if labels >= MIN_LABELS_BEFORE:
            about = (right + 1) / (labels + 2)  # all of them right is not known without doubt
            kept["accuracy"] = right / labels
            kept["accuracy_spread"] = math.sqrt(about * (1 - about) / labels)
        deployment.baseline = kept
    return deployment.baseline


def new_labels(
    session: Session, version: ModelVersion, rows: Mapping[str, Deployment], cursor: int
) -> tuple[dict[str, tuple[bool, int, int]], int]:
    """Per device (treated, labels, of which correct) after ``cursor``, of the version that counts for it; and where
    to go on.
    """
    prefix = (version.manifest_sha256 or "")[:16]
    correct = case((col(LabelTruth.predicted) == col(LabelTruth.truth), 1), else_=0)
    query = (
        select(LabelTruth.id, LabelTruth.device_id, LabelTruth.manifest_prefix, correct)
        .where(col(LabelTruth.id) > cursor, LabelTruth.model == version.model, col(LabelTruth.representative))
        .order_by(col(LabelTruth.id))
        .limit(LABEL_BATCH)
    )
    latest = latest_cursors(session)["label"]
    found: dict[str, tuple[bool, int, int]] = {}
    read = session.exec(query).all()
    for row, device_id, manifest, right in read:
        cursor = row or cursor
        deployment = rows.get(device_id)
        treated = manifest == prefix
        if deployment is None or treated != (deployment.offered_at is not None):
            continue
        _, so_far, so_right = found.get(device_id, (treated, 0, 0))
        found[device_id] = (treated, so_far + 1, so_right + right)
    return found, cursor if len(read) == LABEL_BATCH else latest


def shadow_counts(
    session: Session, version: ModelVersion, rows: Mapping[str, Deployment]
) -> dict[str, tuple[int, int, int]]:
    """Per device (inferences, disagreements, generation) of the version beside the model that it is to replace, since
    this rollout offered it.
    """
    query = select(DeviceModel).where(
        DeviceModel.model == version.model, col(DeviceModel.device_id).in_(list(rows))
    )
    return {
        row.device_id: (row.shadow["inferences"], row.shadow["disagreements"], row.shadow["generation"])
        for row in session.exec(query)
        if row.shadow.get("manifest") == version.manifest_sha256
        and 0 < rows[row.device_id].generation <= row.shadow.get("generation", 0)
    }


def _labels_before(
    session: Session, rollout: Rollout, prefixes: set[str], deployment: Deployment
) -> tuple[int, int]:
    """(labels, of which correct) of the device's versions before the rollout."""
    correct = func.sum(case((col(LabelTruth.predicted) == col(LabelTruth.truth), 1), else_=0))
    query = select(func.count(), correct).where(
        LabelTruth.device_id == deployment.device_id,
        col(LabelTruth.manifest_prefix).in_(prefixes),
        col(LabelTruth.representative),
        LabelTruth.received_at < rollout.created_at,
    )
    labels, right = session.exec(query).one()
    return labels, int(right or 0)
