"""Report windows and labels as the reports need them: few queries, each bounded by an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import select as sa_select
from sqlmodel import Session, case, col, func, select

from edgeops.core.codec import decode
from edgeops.core.counters import Counters, empty_counters
from edgeops.core.errors import NotFoundError, WireError
from edgeops.core.messages import Report
from edgeops.core.observe import ObservePlan
from edgeops.registry.tables import LabelTruth, ModelVersion, ReportWindow

LoadPlan = Callable[[str], ObservePlan]
PREFIX = 16  # hexadecimal digits of a manifest digest in a prediction's id


@dataclass(frozen=True, slots=True)
class Totals:
    """What one device reported of one model, all versions and windows together."""

    windows: int = 0
    inferences: int = 0
    errors: int = 0
    rejected_inputs: int = 0


def totals_of_devices(session: Session) -> dict[tuple[str, str], Totals]:
    """Totals by (device, model)."""
    query = sa_select(
        col(ReportWindow.device_id),
        col(ReportWindow.model),
        func.count(),
        func.sum(ReportWindow.inferences),
        func.sum(ReportWindow.errors),
        func.sum(ReportWindow.rejected_inputs),
    ).group_by(col(ReportWindow.device_id), col(ReportWindow.model))
    return {(row[0], row[1]): Totals(*row[2:]) for row in session.execute(query)}


def newest_windows(
    session: Session, device: str, model: str, manifest: str | None, limit: int
) -> Sequence[ReportWindow]:
    """The last windows of a device and version, newest first."""
    if manifest is None:
        return ()
    query = (
        select(ReportWindow)
        .where(
            ReportWindow.device_id == device, ReportWindow.model == model, ReportWindow.manifest == manifest
        )
        .order_by(col(ReportWindow.boot).desc(), col(ReportWindow.sequence).desc())
        .limit(limit)
    )
    return session.exec(query).all()


@lru_cache(maxsize=2048)
def counters_in(raw: bytes) -> Counters:
    """The counters of a report as it came; kept, since a status that refreshes reads the same ones."""
    return decode(Report, raw).counters


def merged(plan: ObservePlan, rows: Sequence[ReportWindow]) -> Counters:
    """The sum of the windows that were counted in the plan's bins; others are left out."""
    total = empty_counters(plan)
    for row in rows:
        try:
            total = total + counters_in(row.counters)
        except WireError:
            continue  # counted in other bins: the drift watch counts and shows these
    return total


def labels_of(session: Session, device: str, manifest: str, rows: Sequence[ReportWindow]) -> tuple[int, int]:
    """(correct, n) of the truths that came back for these windows.

    A prediction's id begins with manifest, boot and sequence, so its index finds a range of windows.
    """
    wanted = {(row.boot, row.sequence) for row in rows}
    if not wanted:
        return 0, 0
    first, last = min(wanted), max(wanted)
    query = (
        sa_select(
            col(LabelTruth.boot),
            col(LabelTruth.sequence),
            func.count(),
            func.sum(case((col(LabelTruth.predicted) == col(LabelTruth.truth), 1), else_=0)),
        )
        .where(
            col(LabelTruth.device_id) == device,
            col(LabelTruth.representative),
            col(LabelTruth.prediction) >= _id_from(manifest, *first),
            col(LabelTruth.prediction) < _id_from(manifest, last[0], last[1] + 1),
        )
        .group_by(col(LabelTruth.boot), col(LabelTruth.sequence))
    )
    found = [(n, right) for boot, sequence, n, right in session.execute(query) if (boot, sequence) in wanted]
    return sum(right for _, right in found), sum(n for n, _ in found)


def _id_from(manifest: str, boot: int, sequence: int) -> str:
    return f"{manifest[:PREFIX]}{boot:08x}{sequence:08x}"


def version_names(session: Session) -> dict[str, str]:
    """``digits@2`` by manifest digest in hexadecimal."""
    versions = session.exec(select(ModelVersion).where(col(ModelVersion.manifest_sha256).is_not(None)))
    return {v.manifest_sha256: f"{v.model}@{v.version}" for v in versions if v.manifest_sha256}


class Plans:
    """Plans by manifest digest, each loaded once; None for one that cannot be found."""

    def __init__(self, load: LoadPlan) -> None:
        self._load = load
        self._known: dict[str, ObservePlan | None] = {}

    def get(self, manifest: str | None) -> ObservePlan | None:
        """The plan of a manifest, None when there is no manifest or no plan."""
        if manifest is None:
            return None
        if manifest not in self._known:
            try:
                self._known[manifest] = self._load(manifest)
            except NotFoundError:
                self._known[manifest] = None
        return self._known[manifest]
