"""Which inputs a drifted device is asked for: the settings, and the bins that its own windows have filled."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.plans import PlanShelf
from edgeops.control.settings import CaptureSettings
from edgeops.core.errors import EdgeOpsError
from edgeops.core.messages import CapturePolicy, ShiftedBins
from edgeops.fleet.capturing import capture_as_plain, fuller_bins
from edgeops.registry.tables import AlertDevice, ModelVersion, ReportWindow
from edgeops.reports.windows import merged

ALL = 1000
LOOKED_AT = 20  # windows, from the one that raised the alarm on


def ordered_capture(
    session: Session,
    settings: CaptureSettings,
    shelf: PlanShelf | None,
    row: AlertDevice,
    version: ModelVersion,
) -> list[Any]:
    """The capture policy of one device of an alert, as plain data; without a shelf no shifted bins are named."""
    shifted: tuple[ShiftedBins, ...] = ()
    if settings.shifted and settings.permille < ALL and shelf is not None:
        shifted = _fuller(session, shelf, row, version)
    return capture_as_plain(
        CapturePolicy(
            settings.permille, settings.budget, settings.uncertain_below, shifted, settings.daily_bytes
        )
    )


def _fuller(
    session: Session, shelf: PlanShelf, row: AlertDevice, version: ModelVersion
) -> tuple[ShiftedBins, ...]:
    digest = version.manifest_sha256
    if digest is None:
        return ()
    try:
        plan = shelf.plan(digest)
    except EdgeOpsError:
        return ()  # its blobs are gone: the device is asked for its share of everything
    windows = session.exec(
        select(ReportWindow)
        .where(
            ReportWindow.device_id == row.device_id,
            ReportWindow.manifest == digest,
            ReportWindow.boot == row.boot,
            ReportWindow.sequence >= row.sequence,
        )
        .order_by(col(ReportWindow.sequence))
        .limit(LOOKED_AT)
    ).all()
    return fuller_bins(plan, merged(plan, windows))
