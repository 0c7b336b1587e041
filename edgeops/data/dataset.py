"""A dataset: immutable, versioned, named by the hash of its content."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError, NotFoundError
from edgeops.data.archives import read_arrays
from edgeops.data.items import Inputs, Items, item_digests
from edgeops.data.splitting import Part, Parts, part_named, split
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
]

SOURCE_ORIGIN = "source"
FORMAT = "edgeops-dataset-1"
ARRAYS_FILE = "dataset.npz"
DESCRIPTION_FILE = "dataset.json"
_ALTERED_FIX = "restore it from a copy, or add the source again with edgeops data add"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Items in the order of their digests, each with target, part and origin.

    ``inputs`` (N, *shape) uint8 or float32, ``targets`` (N,) int64 indices into ``labels``, ``parts`` (N,)
    uint8 codes of ``Part``, ``origins`` N times ``"source"`` or ``"captured:<device>"``. Arrays are
    read-only.
    """

    name: str
    version: int
    inputs: Inputs
    targets: NDArray[np.int64]
    labels: tuple[str, ...]
    parts: Parts
    origins: tuple[str, ...]
    kind: str

    def __post_init__(self) -> None:
        lengths = {len(self.inputs), len(self.targets), len(self.parts), len(self.origins)}
        if lengths == {0} or len(lengths) != 1:
            raise DataError(f"dataset {self.name} is empty or its arrays differ in length: {sorted(lengths)}")
        if self.inputs.dtype not in (np.uint8, np.float32):
            raise DataError(f"dataset {self.name} has inputs of {self.inputs.dtype}, not uint8 or float32")
        if self.targets.min() < 0 or self.targets.max() >= len(self.labels):
            raise DataError(f"dataset {self.name} has targets beyond its {len(self.labels)} labels")
        if self.parts.max() > max(Part):
            raise DataError(f"dataset {self.name} has items in a part that is not known")
        for field in ("inputs", "targets", "parts"):
            view = getattr(self, field).view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def sha256(self) -> str:
        """Hex hash of schema, labels and every item with its target, part and origin, in no order.

        Name and version are not content. A uint8 and a float32 dataset of the same items differ.
        """
        schema = {
            "format": FORMAT,
            "kind": self.kind,
            "dtype": str(self.inputs.dtype),
            "shape": list(self.inputs.shape[1:]),
            "labels": list(self.labels),
        }
        lines = sorted(
            digest + struct.pack(">qB", target, part) + hashlib.sha256(origin.encode()).digest()
            for digest, target, part, origin in zip(
                item_digests(self.inputs), self.targets, self.parts, self.origins, strict=True
            )
        )
        whole = hashlib.sha256(json.dumps(schema, sort_keys=True).encode())
        for line in lines:
            whole.update(line)
        return whole.hexdigest()

    def part(self, name: str | Part) -> tuple[Inputs, NDArray[np.int64]]:
        """Inputs and targets of one part (both may be empty)."""
        chosen = self.parts == part_named(name)
        return self.inputs[chosen], self.targets[chosen]

    def counts(self) -> dict[str, int]:
        """Items in each part, every part named."""
        return {part.label: int((self.parts == part).sum()) for part in Part}

    def class_balance(self) -> dict[str, int]:
        """Items of each label, every label named."""
        sizes = np.bincount(self.targets, minlength=len(self.labels))
        return {label: int(size) for label, size in zip(self.labels, sizes, strict=True)}


def new_dataset(name: str, items: Items) -> Dataset:
    """Version 1 of a dataset, split by content, in digest order; raises ``DataError`` for a bad name."""
    if not _NAME.match(name):
        raise DataError(
            f"{name!r} is not a dataset name",
            fix="use lower-case letters, digits, dot, dash and underscore, at most 64 characters",
        )
    origins = (SOURCE_ORIGIN,) * len(items)
    return _in_digest_order(
        Dataset(name, 1, items.inputs, items.targets, items.labels, split(items), origins, items.kind)
    )


def extend(
    dataset: Dataset,
    inputs: Inputs,
    targets: NDArray[np.int64],
    origins: Sequence[str],
    parts: Parts,
) -> Dataset:
    """The next version: ``dataset`` with captured items added; ``dataset`` itself does not change.

    ``inputs`` (M, *shape) may lack or carry a trailing channel of one; uint8 items become float32 (exactly)
    when float32 ones join. What the dataset has already, and repetitions, are dropped: the first stays.
    Raises ``DataError`` for another shape or dtype, values that are not finite, targets without a label,
    arrays of unequal length, or when nothing new is left.
    """
    added = _like(dataset, np.asarray(inputs))
    new_targets, new_parts = np.asarray(targets, dtype=np.int64), np.asarray(parts, dtype=np.uint8)
    if not len(added) == len(new_targets) == len(origins) == len(new_parts):
        raise DataError(
            f"{len(added)} inputs came with {len(new_targets)} targets, {len(origins)} origins and "
            f"{len(new_parts)} parts"
        )
    seen = set(item_digests(dataset.inputs))
    keep: list[int] = []
    for index, digest in enumerate(item_digests(added)):
        if digest not in seen:
            seen.add(digest)
            keep.append(index)
    if not keep:
        raise DataError(f"nothing new to add to {dataset.name}@{dataset.version}", fix="capture more samples")
    wide = np.float32 if np.float32 in (dataset.inputs.dtype, added.dtype) else np.uint8
    return _in_digest_order(
        Dataset(
            dataset.name,
            dataset.version + 1,
            np.concatenate([dataset.inputs.astype(wide), added[keep].astype(wide)]),
            np.concatenate([dataset.targets, new_targets[keep]]),
            dataset.labels,
            np.concatenate([dataset.parts, new_parts[keep]]),
            dataset.origins + tuple(origins[index] for index in keep),
            dataset.kind,
        )
    )


