"""The one adapter round the file system: whole files or nothing. Used by the control side and by agents."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeops.core.errors import StorageError, UsageError


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a power cut leaves the old one or the new one: write, fsync, rename.

    Raises ``StorageError`` when the disk is full or not writable; the old file is then untouched.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}",
            fix="free disk space or mend the folder's permissions, then try again",
            path=str(path),
        ) from error


@contextmanager
def exclusive(path: Path, holder: str) -> Iterator[None]:
    """Hold a lock file for as long as the block runs; raises ``UsageError`` when another process holds it.

    The lock ends with the process that holds it, however that ends.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another {holder} is at work here: it holds {path}",
                fix=f"end the other {holder} first",
                path=str(path),
            ) from error
        yield


def read_or_none(path: Path) -> bytes | None:
    """The bytes of a file, or None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
