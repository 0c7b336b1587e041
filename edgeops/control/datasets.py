"""Datasets in a workspace: ingest, list, load."""

from __future__ import annotations

import dataclasses
import time

from sqlmodel import select

from edgeops.control.workspace import Workspace
from edgeops.core.topics import check_name
from edgeops.data.dataset import Dataset, load, new_dataset, save
from edgeops.data.sources import read_source
from edgeops.registry.names import find_dataset
from edgeops.registry.tables import DatasetVersion


def add_dataset(workspace: Workspace, source: str, name: str) -> tuple[DatasetVersion, bool]:
    """Ingest a source as the next version of ``name``; (row, whether it is new).

    The same content again gives the version that is there. Nothing is registered unless all was written.
    """
    check_name(name, "dataset")
    items = read_source(source)
    dataset = new_dataset(name, items)
    with workspace.registry.reading() as session:
        versions = session.exec(
            select(DatasetVersion).where(DatasetVersion.name == name).order_by(DatasetVersion.version)  # type: ignore[arg-type]
        ).all()
    for row in versions:
        if row.sha256 == dataset.sha256:
            return row, False
    dataset = dataclasses.replace(dataset, version=versions[-1].version + 1 if versions else 1)
    quarantined = [[q.index, q.reason] for q in items.quarantined]
    return register_dataset(workspace, dataset, None, quarantined), True


def register_dataset(
    workspace: Workspace, dataset: Dataset, parent_id: int | None, quarantined: list[list[object]]
) -> DatasetVersion:
    """Write a dataset version to disk, then register it."""
    folder = workspace.dataset_folder(dataset.name, dataset.version)
    save(dataset, folder)
    row = DatasetVersion(
        name=dataset.name,
        version=dataset.version,
        sha256=dataset.sha256,
        kind=dataset.kind,
        folder=str(folder.relative_to(workspace.root)),
        labels=list(dataset.labels),
        parts=dataset.counts(),
        quarantined=quarantined,
        parent_id=parent_id,
        created_at=time.time(),
    )
    with workspace.registry.session() as session:
        session.add(row)
    return row


def load_dataset(workspace: Workspace, text: str) -> tuple[Dataset, DatasetVersion]:
    """A dataset by ``name`` or ``name@version``; raises ``NotFoundError``, ``DataError`` when altered."""
    with workspace.registry.reading() as session:
        row = find_dataset(session, text)
    return load(workspace.root / row.folder), row
