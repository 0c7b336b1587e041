"""The audit trail: who or what did something, and why, written in the transaction that did it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from edgeops.registry.tables import AuditEntry

ENGINE = "engine"


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
