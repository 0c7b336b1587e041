"""A dataset version on disk: one file of values that is memory-mapped, an index, a description.

::

    values.npy     (N, *shape), or for recordings (samples of all, *tail), one item after the other
    index.npz      targets, parts, digests, origins, lengths, groups, slices, files
    dataset.json   name, version, schema, content hash, and the digest of both other files

The folder is written under another name and renamed, so that there is a whole dataset or none. What a process
that was killed left behind is removed by the next one that writes beside it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError, NotFoundError, StorageError
from edgeops.data.archives import read_arrays
from edgeops.data.index import Index, pack_text, unpack_text
from edgeops.data.items import Inputs, item_digests
from edgeops.data.recordings import Recordings

FORMAT = "edgeops-dataset-2"
VALUES_FILE = "values.npy"
INDEX_FILE = "index.npz"
DESCRIPTION_FILE = "dataset.json"
ARRAYS_FILE = "dataset.npz"  # values and index of the first format, edgeops-dataset-1
_OURS = {VALUES_FILE, INDEX_FILE, DESCRIPTION_FILE, ARRAYS_FILE}
_ALTERED_FIX = "restore it from a copy, or add the source again with edgeops data add"
# what a description and arrays raise that are not what was written
_DAMAGED = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    struct.error,
    UnicodeError,
)
_PREFIX, _PART, _OLD = ".dataset-", ".part", ".old"


def write_version(index: Index, values: Iterable[NDArray[Any]], folder: Path) -> None:
    """Write a version into ``folder``, whole or not at all; what was a dataset there is replaced.

    ``values`` are the items in the order of the index; one is held at a time. Raises ``StorageError`` when the
    disk is full or not writable or the folder holds anything else, ``DataError`` for values that the index
    does not describe.
    """
    folder = Path(folder)
    temporary, mine = None, -1
    try:
        _refuse_other_content(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _held(folder.parent):
            _remove_leftovers(folder.parent)
            temporary = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_PART, dir=folder.parent))
            mine = os.open(temporary, os.O_RDONLY)
            fcntl.flock(mine, fcntl.LOCK_EX)
        with (temporary / VALUES_FILE).open("wb") as file:
            _write_values(index, values, file)
            _settle(file)
        with (temporary / INDEX_FILE).open("wb") as file:
            np.savez(file, allow_pickle=False, **_arrays_of(index))
            _settle(file)
        description = _description(index) | {
            "files": {name: file_digest(temporary / name) for name in (VALUES_FILE, INDEX_FILE)}
        }
        with (temporary / DESCRIPTION_FILE).open("wb") as file:
            file.write((json.dumps(description, indent=2) + "\n").encode())
            _settle(file)
        temporary.chmod(0o755)
        with _held(folder.parent) as parent:
            _put_in_place(temporary, folder)
            os.fsync(parent)
    except OSError as error:
        raise StorageError(
            f"cannot write {folder}: {error.strerror or error}",
            fix="free disk space or mend the folder's permissions, then try again",
            path=str(folder),
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if mine >= 0:
            os.close(mine)


def read_version(folder: Path) -> tuple[Index, Inputs | Recordings]:
    """Memory-map what ``write_version`` wrote; files are read once, block by block, to check their digests.

    Raises ``NotFoundError`` when no dataset is there and ``DataError`` when it does not decode or its content
    is not what its hash says.
    """
    folder = Path(folder)
    description = _read_description(folder)
    first = description.get("format") != FORMAT
    for name in (ARRAYS_FILE,) if first else (VALUES_FILE, INDEX_FILE):
        if not (folder / name).exists():
            raise NotFoundError(f"no dataset in {folder}: {name} is missing", fix="edgeops data list")
    try:
        index, values = (_first_format if first else _mapped)(folder, description)
        expected = str(description["sha256"])
        found = index.sha256
    except _DAMAGED as error:
        raise DataError(f"the dataset in {folder} does not decode: {error!r}", fix=_ALTERED_FIX) from error
    if found != expected:
        raise _altered(folder, expected, found)
    return index, values


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file, read a block at a time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_other_content(folder: Path) -> None:
    """A folder is replaced only when nothing but a dataset is in it."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file is in its place")
    if folder.is_dir() and (others := sorted({path.name for path in folder.iterdir()} - _OURS)):
        raise StorageError(
            f"cannot write {folder}: it holds {others[0]!r}, which is no part of a dataset",
            fix="give an empty folder",
            path=str(folder),
        )