def _like(dataset: Dataset, inputs: NDArray[Any]) -> Inputs:
    """The inputs in the shape of the dataset's items, or ``DataError``."""
    shape = dataset.inputs.shape[1:]
    if inputs.dtype not in (np.uint8, np.float32):
        raise DataError(f"captured inputs have dtype {inputs.dtype}; uint8 or float32 is needed")
    if inputs.shape[1:] not in (shape, (*shape, 1)) and (*inputs.shape[1:], 1) != shape:
        raise DataError(f"captured inputs have shape {inputs.shape[1:]}; {dataset.name} has {shape}")
    if not np.isfinite(inputs).all():
        raise DataError("captured inputs hold NaN or infinity", fix="drop those samples before adding")
    return inputs.reshape(len(inputs), *shape)


def _in_digest_order(dataset: Dataset) -> Dataset:
    """The same dataset in canonical order, so that training does not depend on the order of arrival."""
    digests = item_digests(dataset.inputs)
    order = sorted(range(len(digests)), key=digests.__getitem__)
    return Dataset(
        dataset.name,
        dataset.version,
        dataset.inputs[order],
        dataset.targets[order],
        dataset.labels,
        dataset.parts[order],
        tuple(dataset.origins[index] for index in order),
        dataset.kind,
    )


def save(dataset: Dataset, folder: Path) -> None:
    """Write ``dataset.npz`` and ``dataset.json`` into ``folder``, each whole or not at all.

    The description comes last, so that a folder without one is not a dataset yet. Raises ``StorageError``.
    """
    buffer = io.BytesIO()
    np.savez(
        buffer,
        inputs=dataset.inputs,
        targets=dataset.targets,
        parts=dataset.parts,
        origins=np.array(dataset.origins, dtype=np.str_),
    )
    description = {
        "format": FORMAT,
        "name": dataset.name,
        "version": dataset.version,
        "kind": dataset.kind,
        "labels": list(dataset.labels),
        "sha256": dataset.sha256,
        "counts": dataset.counts(),
    }
    write_atomic(Path(folder) / ARRAYS_FILE, buffer.getvalue())
    write_atomic(Path(folder) / DESCRIPTION_FILE, (json.dumps(description, indent=2) + "\n").encode())


def load(folder: Path) -> Dataset:
    """Read what ``save`` wrote.

    Raises ``NotFoundError`` when no dataset is there and ``DataError`` when it does not decode or its content
    is not what its hash says.
    """
    described, stored = Path(folder) / DESCRIPTION_FILE, Path(folder) / ARRAYS_FILE
    for path in (described, stored):
        if not path.exists():
            raise NotFoundError(f"no dataset in {folder}: {path.name} is missing", fix="edgeops data list")
    arrays = read_arrays(stored, _ALTERED_FIX)
    try:
        description = json.loads(described.read_bytes())
        dataset = Dataset(
            str(description["name"]),
            int(description["version"]),
            arrays["inputs"],
            arrays["targets"].astype(np.int64, casting="safe"),
            tuple(str(label) for label in description["labels"]),
            arrays["parts"].astype(np.uint8, casting="safe"),
            tuple(str(origin) for origin in arrays["origins"]),
            str(description["kind"]),
        )
        expected = str(description["sha256"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"the dataset in {folder} does not decode: {error!r}", fix=_ALTERED_FIX) from error
    if dataset.sha256 != expected:
        raise DataError(
            f"the dataset in {folder} was altered: its content is {dataset.sha256[:12]}, not {expected[:12]}",
            fix=_ALTERED_FIX,
            expected=expected,
            found=dataset.sha256,
        )
    return dataset


def export_replay(dataset: Dataset, part: str | Part, folder: Path) -> None:
    """Write one part as a device agent replays it: ``inputs.npy``, ``targets.npy`` and ``labels.json``.

    Inputs keep the dataset's dtype and item shape, targets are int64 indices into the list of labels. Raises
    ``DataError`` when the part is empty and ``StorageError``.
    """
    inputs, targets = dataset.part(part)
    if len(inputs) == 0:
        raise DataError(f"the part {part_named(part).label} of {dataset.name}@{dataset.version} is empty")
    for name, array in (("inputs.npy", inputs), ("targets.npy", targets)):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        write_atomic(Path(folder) / name, buffer.getvalue())
    write_atomic(Path(folder) / "labels.json", (json.dumps(list(dataset.labels)) + "\n").encode())
