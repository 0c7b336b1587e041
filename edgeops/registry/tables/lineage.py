"""Datasets, trainings, model versions and the retrains that answer alerts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import UniqueConstraint, false
from sqlmodel import Field, SQLModel

from edgeops.registry.tables.columns import json_list, json_map


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
    labels: list[str] = json_list()
    parts: dict[str, int] = json_map()
    quarantined: list[Any] = json_list()
    source: str = ""
    split: dict[str, Any] = json_map()
    sample_rate_hz: float = 0.0
    notes: list[str] = json_list()
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
    metrics: dict[str, Any] = json_map()
    gates: list[Any] = json_list()
    versions: dict[str, Any] = json_map()
    record: dict[str, Any] = json_map()
    seconds: float
    created_at: float


class ModelVersion(SQLModel, table=True):
    """A trained and judged model; ``state`` is ``registered`` (then it is packaged), ``rejected``, or
    ``evaluation``: trained to be measured on what was held out, and not for devices.

    ``selector`` says for which devices alone it was made; None: for all. ``artifacts`` are the forms that its manifest
    names, as ``edgeops.registry.artifacts`` reads them; ``artifact_sha256`` is the ``.tflite``, which is always kept.
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
    artifacts: list[Any] = json_list()
    manifest_sha256: str | None = Field(default=None, index=True)
    selector: str | None = None
    created_at: float


class Retrain(SQLModel, table=True):
    """The answer to an alert: which data, which run, and whether the result was better.

    ``attempts`` are the strategies that were tried, each with its gates and what it costs to push; ``proposal`` is
    what a person is asked where no single model serves both worlds, empty else. ``deaths`` counts how often its worker
    ended without an outcome. ``labels_to`` is the highest number of a label that it had, or that there was when it was
    asked for. One that is ``by_hand`` is carried out by whoever asked for it, and by nobody else.
    """

    __tablename__ = "retrain"
    id: int | None = Field(default=None, primary_key=True)
    alert_id: int = Field(foreign_key="alert.id", index=True)
    state: str
    seed: int
    samples: int = 0
    dataset_id: int | None = Field(default=None, foreign_key="dataset_version.id")
    model_version_id: int | None = Field(default=None, foreign_key="model_version.id")
    gates: list[Any] = json_list()
    attempts: list[Any] = json_list()
    proposal: dict[str, Any] = json_map()
    deaths: int = 0
    labels_to: int = 0
    by_hand: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    reason: str | None = None
    created_at: float
    finished_at: float | None = None
