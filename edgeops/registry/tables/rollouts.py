"""Rollouts, what their gates have seen, the audit trail, and what is published for them."""

from __future__ import annotations

from typing import Any

from sqlmodel import Field, SQLModel

from edgeops.registry.tables.columns import json_map


class Rollout(SQLModel, table=True):
    """One rollout of one model version; ``plan`` is an ``edgeops.fleet.rollout.plan.Plan`` as plain data.

    ``stage`` counts from 0 and soaks since ``stage_since``; gates judge what came after ``judged_since``, which a
    person's ``resume`` sets. ``credit`` and ``credit_at`` are its pace's.
    """

    __tablename__ = "rollout"
    id: int | None = Field(default=None, primary_key=True)
    model_version_id: int = Field(foreign_key="model_version.id", index=True)
    state: str
    plan: dict[str, Any] = json_map()
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
    baseline: dict[str, Any] = json_map()
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
    evidence: dict[str, Any] = json_map()
    cursor: dict[str, Any] = json_map()
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
    detail: dict[str, Any] = json_map()


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
