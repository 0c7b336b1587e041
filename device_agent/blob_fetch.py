"""One blob by its chunks: first the list of their digests where there is more than one, then the chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from device_agent.chunk_file import ChunkFile
from device_agent.slots import SlotStore, is_intact
from edgeops.core.manifest import MAX_BLOB_BYTES, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, BlobRef

Chunk = tuple[str, int]  # blob digest in hexadecimal, index

DIGEST_BYTES = 32


class BadChunk(Exception):
    """A blob cannot be made of what comes: chunks altered again and again, or a list that does not fit."""


@dataclass(frozen=True, slots=True)
class Lack:
    """What is missing of one blob, for a source that serves whole blobs: all from chunk ``first`` on."""

    blob: str
    size: int
    chunk_bytes: int
    first: int


def fault_of(ref: BlobRef) -> str | None:
    """Why a reference is not usable, or None: sizes out of bounds, or no list of its chunks."""
    if not MIN_CHUNK_BYTES <= ref.chunk_bytes <= MAX_CHUNK_BYTES or ref.size > MAX_BLOB_BYTES:
        return f"blob {ref.hex[:12]}: {ref.size} bytes in chunks of {ref.chunk_bytes} are not allowed"
    if ref.chunks > 1 and ref.chunk_list is None:
        return f"blob {ref.hex[:12]} comes without its chunk list"
    if ref.chunks * DIGEST_BYTES > MAX_CHUNK_BYTES:
        return f"blob {ref.hex[:12]} has {ref.chunks} chunks, {MAX_CHUNK_BYTES // DIGEST_BYTES} are allowed"
    return None


class BlobFetch:
    """The chunks of one blob, kept in ``store``; raises ``BadChunk`` for a reference that is not usable."""

    def __init__(self, store: SlotStore, ref: BlobRef) -> None:
        fault = fault_of(ref)
        if fault is not None:
            raise BadChunk(fault)
        self.ref = ref
        self.path = store.incoming(ref.hex)
        self._store = store
        self._list: ChunkFile | None = None
        self._file: ChunkFile | None = None
        if ref.chunks <= 1 or ref.chunk_list is None:
            self._open([ref.sha256] * ref.chunks)
            return
        size = DIGEST_BYTES * ref.chunks
        path = store.incoming(ref.chunk_list.hex())
        self._list = ChunkFile(path, size, size, [ref.chunk_list])
        if not self._list.missing:
            self._open(_split(path.read_bytes()[:size]))

    @property
    def volatile(self) -> int:
        """How many chunks came that a power cut would take away."""
        return sum(file.volatile for file in (self._list, self._file) if file is not None)

    @property
    def arrived(self) -> bool:
        """Whether no chunk is missing."""
        return self._file is not None and not self._file.missing

    def names(self) -> set[str]:
        """The blobs that this one needs while it is fetched."""
        return {self.ref.hex} | ({self.ref.chunk_list.hex()} if self.ref.chunk_list is not None else set())

    def progress(self) -> tuple[int, int]:
        """(chunks that came, chunks of the blob)."""
        return (self._file.stored if self._file is not None else 0), self.ref.chunks

    def missing(self) -> Iterator[tuple[Chunk, int]]:
        """What has to come, in order, each with its length in bytes."""
        name, file = self._under_way()
        for index in file.missing:
            yield (name, index), file.length(index)

    def lack(self) -> Lack | None:
        """The next that a source of whole blobs should serve, or None."""
        name, file = self._under_way()
        first = next(iter(file.missing), None)
        if first is None:
            return None
        if file is self._list:
            return Lack(name, DIGEST_BYTES * self.ref.chunks, DIGEST_BYTES * self.ref.chunks, 0)
        return Lack(name, self.ref.size, self.ref.chunk_bytes, first)

    def wants(self, chunk: Chunk) -> bool:
        """Whether this chunk is missing."""
        name, file = self._under_way()
        return chunk[0] == name and chunk[1] in file.missing

    def offer(self, chunk: Chunk, data: bytes) -> bool:
        """Take a chunk that it ``wants``; False for an altered one."""
        _, file = self._under_way()
        if not file.offer(chunk[1], data):
            return False
        if file is self._list:
            self._open(_split(data))
        return True

    def flush(self, *, sync: bool = True) -> None:
        """Write what came; raises ``StorageError``. Without ``sync`` it may still be ``volatile``, as the list always
        is: it is one chunk, and has no fsync of its own.
        """
        if self._list is not None and self._list.dirty:
            self._list.flush(sync=False)
        if self._file is not None and self._file.dirty:
            self._file.flush(sync=sync)

    def finish(self) -> Path:
        """Where the blob lies, verified as a whole; raises ``BadChunk`` when its chunks do not make it.

        Its last window is synced by whoever moves it into its slot.
        """
        self.flush(sync=False)
        if not is_intact(self.path, self.ref.sha256):
            self.drop()
            raise BadChunk(f"blob {self.ref.hex[:12]} does not match its digest though its chunks do")
        return self.path

    def drop(self) -> None:
        """Forget what came."""
        for name in self.names():
            self._store.drop_blob(name)

    def _open(self, digests: list[bytes]) -> None:
        self._file = ChunkFile(self.path, self.ref.size, self.ref.chunk_bytes, digests)

    def _under_way(self) -> tuple[str, ChunkFile]:
        if self._file is not None:
            return self.ref.hex, self._file
        assert self._list is not None and self.ref.chunk_list is not None  # else _open was called
        return self.ref.chunk_list.hex(), self._list


def _split(listing: bytes) -> list[bytes]:
    return [listing[start : start + DIGEST_BYTES] for start in range(0, len(listing), DIGEST_BYTES)]
