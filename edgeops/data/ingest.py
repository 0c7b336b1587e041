"""From a reader to a dataset version on disk: checked, without duplicates, split, one item in memory at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.data.dataset import SOURCE_ORIGIN, Dataset, check_dataset_name
from edgeops.data.gather import (
    RAGGED,
    Gathered,
    Line,
    Progress,
    Terms,
    gather,
    refuse_if_too_many,
    refuse_numbers_as_labels,
    set_aside_repetitions,
)
from edgeops.data.index import Index
from edgeops.data.readers.entry import Reader, SetAside
from edgeops.data.splitting import Part, assign
from edgeops.data.spool import Spool
from edgeops.data.storage import write_version


@dataclass(frozen=True, eq=False)
class Ingested:
    """What an ingest found; ``index`` is None where the source holds nothing that is not there already.

    ``came`` items are new, ``known`` were there before.
    """

    index: Index | None
    came: int
    known: int
    quarantined: tuple[SetAside, ...]


def ingest(
    reader: Reader,
    folder: Path,
    name: str,
    version: int,
    *,
    aside: Sequence[SetAside] = (),
    base: Dataset | None = None,
    terms: Terms | None = None,
    progress: Progress | None = None,
) -> Ingested:
    """Write what ``reader`` gives as ``name@version`` into ``folder``, joined to ``base`` where there is one.

    Items of ``base`` keep their parts, and so do its groups. Nothing is left on disk where this raises:
    ``DataError`` for a source that holds nothing, that is mostly unusable, that contradicts ``base``, or in
    which one item stands in two parts; ``StorageError``; and whatever the reader raises.
    """
    check_dataset_name(name)
    terms = terms or Terms()
    if base is not None:
        _refuse_other_kind(reader, base, terms)
    with _none_left_empty(folder.parent), Spool(folder.parent) as spool:
        found = gather(reader, spool, aside, progress)
        set_aside_repetitions(found, base, terms)
        refuse_if_too_many(found, terms, name)
        refuse_numbers_as_labels(found, base, name)
        if base is not None:
            _refuse_other_values(reader, found, base)
        known = set(base.index.digests) if base is not None else set()
        came = sum(digest not in known for digest in found.lines)
        told = (came, len(found.lines) - came, tuple(sorted(found.aside, key=lambda bad: bad.file)))
        if not found.lines or (came == 0 and not terms.replace):
            return Ingested(None, *told)
        index = _index(reader, found, name, version, base, terms)
        if base is not None and index.sha256 == base.sha256:
            return Ingested(None, *told)
        write_version(index, _values(index, found, spool, base), folder)
        return Ingested(index, *told)


@contextmanager
def _none_left_empty(folder: Path) -> Iterator[None]:
    """A folder for versions that is made meanwhile goes again where none was written."""
    there = folder.exists()
    try:
        yield
    finally:
        if not there:
            with suppress(OSError):  # not empty: there are versions
                folder.rmdir()


def _refuse_other_kind(reader: Reader, base: Dataset, terms: Terms) -> None:
    """What can be known to contradict ``base`` before anything is read."""
    described = f"{base.name}@{base.version}"
    if reader.kind != base.kind:
        raise DataError(
            f"{described} holds {base.kind} data, not {reader.kind}", fix="add it under another name"
        )
    if bool(terms.group) != bool(base.groups):
        raise DataError(
            f"{described} is {'' if base.groups else 'not '}split by group",
            fix="give the same --group" if base.groups else "leave out --group, or add it under another name",
        )


def _refuse_other_values(reader: Reader, found: Gathered, base: Dataset) -> None:
    """Another shape or sample rate than that of ``base``."""
    described = f"{base.name}@{base.version}"
    ragged = base.item_shape[:1] == (-1,)
    for line in itertools.islice(found.lines.values(), 1):  # all have one shape
        plain = _plain(line.shape[1:] if ragged else line.shape)
        if plain != _plain(base.item_shape[1:] if ragged else base.item_shape):
            known = "x".join("samples" if size == -1 else str(size) for size in base.item_shape)
            image = base.kind == "image" and line.shape[2:] == base.item_shape[2:]
            raise DataError(
                f"the new items have shape {'x'.join(map(str, line.shape))}; those of {described} have {known}",
                fix=f"give --size {known.rpartition('x')[0]}" if image else "add them under another name",
            )
    if reader.columns and base.columns and reader.columns != base.columns:
        raise DataError(
            f"the columns of the new items are {', '.join(reader.columns)}; "
            f"those of {described} are {', '.join(base.columns)}",
            fix="bring the columns of the file into that order, or add it under another name",
        )
    if reader.sample_rate_hz != base.sample_rate_hz:
        raise DataError(
            f"{described} has {_rated(base.sample_rate_hz)}, the new items {_rated(reader.sample_rate_hz)}",
            fix=f"resample them: --sample-rate {base.sample_rate_hz:g}"
            if base.sample_rate_hz
            else "add them under another name",
        )


def _rated(rate_hz: float) -> str:
    return f"{rate_hz:g} Hz" if rate_hz else "no sample rate"


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the channel of a grey image, which makes no difference to what an item is."""
    return shape[:-1] if len(shape) == 3 and shape[-1] == 1 else shape


