"""Counting what came and could not be used, and small facts."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, select

from edgeops.registry.tables import Fact, IngestCount


def count(session: Session, reason: str, device_id: str = "", detail: str | None = None) -> None:
    """Count one more of ``reason``, for a device where one is named."""
    row = session.get(IngestCount, (reason, device_id))
    if row is None:
        row = IngestCount(reason=reason, device_id=device_id)
    row.count += 1
    row.last = detail[:200] if detail else row.last
    session.add(row)


def totals(session: Session) -> dict[str, int]:
    """How often each reason was counted, over all devices."""
    result: dict[str, int] = {}
    for row in session.exec(select(IngestCount)):
        result[row.reason] = result.get(row.reason, 0) + row.count
    return dict(sorted(result.items()))


def fact(session: Session, name: str) -> dict[str, Any]:
    """A small fact, empty where it was never stated."""
    row = session.get(Fact, name)
    return dict(row.value) if row else {}


def state_fact(session: Session, name: str, value: dict[str, Any]) -> None:
    """State a small fact."""
    row = session.get(Fact, name) or Fact(name=name)
    row.value = value
    session.add(row)
