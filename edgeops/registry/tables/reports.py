"""What devices report: windows of counters, truths, captured inputs."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, UniqueConstraint, true
from sqlmodel import Field, SQLModel


class ReportWindow(SQLModel, table=True):
    """One window of counters; ``counters`` is the report as it came. Numbers only rise: who reads goes by them."""

    __tablename__ = "report_window"
    __table_args__ = (
        UniqueConstraint("device_id", "model", "boot", "sequence"),
        Index("ix_report_window_device_model", "device_id", "model"),
        Index("ix_report_window_device_manifest", "device_id", "manifest"),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, primary_key=True)
    device_id: str = Field(foreign_key="device.id")
    model: str
    manifest: str = Field(index=True)
    boot: int
    sequence: int
    generation: int
    trial: bool
    inferences: int
    errors: int
    rejected_inputs: int
    dropped: int
    counters: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at: float = Field(index=True)


class ReceiptState(SQLModel, table=True):
    """The highest contiguous sequence that is committed, per device, model and boot."""

    __tablename__ = "receipt_state"
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    model: str = Field(primary_key=True)
    boot: int = Field(primary_key=True)
    committed: int = 0


class LabelTruth(SQLModel, table=True):
    """A truth that came back for a prediction; the prediction's id says what was predicted. Numbers only rise.

    ``source`` is ``device``, ``person`` or ``teacher``. Only ``representative`` ones tell an accuracy: a teacher's are
    guesses, and a person's of inputs that were chosen for being uncertain or shifted are no fair draw.
    """

    __tablename__ = "label_truth"
    __table_args__ = (UniqueConstraint("prediction", "device_id"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, primary_key=True)
    prediction: str
    device_id: str = Field(foreign_key="device.id", index=True)
    model: str
    manifest_prefix: str = Field(index=True)
    boot: int
    sequence: int
    predicted: int
    truth: int
    source: str = Field(default="device", sa_column_kwargs={"server_default": "device"})
    representative: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    received_at: float = Field(index=True)


class HeldLabel(SQLModel, table=True):
    """A truth that came before the report of its window, by which it is judged."""

    __tablename__ = "held_label"
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    prediction: str = Field(primary_key=True)
    model: str
    truth: int
    received_at: float = Field(index=True)


class CapturedSample(SQLModel, table=True):
    """An input that a device was allowed to send: the quantized tensor; ``reason`` is why it was taken."""

    __tablename__ = "captured_sample"
    prediction: str = Field(primary_key=True)
    device_id: str = Field(primary_key=True, foreign_key="device.id", index=True)
    model: str
    manifest: str = Field(index=True)
    tensor: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    reason: str = Field(default="uniform", sa_column_kwargs={"server_default": "uniform"})
    received_at: float = Field(index=True)