def _index(
    reader: Reader, found: Gathered, name: str, version: int, base: Dataset | None, terms: Terms
) -> Index:
    """All that the version holds but its values: what ``base`` has, and the new items."""
    kept = base.index if base is not None and not terms.replace else None
    old = [] if kept is None else list(kept.digests)
    there = set(old)
    new = [digest for digest in found.lines if digest not in there]
    lines = [found.lines[digest] for digest in new]
    labels = _labels(reader, lines, base, base is not None and terms.replace)
    place = {label: number for number, label in enumerate(labels)}
    digests = [*old, *new]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    slices, groups = _metadata(lines, kept, terms.group, name)
    targets = np.array([place[line.item.label] for line in lines], np.int64)
    origins = (*(kept.origins if kept else ()), *[SOURCE_ORIGIN] * len(new))
    if kept is not None:
        targets = np.concatenate([kept.targets, targets])
    parts = _parts(found, digests, targets, origins, groups, base, terms)
    ragged = reader.kind in RAGGED
    shape = base.item_shape if base is not None else lines[0].shape
    lengths = [*(kept.lengths.tolist() if kept else ()), *(line.shape[0] for line in lines if ragged)]
    dtypes = {found.dtype, *([kept.dtype] if kept else [])}
    files = (*(kept.files or ("",) * len(old) if kept else ()), *(line.item.file for line in lines))

    def ordered(column: Sequence[str]) -> tuple[str, ...]:
        return tuple(column[row] for row in order) if column else ()

    return Index(
        name=name,
        version=version,
        kind=reader.kind,
        labels=labels,
        dtype=dtypes.pop() if len(dtypes) == 1 else "float32",
        item_shape=(-1, *shape[1:]) if ragged else shape,
        digests=[digests[row] for row in order],
        targets=targets[order],
        parts=parts[order],
        origins=ordered(origins),
        lengths=np.array(lengths, np.int64)[order] if ragged else np.zeros(0, np.int64),
        groups=ordered(groups),
        slices={column: ordered(values) for column, values in slices.items()},
        sample_rate_hz=reader.sample_rate_hz,
        files=ordered(files),
        columns=reader.columns or (kept.columns if kept else ()),
    )


def _labels(reader: Reader, lines: Sequence[Line], base: Dataset | None, replace: bool) -> tuple[str, ...]:
    """Those that are known first, in their order, so that a model's outputs keep their meaning; then sorted."""
    found = {line.item.label for line in lines}
    known = base.labels if base is not None else reader.labels
    if replace:
        known = tuple(label for label in known if label in found)
    return (*known, *sorted(found - set(known)))


def _metadata(
    lines: Sequence[Line], kept: Index | None, group: str, name: str
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Slices, each with a value for every item (``""`` where an item has none), and groups."""
    names = list(
        dict.fromkeys([*(kept.slices if kept else ()), *(s for line in lines for s in line.item.slices)])
    )
    blank = ("",) * (len(kept) if kept else 0)
    slices = {
        column: (
            *(kept.slices.get(column, blank) if kept else ()),
            *(line.item.slices.get(column, "") for line in lines),
        )
        for column in names
    }
    if not group:
        return slices, ()
    if group not in slices:
        raise DataError(
            f"nothing in the source of {name} is called {group!r}; there is {', '.join(names) or 'no metadata'}",
            fix="name one of them with --group, or name parts of the paths with --pattern",
            group=group,
        )
    if "" in slices[group][len(blank) :]:
        missing = next(line.item.file for line in lines if not line.item.slices.get(group))
        raise DataError(
            f"{missing} has no {group!r}, which is the group", fix="give it one, or leave out --group"
        )
    return slices, (*(kept.groups if kept else ()), *slices[group][len(blank) :])


def _parts(
    found: Gathered,
    digests: Sequence[bytes],
    targets: NDArray[np.int64],
    origins: Sequence[str],
    groups: Sequence[str],
    base: Dataset | None,
    terms: Terms,
) -> NDArray[np.uint8]:
    """Parts of all items: what was known stays, what folders say is kept, the rest is split."""
    was: dict[bytes, Part] = {}
    group_was: dict[str, Part] = {}
    if base is not None:
        was = dict(zip(base.index.digests, map(Part, base.parts.tolist()), strict=True))
        group_was = dict(zip(base.groups, was.values(), strict=True)) if base.groups else {}
        group_was.pop("", None)
    given = {line.item.part for line in found.lines.values()}
    rest = tuple(
        part for part in terms.shares if terms.shares[part] > 0 and (part == Part.TRAIN or part not in given)
    )
    known: list[Part | None] = []
    among: list[tuple[Part, ...]] = []
    for row, digest in enumerate(digests):
        line = found.lines.get(digest)
        part = line.item.part if line else None
        known.append(was.get(digest, group_was.get(groups[row]) if groups else None))
        among.append(() if part is None else rest if part == Part.TRAIN else (part,))
        if known[-1] is not None and among[-1] and known[-1] not in among[-1]:
            file = line.item.file if line else ""
            raise DataError(
                f"{file} is in the part {'' if part is None else part.label} of the folders, but belongs to "
                f"{known[-1].label} since an earlier version",
                fix="add it under another name, or move the file",
            )
    source = np.array([origin == SOURCE_ORIGIN for origin in origins])
    codes = np.array([0 if part is None else int(part) for part in known], np.uint8)
    # captured items have parts of their own, which are no quota's business
    rows = np.flatnonzero(source).tolist()
    codes[rows] = assign(
        [digests[row] for row in rows],
        targets[rows],
        terms.shares,
        groups=[groups[row] for row in rows] if groups else (),
        known=[known[row] for row in rows],
        among=[among[row] for row in rows],
    )
    return codes


def _values(index: Index, found: Gathered, spool: Spool, base: Dataset | None) -> Iterator[NDArray[Any]]:
    """The values in the order of the index, one item at a time."""
    where = {digest: row for row, digest in enumerate(base.index.digests)} if base is not None else {}
    dtype = np.dtype(found.dtype)
    for digest in index.digests:
        line = found.lines.get(digest)
        if line is not None:
            values = spool.read(line.place, line.shape, dtype)
            yield values if index.ragged else values.reshape(index.item_shape)
        elif base is not None:
            yield np.asarray(base.inputs[where[digest]])
