"""Captured inputs whose truth is known: which there are, and how many that no retrain has had. Counted in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, func, select

from edgeops.control.retrain_ledger import used_labels
from edgeops.core.messages import Captured
from edgeops.registry.tables import CapturedSample, LabelTruth, ModelVersion

_ITS_TRUTH = (col(LabelTruth.prediction) == col(CapturedSample.prediction)) & (
    col(LabelTruth.device_id) == col(CapturedSample.device_id)
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A captured input, its truth, who said it (``device``, ``person``, ``teacher``) and the number of that label."""

    sample: CapturedSample
    truth: int
    source: str
    number: int


def labelled_inputs(session: Session, version: ModelVersion) -> list[Labelled]:
    """Those of a version, with their tensors; in an order that does not depend on time."""
    query = (
        select(CapturedSample, LabelTruth)
        .join(LabelTruth, _ITS_TRUTH)
        .where(CapturedSample.manifest == version.manifest_sha256)
        .order_by(col(CapturedSample.tensor), col(CapturedSample.device_id))
    )
    return [
        Labelled(sample, label.truth, label.source, label.id or 0) for sample, label in session.exec(query)
    ]


def labelled(session: Session, version: ModelVersion) -> int:
    """How many there are of a version."""
    return _count(session, version)


def new_labelled(session: Session, version: ModelVersion) -> int:
    """How many no retrain of the version has had, nor one that was asked for and not wanted."""
    return _count(session, version, col(LabelTruth.id) > used_labels(session, version))


def fair_labelled(session: Session, version: ModelVersion) -> int:
    """How many of a version were drawn uniformly, and labelled by their device or a person: these can prove."""
    return _count(
        session,
        version,
        col(CapturedSample.reason) == Captured.UNIFORM.label,
        col(LabelTruth.source) != "teacher",
    )


def last_label(session: Session, version: ModelVersion) -> int:
    """The highest number of a label among them, 0 where there are none: what a retrain notes as ``labels_to``."""
    query = _of(select(func.max(LabelTruth.id)), version)
    return int(session.exec(query).one() or 0)


def labelled_by(session: Session, version: ModelVersion) -> tuple[dict[str, int], dict[str, int]]:
    """How many there are of each device, and of each source of labels."""
    device, source = col(LabelTruth.device_id), col(LabelTruth.source)
    query = _of(select(device, source, func.count()), version).group_by(device, source)
    devices: dict[str, int] = {}
    sources: dict[str, int] = {}
    for of_device, of_source, found in session.exec(query):
        devices[of_device] = devices.get(of_device, 0) + found
        sources[of_source] = sources.get(of_source, 0) + found
    return dict(sorted(devices.items())), dict(sorted(sources.items()))


def _count(session: Session, version: ModelVersion, *conditions: Any) -> int:
    return int(session.exec(_of(select(func.count()), version).where(*conditions)).one())


def _of(query: Any, version: ModelVersion) -> Any:
    return (
        query.select_from(CapturedSample)
        .join(LabelTruth, _ITS_TRUTH)
        .where(CapturedSample.manifest == version.manifest_sha256)
    )
