"""The audit trail: who or what did something, and why, written in the transaction that did it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from edgeops.registry.tables import AuditEntry, Deployment, Device

ENGINE = "engine"
DECIDED = frozenset({"failed", "reverting", "reverted", "stuck", "unsuited"})
"""States of a deployment that say what became of it since it was offered or confirmed."""


def record(
    session: Session,
    now: float,
    actor: str,
    action: str,
    subject: str,
    reason: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Add an entry; ``subject`` is ``rollout 3`` or ``device cam-01``. The caller commits."""
    session.add(
        AuditEntry(at=now, actor=actor, action=action, subject=subject, reason=reason, detail=detail or {})
    )


def entries(
    session: Session, subject: str | None = None, since: float = 0.0, limit: int | None = None
) -> Sequence[AuditEntry]:
    """Entries of a subject (of all without one) from ``since`` on, oldest first; ``limit`` takes the newest."""
    query = select(AuditEntry).where(AuditEntry.at >= since)
    if subject is not None:
        query = query.where(AuditEntry.subject == subject)
    if limit is None:
        return session.exec(query.order_by(col(AuditEntry.id))).all()
    newest = session.exec(query.order_by(col(AuditEntry.id).desc()).limit(limit)).all()
    return list(reversed(newest))


def device_history(session: Session, device_id: str) -> list[AuditEntry]:
    """What was done to a device, oldest first: its own entries, and what the rows of its rollouts still tell.

    A row keeps the last offer and the last change only. What comes from rows has no id, and is not in the registry.
    """
    subject = f"device {device_id}"
    found = [*entries(session, subject)]
    retries = session.exec(select(AuditEntry).where(AuditEntry.action == "retry")).all()
    found += [entry for entry in retries if entry.detail.get("device") == device_id]
    device = session.get_one(Device, device_id)
    changes = [entry.detail for entry in found if entry.subject == subject and "to" in entry.detail]
    first = changes[0].get("from") if changes else dict(device.attributes)
    found.append(_of_row(device.enrolled_at, "", "enroll", subject, None, {"to": first}))
    query = select(Deployment).where(Deployment.device_id == device_id).order_by(col(Deployment.rollout_id))
    for row in session.exec(query):
        found += _of_deployment(row)
    return sorted(found, key=lambda entry: entry.at)


def _of_deployment(row: Deployment) -> list[AuditEntry]:
    subject, detail = f"rollout {row.rollout_id}", {"device": row.device_id}
    found = []
    if row.offered_at is not None:
        stage = {"stage": row.stage + 1} if row.stage is not None else {}
        found.append(_of_row(row.offered_at, ENGINE, "offer", subject, None, {**detail, **stage}))
    if row.confirmed_at is not None:
        found.append(_of_row(row.confirmed_at, row.device_id, "confirmed", subject, None, detail))
    if row.state in DECIDED:
        by = ENGINE if row.state in ("reverting", "unsuited") else row.device_id
        found.append(_of_row(row.since, by, row.state, subject, row.reason, detail))
    return found


def _of_row(
    at: float, actor: str, action: str, subject: str, reason: str | None, detail: dict[str, Any]
) -> AuditEntry:
    return AuditEntry(at=at, actor=actor, action=action, subject=subject, reason=reason, detail=detail)
