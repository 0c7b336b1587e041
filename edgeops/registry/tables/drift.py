"""Alerts, their devices, and references that devices learned."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel

from edgeops.registry.tables.columns import json_list


class Alert(SQLModel, table=True):
    """An episode of one model version: ``open``, ``answered`` (a retrain was deployed) or ``closed``.

    ``kind`` is ``drift``, or ``quality``: inputs that are at fault, which no retrain answers. ``renewed_for``: the
    ended retrain after which its devices were asked for inputs anew.
    """

    __tablename__ = "alert"
    id: int | None = Field(default=None, primary_key=True)
    kind: str = "drift"
    model_version_id: int = Field(foreign_key="model_version.id", index=True)
    state: str
    decision: str = "none"
    renewed_for: int | None = None
    reason: str | None = None
    opened_at: float
    closed_at: float | None = None


class AlertDevice(SQLModel, table=True):
    """One device in a drift episode, the window that raised it and what moved.

    ``heard_id`` is its latest window that was seen, and ``heard_at`` when that was. ``raised_id`` is the number of the
    window that raised it. ``flags`` says which of its latest judged windows drifted, the newest last; ``cleared_at``
    when it was quiet again.
    """

    __tablename__ = "alert_device"
    alert_id: int = Field(primary_key=True, foreign_key="alert.id")
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    boot: int
    sequence: int
    raised_id: int = 0
    windows_seen: int
    shifts: list[Any] = json_list()
    capture_generation: int | None = None
    flags: list[Any] = json_list()
    raised_at: float
    cleared_at: float | None = None
    heard_id: int | None = None
    heard_at: float | None = None


class LearnedReference(SQLModel, table=True):
    """The first windows of a device under a version, which are its own reference in a season's ``slot``: a CBOR list of
    blocks of counters.
    """

    __tablename__ = "learned_reference"
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    model_version_id: int = Field(primary_key=True, foreign_key="model_version.id")
    slot: int = Field(primary_key=True, default=0)
    windows: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
