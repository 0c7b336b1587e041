"""The one adapter round the file system: whole files or nothing. Used by the control side and by agents."""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeops.core.errors import StorageError, UsageError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_TOKEN = secrets.token_hex(4)
_writes = itertools.count()


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a power cut leaves the old one or the new one: write, fsync, rename.

    Raises ``StorageError`` when the disk is full or not writable; the old file is then untouched.
    """
    try:
        replace_file(path, data, mode, sync=True)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}",
            fix="free disk space or mend the folder's permissions, then try again",
            path=str(path),
        ) from error


def replace_file(path: Path, data: bytes, mode: int = 0o644, *, sync: bool) -> None:
    """As ``write_atomic``, but raises ``OSError``; without ``sync`` a power cut may leave it torn or old.

    A process that is killed leaves the old one or the new one in either case.
    """
    # Nobody else takes this name: not another process (forked, or in another container), thread, or call.
    temporary = path.parent / f".{path.name}.{os.getpid()}-{_TOKEN}-{next(_writes)}.part"
    try:
        try:
            handle = os.open(temporary, _NEW, mode)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, _NEW, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fchmod(handle, mode)  # whatever the umask is
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


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
