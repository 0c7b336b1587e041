"""A dataset: immutable, versioned, named by the hash of its content."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.data.index import Index, check_fields
from edgeops.data.items import DTYPES, Inputs, Items, item_digests
from edgeops.data.recordings import Recordings
from edgeops.data.splitting import SHARES, Part, Parts, part_named, split
from edgeops.data.storage import read_version, write_version
from edgeops.files import write_atomic

__all__ = [
    "SOURCE_ORIGIN",
    "Dataset",
    "Part",
    "export_replay",
    "extend",
    "load",
    "new_dataset",
    "save",
    "split",
    "write_replay",
]

SOURCE_ORIGIN = "source"
_IN_MEMORY_BYTES = 256 * 1024 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Items in the order of their digests, each with target, part and origin.

    ``inputs`` is (N, *shape) uint8, int16 or float32, in memory or memory-mapped, or ``Recordings`` where
    items differ in length. ``targets`` (N,) int64 indices into ``labels``, ``parts`` (N,) uint8 codes of
    ``Part``, ``origins`` N times ``"source"`` or ``"captured:<device>"``. Arrays are read-only.

    ``groups`` (empty or N) says what must not stand on both sides of a split, such as a speaker; an item
    whose group is ``""`` stands for itself. ``slices`` maps each column of metadata to its N values,
    ``files`` (empty or N) says where an item came from. ``sample_rate_hz`` is that of all items; 0: none.
    ``columns`` names the values of a table's row, or the channels of recordings; empty: they have no names.
    """

    name: str
    version: int
    inputs: Inputs | Recordings
    targets: NDArray[np.int64]
    labels: tuple[str, ...]
    parts: Parts
    origins: tuple[str, ...]
    kind: str
    groups: tuple[str, ...] = ()
    slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sample_rate_hz: float = 0.0
    files: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, len(self.inputs), str(self.inputs.dtype))
        for name in ("inputs", "targets", "parts"):
            values = getattr(self, name)
            if isinstance(values, np.ndarray):
                view = values.view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)

    @classmethod
    def of(cls, index: Index, inputs: Inputs | Recordings) -> Dataset:
        """Values and what is known about them, put together; digests are believed."""
        names = {entry.name for entry in dataclasses.fields(cls)} - {"inputs"}
        dataset = cls(inputs=inputs, **{name: getattr(index, name) for name in names})
        dataset.__dict__["index"] = index
        return dataset

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def item_shape(self) -> tuple[int, ...]:
        """The shape of an item; it begins with -1 where items differ in length."""
        if isinstance(self.inputs, Recordings):
            return (-1, *self.inputs.tail)
        return tuple(int(size) for size in self.inputs.shape[1:])

    @cached_property
    def index(self) -> Index:
        """Everything but the values, with the digest of each item."""
        names = {entry.name for entry in dataclasses.fields(self)} - {"inputs"}
        return Index(
            dtype=str(self.inputs.dtype),
            item_shape=self.item_shape,
            digests=item_digests(self.inputs),
            lengths=self.inputs.lengths if isinstance(self.inputs, Recordings) else np.zeros(0, np.int64),
            **{name: getattr(self, name) for name in names},
        )

    @property
    def sha256(self) -> str:
        """Hex hash of all content; see ``Index.sha256``."""
        return self.index.sha256

    def part(self, name: str | Part) -> tuple[Any, NDArray[np.int64]]:
        """Inputs and targets of one part (both may be empty): an array, or ``Recordings`` for recordings."""
        chosen = self.parts == part_named(name)
        return self.inputs[chosen], self.targets[chosen]

    def counts(self) -> dict[str, int]:
        """Items in each part, every part named."""
        return {part.label: int((self.parts == part).sum()) for part in Part}

    def class_balance(self, part: Part | None = None) -> dict[str, int]:
        """Items of each label, every label named; of all parts or of one."""
        targets = self.targets if part is None else self.targets[self.parts == part]
        sizes = np.bincount(targets, minlength=len(self.labels))
        return {label: int(size) for label, size in zip(self.labels, sizes, strict=True)}