@contextmanager
def _held(folder: Path) -> Iterator[int]:
    """An open folder in which nothing else begins or ends a version, for as long as the block runs."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _remove_leftovers(parent: Path) -> None:
    """What writers that were killed left in a folder that is ``_held``; those at work hold their own."""
    for old in parent.glob(f"{_PREFIX}*{_OLD}"):
        for version in old.iterdir():  # killed between the two renames: the version that was there comes back
            if not (parent / version.name).exists():
                os.rename(version, parent / version.name)
        shutil.rmtree(old, ignore_errors=True)
    for part in parent.glob(f"{_PREFIX}*{_PART}"):
        handle = os.open(part, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(part, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(handle)


def _put_in_place(temporary: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(temporary, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_OLD, dir=folder.parent))
    try:
        os.rename(folder, old / folder.name)
        try:
            os.rename(temporary, folder)
        except BaseException:
            os.rename(old / folder.name, folder)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _write_values(index: Index, values: Iterable[NDArray[Any]], file: BinaryIO) -> None:
    rows = int(index.lengths.sum()) if index.ragged else len(index)
    tail = index.item_shape[1:] if index.ragged else index.item_shape
    dtype = np.dtype(index.dtype).newbyteorder("<")
    header = {"descr": dtype.str, "fortran_order": False, "shape": (rows, *tail)}
    np.lib.format.write_array_header_2_0(file, header)
    written = 0
    for row, item in enumerate(values):
        wanted = (int(index.lengths[row]), *tail) if index.ragged else tail
        if item.shape != wanted:
            raise DataError(f"item {row} of {index.name} has shape {item.shape}, not {wanted}")
        file.write(np.ascontiguousarray(item, dtype).data)
        written += 1
    if written != len(index):
        raise DataError(f"{written} values were given for the {len(index)} items of {index.name}")


def _arrays_of(index: Index) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        "targets": index.targets,
        "parts": index.parts,
        "lengths": index.lengths,
        "digests": np.frombuffer(b"".join(index.digests), np.uint8).reshape(-1, 32),
    }
    columns = {"origins": index.origins, "groups": index.groups, "files": index.files}
    columns |= {f"slice:{name}": column for name, column in index.slices.items()}
    for name, column in columns.items():
        arrays |= {f"{name}/{key}": array for key, array in pack_text(column).items()}
    return arrays


def _description(index: Index) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": index.name,
        "version": index.version,
        "kind": index.kind,
        "labels": list(index.labels),
        "dtype": index.dtype,
        "item_shape": list(index.item_shape),
        "sample_rate_hz": index.sample_rate_hz,
        "slices": list(index.slices),
        **({"columns": list(index.columns)} if index.columns else {}),
        "sha256": index.sha256,
        "counts": index.counts(),
    }


def _read_description(folder: Path) -> dict[str, Any]:
    try:
        description = json.loads((folder / DESCRIPTION_FILE).read_bytes())
    except FileNotFoundError:
        raise NotFoundError(
            f"no dataset in {folder}: {DESCRIPTION_FILE} is missing", fix="edgeops data list"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"the dataset in {folder} does not decode: {error!r}", fix=_ALTERED_FIX) from error
    if not isinstance(description, dict):
        raise DataError(f"the dataset in {folder} does not decode: no description", fix=_ALTERED_FIX)
    return description


def _mapped(folder: Path, described: dict[str, Any]) -> tuple[Index, Inputs | Recordings]:
    for name in (VALUES_FILE, INDEX_FILE):
        expected, found = str(described["files"][name]), file_digest(folder / name)
        if expected != found:
            raise _altered(folder, expected, found)
    arrays = read_arrays(folder / INDEX_FILE, _ALTERED_FIX)

    def column(name: str) -> tuple[str, ...]:
        return unpack_text(arrays[f"{name}/bytes"], arrays[f"{name}/ends"])

    index = Index(
        name=str(described["name"]),
        version=int(described["version"]),
        kind=str(described["kind"]),
        labels=tuple(str(label) for label in described["labels"]),
        dtype=str(described["dtype"]),
        item_shape=tuple(int(size) for size in described["item_shape"]),
        digests=list(_rows(arrays["digests"])),
        targets=arrays["targets"].astype(np.int64, casting="safe"),
        parts=arrays["parts"].astype(np.uint8, casting="safe"),
        origins=column("origins"),
        lengths=arrays["lengths"].astype(np.int64, casting="safe"),
        groups=column("groups"),
        slices={str(name): column(f"slice:{name}") for name in described["slices"]},
        sample_rate_hz=float(described["sample_rate_hz"]),
        files=column("files"),
        columns=tuple(str(name) for name in described.get("columns", ())),
    )
    values = np.load(folder / VALUES_FILE, mmap_mode="r", allow_pickle=False)
    if index.ragged:
        return index, Recordings(values, np.cumsum(index.lengths) - index.lengths, index.lengths)
    return index, values


def _rows(digests: NDArray[Any]) -> Iterator[bytes]:
    if digests.ndim != 2 or digests.shape[1] != 32:
        raise ValueError(f"digests have shape {digests.shape}")
    whole = digests.astype(np.uint8, casting="safe").tobytes()
    return (whole[start : start + 32] for start in range(0, len(whole), 32))


def _first_format(folder: Path, described: dict[str, Any]) -> tuple[Index, Inputs]:
    """What the first release wrote: everything in one archive, read into memory."""
    arrays = read_arrays(folder / ARRAYS_FILE, _ALTERED_FIX)
    inputs = arrays["inputs"]
    index = Index(
        name=str(described["name"]),
        version=int(described["version"]),
        kind=str(described["kind"]),
        labels=tuple(str(label) for label in described["labels"]),
        dtype=str(inputs.dtype),
        item_shape=tuple(int(size) for size in inputs.shape[1:]),
        digests=item_digests(inputs),
        targets=arrays["targets"].astype(np.int64, casting="safe"),
        parts=arrays["parts"].astype(np.uint8, casting="safe"),
        origins=tuple(str(origin) for origin in arrays["origins"]),
    )
    return index, inputs


def _altered(folder: Path, expected: str, found: str) -> DataError:
    return DataError(
        f"the dataset in {folder} was altered: its content is {found[:12]}, not {expected[:12]}",
        fix=_ALTERED_FIX,
        expected=expected,
        found=found,
    )
