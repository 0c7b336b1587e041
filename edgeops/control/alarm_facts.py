"""What the devices of an alert have reported since they alarmed, in one query for all of them.

By the numbers of their windows: neither clocks nor boots can be relied on.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, case, col, func

from edgeops.drift.policy import AlarmFacts, RetrainPolicy, sustained
from edgeops.registry.tables import Alert, AlertDevice, ModelVersion, ReportWindow


def facts_of(
    session: Session, alert: Alert, version: ModelVersion, policy: RetrainPolicy, now: float, silence_s: float
) -> dict[str, AlarmFacts]:
    """The facts by device; notes on its rows when each was heard last, by this clock."""
    later = case((col(ReportWindow.id) > col(AlertDevice.raised_id), 1), else_=0)
    captured = case((col(ReportWindow.generation) >= col(AlertDevice.capture_generation), 1), else_=0)
    of_device = (col(ReportWindow.device_id) == col(AlertDevice.device_id)) & (
        col(ReportWindow.manifest) == version.manifest_sha256
    )
    query = (
        select(
            AlertDevice,
            func.sum(case((col(ReportWindow.id).is_(None), 0), else_=later)),
            func.sum(case((col(ReportWindow.id).is_(None), 0), else_=captured)),
            func.max(col(ReportWindow.id)),
            func.max(col(ReportWindow.received_at)),
        )
        .join(ReportWindow, of_device, isouter=True)
        .where(col(AlertDevice.alert_id) == alert.id)
        .group_by(col(AlertDevice.alert_id), col(AlertDevice.device_id))
        .order_by(col(AlertDevice.device_id))
    )
    found = {}
    for row, since, under, latest, came in session.execute(query).all():
        if latest is not None and latest != row.heard_id:
            row.heard_id, row.heard_at = latest, min(came, now)
            session.add(row)
        flags = [bool(flag) for flag in row.flags]
        lasts = not flags or sustained(flags, policy.sustained, policy.sustained_of, policy.quiet_windows)
        found[row.device_id] = AlarmFacts(
            int(since),
            int(under) if row.capture_generation is not None else 0,
            silent=latest is None or now - (row.heard_at or 0.0) > silence_s,
            kinds=frozenset(shift.get("kind", "data") for shift in row.shifts) or frozenset({"data"}),
            cleared=row.cleared_at is not None or not lasts,
        )
    return found