def check_dataset_name(name: str) -> str:
    """The name itself; raises ``DataError`` for one that is not a dataset's."""
    if not _NAME.match(name):
        raise DataError(
            f"{name!r} is not a dataset name",
            fix="use lower-case letters, digits, dot, dash and underscore, at most 64 characters",
        )
    return name


def new_dataset(name: str, items: Items, shares: Mapping[Part, float] = SHARES) -> Dataset:
    """Version 1 of a dataset, split by content, in digest order; raises ``DataError`` for a bad name."""
    check_dataset_name(name)
    digests = item_digests(items.inputs)
    order = sorted(range(len(digests)), key=digests.__getitem__)
    index = Index(
        name=name,
        version=1,
        kind=items.kind,
        labels=items.labels,
        dtype=str(items.inputs.dtype),
        item_shape=tuple(int(size) for size in items.inputs.shape[1:]),
        digests=[digests[row] for row in order],
        targets=items.targets[order],
        parts=split(items, shares)[order],
        origins=(SOURCE_ORIGIN,) * len(items),
    )
    return Dataset.of(index, items.inputs[order])


def extend(
    dataset: Dataset,
    inputs: Inputs,
    targets: NDArray[np.int64],
    origins: Sequence[str],
    parts: Parts,
) -> Dataset:
    """The next version: ``dataset`` with captured items added; ``dataset`` itself does not change.

    ``inputs`` (M, *shape) may lack or carry a trailing channel of one, and are of any length where the
    dataset's are; integer items become float32 (exactly) when float32 ones join. What the dataset has already,
    and repetitions, are dropped: the first stays. Captured items have no group, slices or file. Large datasets
    go to an unnamed temporary file instead of memory. Raises ``DataError`` for another shape or dtype, values
    that are not finite, targets without a label, arrays of unequal length, or when nothing new is left.
    """
    added = _like(dataset, np.asarray(inputs))
    new_targets, new_parts = np.asarray(targets, dtype=np.int64), np.asarray(parts, dtype=np.uint8)
    if not len(added) == len(new_targets) == len(origins) == len(new_parts):
        raise DataError(
            f"{len(added)} inputs came with {len(new_targets)} targets, {len(origins)} origins and "
            f"{len(new_parts)} parts"
        )
    old = dataset.index
    seen = set(old.digests)
    keep: list[int] = []
    new_digests = item_digests(added)
    for row, digest in enumerate(new_digests):
        if digest not in seen:
            seen.add(digest)
            keep.append(row)
    if not keep:
        raise DataError(f"nothing new to add to {dataset.name}@{dataset.version}", fix="capture more samples")
    digests = [*old.digests, *(new_digests[row] for row in keep)]
    order = sorted(range(len(digests)), key=digests.__getitem__)

    def joined(column: tuple[str, ...], new: Sequence[str]) -> tuple[str, ...]:
        both = (*column, *new)
        return tuple(both[row] for row in order) if column else ()

    dtype = np.dtype(dataset.inputs.dtype if dataset.inputs.dtype == added.dtype else np.float32)
    blank = [""] * len(keep)
    lengths = np.concatenate([old.lengths, [len(added[row]) for row in keep]]) if old.ragged else old.lengths
    index = Index(
        name=dataset.name,
        version=dataset.version + 1,
        kind=dataset.kind,
        labels=dataset.labels,
        dtype=str(dtype),
        item_shape=dataset.item_shape,
        digests=[digests[row] for row in order],
        targets=np.concatenate([dataset.targets, new_targets[keep]])[order],
        parts=np.concatenate([dataset.parts, new_parts[keep]])[order],
        origins=joined(dataset.origins, [origins[row] for row in keep]),
        lengths=lengths[order].astype(np.int64) if old.ragged else lengths,
        groups=joined(dataset.groups, blank),
        slices={name: joined(column, blank) for name, column in dataset.slices.items()},
        sample_rate_hz=dataset.sample_rate_hz,
        files=joined(dataset.files, blank),
        columns=dataset.columns,
    )
    return Dataset.of(index, _merged(dataset.inputs, added[keep], order, dtype))


