"""Reading ``.npz`` archives that anybody may have written."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError

# what zipfile and NumPy raise for bytes that are not what they should be (RuntimeError: "encrypted")
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

_MOST_BYTES = 1 << 30
MAX_EXPANSION = 100  # an archive may expand so many times, beyond a size that harms nobody
HARMLESS_BYTES = 1 << 28
_NPY_MAGIC = b"\x93NUMPY"


def read_arrays(path: Path, fix: str) -> dict[str, NDArray[Any]]:
    """Every array of the archive by name; raises ``DataError`` with ``fix`` for anything else.

    Pickled objects are never loaded, since loading one runs its code; what expands to more than a hundred
    times its size (and 256 MiB), or to more than there is memory, is refused.
    """
    try:
        if not zipfile.is_zipfile(path) and path.is_file() and path.read_bytes()[:6] != _NPY_MAGIC:
            raise DataError(f"{path} cannot be read: it is not an .npz archive", fix=fix, source=str(path))
        _refuse_bomb(path)
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded as archive:
                return {name: _array(archive, name) for name in archive.files}
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read: {reason}", fix=fix, source=str(path)) from error
    raise DataError(f"{path} is a single array, not an .npz archive", fix=fix, source=str(path))


def arrays_in(content: bytes) -> dict[str, NDArray[Any]]:
    """Every array of an ``.npz`` by name; raises ``ValueError`` with one line for anything else.

    For files of many: what is wrong with one is a reason to set it aside. 1 GiB is the most that is unpacked.
    """
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        raise ValueError("unreadable: not an .npz archive, or one that was cut off")
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                raise ValueError("it expands to more than 1 GiB")
        with np.load(file, allow_pickle=False) as loaded:
            return {name: _array(loaded, name) for name in loaded.files}
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"unreadable: {reason}") from error


def _refuse_bomb(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        return
    limit = max(HARMLESS_BYTES, MAX_EXPANSION * path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > limit:
            raise ValueError(f"it expands to more than {limit // 1024**2:,} MiB")


def _array(archive: np.lib.npyio.NpzFile, name: str) -> NDArray[Any]:
    """One array; NumPy's own advice for objects (to allow pickles) is not one to give."""
    try:
        return archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ValueError(f"array {name!r} holds Python objects, not numbers or text") from error
        raise
