"""A blob under way: one file of its final size, and behind it the bitmap of the chunks that are stored.

::

    data      the blob's bytes, room taken beforehand
    trailer   chunk size (4 bytes, big endian) and a bit a chunk, lowest bit first; cut off when all are stored

Chunks are verified, gathered in memory, and written a window at a time with one fsync: being one file, data and
bitmap need one. What a crash leaves is safe whatever reached the disk, since a chunk that the bitmap claims is
verified by its digest before it is trusted.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from edgeops.core.errors import StorageError

_CHUNK_SIZE_BYTES = 4
_NO_PREALLOCATION = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class ChunkFile:
    """The chunks of one blob of ``size`` bytes at ``path``; ``digests`` are SHA-256, one a chunk.

    ``missing`` maps the index of each chunk that has not come to its digest.
    """

    def __init__(self, path: Path, size: int, chunk_bytes: int, digests: Sequence[bytes]) -> None:
        self._path = path
        self._size = size
        self._chunk_bytes = chunk_bytes
        self._total = len(digests)
        self._trailer_bytes = _CHUNK_SIZE_BYTES + -(-self._total // 8)
        self._buffer: dict[int, bytes] = {}
        self._unsynced = 0
        self._unnamed = False  # a power cut may take its name away
        self.missing = dict(enumerate(digests))
        self._recover()

    @property
    def volatile(self) -> int:
        """How many chunks came that a power cut would take away."""
        return len(self._buffer) + self._unsynced

    @property
    def dirty(self) -> bool:
        """Whether there is something to ``flush``: an empty blob has a file too."""
        return bool(self.volatile) or (self._total == 0 and not self._path.exists())

    @property
    def stored(self) -> int:
        """How many chunks came, buffered ones too."""
        return self._total - len(self.missing)

    def length(self, index: int) -> int:
        """How long a chunk must be: the last may be shorter."""
        return min(self._chunk_bytes, self._size - index * self._chunk_bytes)

    def offer(self, index: int, data: bytes) -> bool:
        """Take a chunk that is missing; False when it is not the one that the digest names.

        Another length is refused without being hashed.
        """
        if len(data) != self.length(index) or hashlib.sha256(data).digest() != self.missing[index]:
            return False
        self._buffer[index] = data
        del self.missing[index]
        return True

    def flush(self, *, sync: bool = True) -> None:
        """Write what is buffered, and the bitmap, with one fsync; raises ``StorageError``, e.g. for a full disk.

        Without ``sync`` a killed process loses nothing, and a power cut what is ``volatile``.
        """
        if not sync and not self._buffer and self._path.exists():
            return
        try:
            created = not self._path.exists()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._write(handle)
                if sync:
                    os.fsync(handle)
            finally:
                os.close(handle)
            self._unnamed = self._unnamed or created
            if sync and self._unnamed:
                self._unnamed = False
                sync_folder(self._path.parent)
                sync_folder(self._path.parent.parent)
        except OSError as error:
            raise StorageError(
                f"cannot store a blob: {error.strerror or error} ({self._path})",
                fix="free disk space or mend the folder's permissions, then try again",
                path=str(self._path),
            ) from error
        self._unsynced = 0 if sync else self.volatile
        self._buffer.clear()

    def _write(self, handle: int) -> None:
        whole = not self.missing
        if os.fstat(handle).st_size != self._size + self._trailer_bytes and not (whole and self._total == 1):
            _take_room(handle, self._size + self._trailer_bytes)
        for index, data in sorted(self._buffer.items()):
            _write_all(handle, data, index * self._chunk_bytes)
        if whole:
            os.ftruncate(handle, self._size)
        else:
            bits = bytearray(self._trailer_bytes - _CHUNK_SIZE_BYTES)
            for index in range(self._total):
                if index not in self.missing:
                    bits[index // 8] |= 1 << index % 8
            head = self._chunk_bytes.to_bytes(_CHUNK_SIZE_BYTES, "big")
            _write_all(handle, head + bytes(bits), self._size)

    def _recover(self) -> None:
        """Trust what is on disk as far as digests say so."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(
                f"cannot read a blob: {error.strerror} ({self._path})", path=str(self._path)
            ) from error
        try:
            for index in self._claimed(handle):
                data = os.pread(handle, self.length(index), index * self._chunk_bytes)
                if hashlib.sha256(data).digest() == self.missing[index]:
                    del self.missing[index]
        finally:
            os.close(handle)

    def _claimed(self, handle: int) -> list[int]:
        """The chunks that may be stored; all of them where the bitmap is of another cut, or gone."""
        trailer = os.pread(handle, self._trailer_bytes, self._size)
        head, bits = trailer[:_CHUNK_SIZE_BYTES], trailer[_CHUNK_SIZE_BYTES:]
        if len(trailer) != self._trailer_bytes or int.from_bytes(head, "big") != self._chunk_bytes:
            return list(range(self._total))
        return [index for index in range(self._total) if bits[index // 8] >> index % 8 & 1]


def sync_file(path: Path) -> None:
    """Make a file's bytes survive a power cut; raises ``OSError``."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut; raises ``OSError``."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_room(handle: int, size: int) -> None:
    """Take the disk's room now: a disk that is too full says so before the first chunk, not at the last."""
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in _NO_PREALLOCATION:  # some file systems cannot
            raise
    os.ftruncate(handle, size)


def _write_all(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