def save(dataset: Dataset, folder: Path) -> None:
    """Write a dataset into ``folder``, whole or not at all; what was a dataset there is replaced.

    Raises ``StorageError`` when the disk is full or not writable, or when the folder holds anything else.
    """
    write_version(dataset.index, (np.asarray(item) for item in dataset.inputs), folder)


def load(folder: Path) -> Dataset:
    """Memory-map what ``save`` wrote.

    Raises ``NotFoundError`` when no dataset is there and ``DataError`` when it does not decode or its content
    is not what its hash says.
    """
    return Dataset.of(*read_version(folder))


def export_replay(dataset: Dataset, part: str | Part, folder: Path) -> None:
    """Write one part as a device agent replays it: ``inputs.npy``, ``targets.npy`` and ``labels.json``.

    Inputs keep the dataset's dtype and item shape, targets are int64 indices into the list of labels. Raises
    ``DataError`` when the part is empty or its items differ in length, and ``StorageError``.
    """
    inputs, targets = dataset.part(part)
    described = f"the part {part_named(part).label} of {dataset.name}@{dataset.version}"
    if len(inputs) == 0:
        raise DataError(f"{described} is empty")
    if isinstance(inputs, Recordings):
        if inputs.lengths.min() != inputs.lengths.max():
            raise DataError(
                f"{described} has recordings of {inputs.lengths.min()} to {inputs.lengths.max()} samples, and "
                "an agent replays inputs of one shape",
                fix="cut them as a model takes them: --recipe NAME",
            )
        inputs = np.stack(list(inputs))
    write_replay(inputs, targets, dataset.labels, folder)


def write_replay(
    inputs: NDArray[Any], targets: NDArray[np.int64], labels: Sequence[str], folder: Path
) -> None:
    """Inputs (N, *shape) of any dtype, their targets (N,) and the labels, as an agent replays them."""
    for name, array in (("inputs.npy", inputs), ("targets.npy", targets)):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        write_atomic(Path(folder) / name, buffer.getvalue())
    write_atomic(Path(folder) / "labels.json", (json.dumps(list(labels)) + "\n").encode())


def _like(dataset: Dataset, inputs: NDArray[Any]) -> NDArray[Any]:
    """The inputs in the shape of the dataset's items, or ``DataError``."""
    shape = dataset.item_shape
    if str(inputs.dtype) not in DTYPES:
        raise DataError(f"captured inputs have dtype {inputs.dtype}; {', '.join(DTYPES)} is needed")
    if shape[:1] == (-1,):
        shape = (*inputs.shape[1:2], *shape[1:])
    if inputs.shape[1:] not in (shape, (*shape, 1)) and (*inputs.shape[1:], 1) != shape:
        raise DataError(f"captured inputs have shape {inputs.shape[1:]}; {dataset.name} has {shape}")
    if not np.isfinite(inputs).all():
        raise DataError("captured inputs hold NaN or infinity", fix="drop those samples before adding")
    return inputs.reshape(len(inputs), *shape)


def _merged(
    old: Inputs | Recordings, added: NDArray[Any], order: Sequence[int], dtype: np.dtype[Any]
) -> Inputs | Recordings:
    """Old items followed by new ones, in ``order``; one item is copied at a time."""
    if isinstance(old, Recordings):
        every = np.concatenate([old.lengths, np.full(len(added), added.shape[1], np.int64)])
        lengths = every[np.asarray(order)]
        starts = np.cumsum(lengths) - lengths
        values = _allocate((int(lengths.sum()), *old.tail), dtype)
        for row, source in enumerate(order):
            item = old[source] if source < len(old) else added[source - len(old)]
            values[starts[row] : starts[row] + lengths[row]] = item
        return Recordings(values, starts, lengths)
    whole = _allocate((len(order), *old.shape[1:]), dtype)
    for row, source in enumerate(order):
        whole[row] = old[source] if source < len(old) else added[source - len(old)]
    return whole


def _allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    if math.prod(shape) * dtype.itemsize <= _IN_MEMORY_BYTES:
        return np.empty(shape, dtype)
    file: Any = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the mapping, and has no name
    return np.memmap(file, dtype, "w+", shape=shape)
