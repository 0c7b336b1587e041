"""The tables. Times are seconds since the epoch, UTC; JSON columns hold plain data.

A change here needs a migration in ``migrations/versions``; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary, UniqueConstraint, true
from sqlmodel import Field, SQLModel


def _json() -> Any:
    return Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


def _json_list() -> Any:
    return Field(default_factory=list, sa_column=Column(JSON, nullable=False))


class DatasetVersion(SQLModel, table=True):
    """An immutable, content-addressed version of a dataset.

    ``quarantined`` holds pairs (file, reason), ``split`` the shares of the parts and the name of the group.
    """

    __tablename__ = "dataset_version"
    __table_args__ = (UniqueConstraint("name", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(index=True)
    version: int
    sha256: str
    kind: str
    folder: str
    labels: list[str] = _json_list()
    parts: dict[str, int] = _json()
    quarantined: list[Any] = _json_list()
    source: str = ""
    split: dict[str, Any] = _json()
    sample_rate_hz: float = 0.0
    notes: list[str] = _json_list()
    parent_id: int | None = Field(default=None, foreign_key="dataset_version.id")
    created_at: float


class Run(SQLModel, table=True):
    """One training: what went in and what was measured."""

    __tablename__ = "run"
    id: int | None = Field(default=None, primary_key=True)
    recipe: str
    recipe_digest: str
    dataset_id: int = Field(foreign_key="dataset_version.id", index=True)
    retrain_id: int | None = Field(default=None, index=True)  # no key: it would close a cycle of tables
    seed: int
    metrics: dict[str, Any] = _json()
    gates: list[Any] = _json_list()
    versions: dict[str, Any] = _json()
    record: dict[str, Any] = _json()
    seconds: float
    created_at: float


class ModelVersion(SQLModel, table=True):
    """A trained and judged model; ``state`` is ``registered`` (then it is packaged), ``rejected``, or
    ``evaluation``: trained to be measured on what was held out, and not for devices.

    ``selector`` says for which devices alone it was made; None: for all.
    """

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    model: str = Field(index=True)
    version: int
    state: str
    run_id: int = Field(foreign_key="run.id")
    parent_id: int | None = Field(default=None, foreign_key="model_version.id")
    artifact_sha256: str
    artifact_bytes: int
    manifest_sha256: str | None = Field(default=None, index=True)
    selector: str | None = None
    created_at: float


class Device(SQLModel, table=True):
    """An enrolled device, and the last that was heard of it."""

    __tablename__ = "device"
    id: str = Field(primary_key=True)
    attributes: dict[str, str] = _json()
    enrolled_at: float
    online: bool = False
    session: int = 0
    boot: int = 0
    agent: str = ""
    runtime: str = ""
    target: str = ""
    received_bytes: int = 0
    spent_bytes: int = 0
    takes: list[str] = _json_list()
    last_seen_at: float | None = None


class DesiredState(SQLModel, table=True):
    """The desired state last published to a device; ``document`` is the signed envelope."""

    __tablename__ = "desired_state"
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    generation: int
    models: dict[str, Any] = _json()
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
    shadow: dict[str, Any] = _json()
    updated_at: float


class Rollout(SQLModel, table=True):
    """One rollout of one model version; ``plan`` is an ``edgeops.fleet.rollout.plan.Plan`` as plain data.

    ``stage`` counts from 0 and soaks since ``stage_since``; gates judge what came after ``judged_since``, which a
    person's ``resume`` sets. ``credit`` and ``credit_at`` are its pace's.
    """

    __tablename__ = "rollout"
    id: int | None = Field(default=None, primary_key=True)
    model_version_id: int = Field(foreign_key="model_version.id", index=True)
    state: str
    plan: dict[str, Any] = _json()
    stage: int = 0
    stage_since: float = 0.0
    judged_since: float = 0.0
    credit: float = 1.0
    credit_at: float | None = None
    reason: str | None = None
    created_by: str = ""
    created_at: float
    finished_at: float | None = None


class Deployment(SQLModel, table=True):
    """One device in one rollout; the states are those of the lifecycle ``deployment``.

    ``before`` is the manifest that was desired of the device before the offer, ``baseline`` per figure what the
    device's windows said before it. ``reverted_generation`` is the desired state that took it back, ``attempt`` how
    often a person let the device try again. ``confirmed_at`` stays when a newer rollout serves the device.
    """

    __tablename__ = "deployment"
    rollout_id: int = Field(primary_key=True, foreign_key="rollout.id")
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    state: str
    stage: int | None = None
    generation: int = 0
    reverted_generation: int = 0
    attempt: int = 0
    before: str | None = None
    baseline: dict[str, Any] = _json()
    reason: str | None = None
    since: float = 0.0
    offered_at: float | None = None
    decided_at: float | None = None
    confirmed_at: float | None = None

    @property
    def outcome(self) -> str:
        """The state; ``confirmed`` for a device that had confirmed and is served by a newer rollout now."""
        return "confirmed" if self.state == "left" and self.confirmed_at is not None else self.state


class GateEvidence(SQLModel, table=True):
    """What one gate of one rollout has seen: ``evidence`` is what its fold has reached, ``cursor`` how far it read."""

    __tablename__ = "gate_evidence"
    rollout_id: int = Field(primary_key=True, foreign_key="rollout.id")
    gate: str = Field(primary_key=True)
    evidence: dict[str, Any] = _json()
    cursor: dict[str, Any] = _json()
    verdict: str = ""
    words: str = ""
    judged_at: float = 0.0


class AuditEntry(SQLModel, table=True):
    """Who or what did something to a rollout or a fleet, and why; written in the transaction that did it."""

    __tablename__ = "audit_entry"
    id: int | None = Field(default=None, primary_key=True)
    at: float = Field(index=True)
    actor: str
    action: str
    subject: str = Field(index=True)
    reason: str | None = None
    detail: dict[str, Any] = _json()


class BlobPublication(SQLModel, table=True):
    """A blob whose chunks stand retained on the broker; ``unneeded_since`` begins its grace period.

    ``published_at`` is 0 where they do not stand: the broker lost them, or, after the grace period, they are being
    cleared. As long as there is a row, the blob keeps this size of chunks: desired states name it.
    """

    __tablename__ = "blob_publication"
    sha256: str = Field(primary_key=True)
    chunk_bytes: int
    chunks: int
    bytes: int
    published_at: float
    unneeded_since: float | None = None


class Patch(SQLModel, table=True):
    """A patch from one artifact to another, or that none is worth its bytes (``sha256`` is None)."""

    __tablename__ = "patch"
    base: str = Field(primary_key=True)
    target: str = Field(primary_key=True)
    sha256: str | None = None
    codec: str = ""
    bytes: int = 0
    target_bytes: int = 0
    created_at: float


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


class ReportWindow(SQLModel, table=True):
    """One window of counters; ``counters`` is the report as it came. Numbers only rise: who reads goes by them."""

    __tablename__ = "report_window"
    __table_args__ = (
        UniqueConstraint("device_id", "model", "boot", "sequence"),
        Index("ix_report_window_device_model", "device_id", "model"),
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
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    model: str
    manifest: str = Field(index=True)
    tensor: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    reason: str = Field(default="uniform", sa_column_kwargs={"server_default": "uniform"})
    received_at: float = Field(index=True)


class Alert(SQLModel, table=True):
    """An episode of one model version: ``open``, ``answered`` (a retrain was deployed) or ``closed``.

    ``kind`` is ``drift``, or ``quality``: inputs that are at fault, which no retrain answers.
    """

    __tablename__ = "alert"
    id: int | None = Field(default=None, primary_key=True)
    kind: str = "drift"
    model_version_id: int = Field(foreign_key="model_version.id", index=True)
    state: str
    decision: str = "none"
    reason: str | None = None
    opened_at: float
    closed_at: float | None = None


class AlertDevice(SQLModel, table=True):
    """One device in a drift episode, the window that raised it and what moved.

    ``heard_id`` is its latest window that was seen, and ``heard_at`` when that was. ``flags`` says which of its latest
    judged windows drifted, the newest last; ``cleared_at`` when it was quiet again.
    """

    __tablename__ = "alert_device"
    alert_id: int = Field(primary_key=True, foreign_key="alert.id")
    device_id: str = Field(primary_key=True, foreign_key="device.id")
    boot: int
    sequence: int
    windows_seen: int
    shifts: list[Any] = _json_list()
    capture_generation: int | None = None
    flags: list[Any] = _json_list()
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


class Retrain(SQLModel, table=True):
    """The answer to an alert: which data, which run, and whether the result was better.

    ``attempts`` are the strategies that were tried, each with its gates and what it costs to push; ``proposal`` is
    what a person is asked where no single model serves both worlds, empty else. ``deaths`` counts how often its worker
    ended without an outcome.
    """

    __tablename__ = "retrain"
    id: int | None = Field(default=None, primary_key=True)
    alert_id: int = Field(foreign_key="alert.id", index=True)
    state: str
    seed: int
    samples: int = 0
    dataset_id: int | None = Field(default=None, foreign_key="dataset_version.id")
    model_version_id: int | None = Field(default=None, foreign_key="model_version.id")
    gates: list[Any] = _json_list()
    attempts: list[Any] = _json_list()
    proposal: dict[str, Any] = _json()
    deaths: int = 0
    reason: str | None = None
    created_at: float
    finished_at: float | None = None


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
    value: dict[str, Any] = _json()
