"""Devices: what is desired of them, and what they say of themselves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from edgeops.registry.tables.columns import json_list, json_map


class Device(SQLModel, table=True):
    """An enrolled device, and the last that was heard of it."""

    __tablename__ = "device"
    id: str = Field(primary_key=True)
    attributes: dict[str, str] = json_map()
    enrolled_at: float
    online: bool = False
    session: int = 0
    boot: int = 0
    agent: str = ""
    runtime: str = ""
    target: str = ""
    free_bytes: int = 0
    received_bytes: int = 0
    spent_bytes: int = 0
    takes: list[str] = json_list()
    last_seen_at: float | None = None


class DesiredState(SQLModel, table=True):
    """The desired state last published to a device; ``document`` is the signed envelope."""

    __tablename__ = "desired_state"
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    generation: int
    models: dict[str, Any] = json_map()
    document: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    published: bool = False


class DeviceModel(SQLModel, table=True):
    """What a device itself says of one model: the only truth about it."""

    __tablename__ = "device_model"
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    model: str = Field(primary_key=True)
    lifecycle: str
    generation: int
    confirmed: str | None = None
    previous: str | None = None
    candidate: str | None = None
    reason: str | None = None
    security_counter: int = 0
    attempts: int = 0
    retry_in_ms: int = 0
    artifact: str | None = None
    shadow: dict[str, Any] = json_map()
    updated_at: float


class DeviceEvent(SQLModel, table=True):
    """A lifecycle transition that a device reported."""

    __tablename__ = "device_event"
    __table_args__ = (UniqueConstraint("device_id", "boot", "number"),)
    id: int | None = Field(default=None, primary_key=True)
    device_id: str = Field(foreign_key="device.id", index=True)
    boot: int
    number: int
    model: str
    manifest: str | None = None
    source: str
    event: str
    target: str
    reason: str | None = None
    received_at: float = Field(index=True)
