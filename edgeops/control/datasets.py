"""Datasets in a workspace: ingest, list, load."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from edgeops.control.workspace import Workspace
from edgeops.core.errors import UsageError
from edgeops.core.topics import check_name
from edgeops.data.dataset import Dataset, load, save
from edgeops.data.describe import remarks
from edgeops.data.gather import Progress, Terms
from edgeops.data.index import Index
from edgeops.data.ingest import ingest
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Request
from edgeops.data.splitting import SHARES, Part
from edgeops.files import exclusive
from edgeops.registry.names import find_dataset
from edgeops.registry.tables import DatasetVersion


@dataclasses.dataclass(frozen=True, slots=True)
class Addition:
    """What adding a source did: the version, whether it is new, how many items came or were there already.

    ``quarantined`` are pairs (file, reason) of this source, ``notes`` sentences about what was assumed.
    """

    row: DatasetVersion
    new: bool
    came: int
    known: int
    quarantined: list[list[str]]
    notes: list[str]


def add_dataset(
    workspace: Workspace, source: str, name: str, request: Request | None = None, terms: Terms | None = None
) -> tuple[DatasetVersion, bool]:
    """As ``ingest_dataset``; (row, whether it is new)."""
    added = ingest_dataset(workspace, source, name, request, terms)
    return added.row, added.new


def ingest_dataset(
    workspace: Workspace,
    source: str,
    name: str,
    request: Request | None = None,
    terms: Terms | None = None,
    progress: Progress | None = None,
) -> Addition:
    """Add a source to the dataset ``name``, as its first or its next version.

    Items that are there keep their parts. Without ``terms`` those of the version before hold: its shares and
    its group. A source that brings nothing new gives the version that is there. Nothing is registered, and
    nothing stays on disk, unless all was written.
    """
    check_name(name, "dataset")
    with _adding(workspace, name):
        return _ingest(workspace, source, name, request or Request(), terms, progress)


def _ingest(
    workspace: Workspace,
    source: str,
    name: str,
    request: Request,
    terms: Terms | None,
    progress: Progress | None,
) -> Addition:
    with workspace.registry.reading() as session:
        rows = session.exec(
            select(DatasetVersion).where(DatasetVersion.name == name).order_by(col(DatasetVersion.version))
        ).all()
    last = rows[-1] if rows else None
    base = load(workspace.root / last.folder) if last is not None else None
    terms = _inherited(terms or Terms(), last, request.group)
    request = dataclasses.replace(request, group=terms.group, channels=_channels(base))
    reader, aside = open_source(source, request)
    version = last.version + 1 if last is not None else 1
    target = workspace.dataset_folder(name, version)
    done = ingest(reader, target, name, version, aside=aside, base=base, terms=terms, progress=progress)
    quarantined = [[bad.file, bad.reason] for bad in done.quarantined]
    notes = [*reader.notes, *(remarks(done.index, terms.shares) if done.index is not None else ())]
    found = (done.came, done.known, quarantined, notes)
    if done.index is None:
        assert last is not None  # without a base, all that is usable is new
        return Addition(last, False, *found)
    for row in rows:
        if row.sha256 == done.index.sha256:  # only with ``replace``: an older version, whole
            shutil.rmtree(target)
            return Addition(row, False, *found)
    row = _register(
        workspace,
        done.index,
        parent_id=last.id if last is not None else None,
        quarantined=quarantined,
        source=source if source.startswith("sklearn:") else Path(source).name,
        split=_recorded(terms),
        notes=notes,
    )
    return Addition(row, True, *found)


def register_dataset(
    workspace: Workspace, dataset: Dataset, parent_id: int | None, quarantined: list[list[Any]]
) -> DatasetVersion:
    """Write a dataset version to disk, then register it; how it is split is as with its parent.

    Raises ``UsageError`` while another process adds to the dataset, or when it has added that version already.
    """
    with _adding(workspace, dataset.name):
        with workspace.registry.reading() as session:
            parent = session.get(DatasetVersion, parent_id) if parent_id is not None else None
            there = session.exec(
                select(DatasetVersion.id).where(
                    DatasetVersion.name == dataset.name, DatasetVersion.version == dataset.version
                )
            ).first()
        if there is not None:
            raise UsageError(
                f"{dataset.name}@{dataset.version} was added by another process meanwhile",
                fix="start it again: it then builds on that version",
            )
        save(dataset, workspace.dataset_folder(dataset.name, dataset.version))
        split = parent.split if parent is not None else _recorded(Terms())
        return _register(
            workspace,
            dataset.index,
            parent_id=parent_id,
            quarantined=quarantined,
            source="captured",
            split=split,
        )


def _adding(workspace: Workspace, name: str) -> AbstractContextManager[None]:
    """Hold it while a version is written; raises ``UsageError`` when another process does."""
    folder = workspace.root / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    return exclusive(folder / f".{name}.lock", "edgeops data add")


def _register(
    workspace: Workspace,
    index: Index,
    *,
    parent_id: int | None,
    quarantined: list[list[Any]],
    source: str,
    split: dict[str, Any],
    notes: Sequence[str] = (),
) -> DatasetVersion:
    folder = workspace.dataset_folder(index.name, index.version)
    row = DatasetVersion(
        name=index.name,
        version=index.version,
        sha256=index.sha256,
        kind=index.kind,
        folder=str(folder.relative_to(workspace.root)),
        labels=list(index.labels),
        parts=index.counts(),
        quarantined=quarantined,
        source=source,
        split=split,
        sample_rate_hz=index.sample_rate_hz,
        notes=list(notes),
        parent_id=parent_id,
        created_at=time.time(),
    )
    try:
        with workspace.registry.session() as session:
            session.add(row)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return row


def _inherited(terms: Terms, last: DatasetVersion | None, group: str) -> Terms:
    """Shares and group of the version before, where none were asked for."""
    before = last.split if last is not None else {}
    shares = terms.shares
    if shares is SHARES and "shares" in before:
        shares = {Part[name.upper()]: float(share) for name, share in before["shares"].items()}
    return dataclasses.replace(
        terms, shares=shares, group=terms.group or group or str(before.get("group", ""))
    )


def _channels(base: Dataset | None) -> int:
    """Of the images that are there; 0 where there are none."""
    if base is None or base.kind != "image":
        return 0
    return base.item_shape[2] if len(base.item_shape) == 3 else 1


def _recorded(terms: Terms) -> dict[str, Any]:
    shares = {part.label: round(share, 6) for part, share in terms.shares.items()}
    return {"shares": shares, "group": terms.group, "stratified": True}


def load_dataset(workspace: Workspace, text: str) -> tuple[Dataset, DatasetVersion]:
    """A dataset by ``name`` or ``name@version``; raises ``NotFoundError``, ``DataError`` when altered."""
    with workspace.registry.reading() as session:
        row = find_dataset(session, text)
    return load(workspace.root / row.folder), row
