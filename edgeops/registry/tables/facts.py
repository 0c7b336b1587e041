"""Counts of what could not be used, and small facts."""

from __future__ import annotations

from typing import Any

from sqlmodel import Field, SQLModel

from edgeops.registry.tables.columns import json_map


class IngestCount(SQLModel, table=True):
    """How often something that came was not usable, or twice; per device where one is known."""

    __tablename__ = "ingest_count"
    reason: str = Field(primary_key=True)
    device_id: str = Field(primary_key=True, default="")
    count: int = 0
    last: str | None = None


class Fact(SQLModel, table=True):
    """Small facts that must survive a restart, such as bytes published."""

    __tablename__ = "fact"
    name: str = Field(primary_key=True)
    value: dict[str, Any] = json_map()
