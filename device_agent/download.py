"""Fetching blobs by their chunks: which topics to ask for next, and what to do with a chunk that came.

Holds no socket: ``wanted`` says what to subscribe to, ``offer`` takes what arrived. Chunks are verified
before they are stored, so that an interrupted download resumes where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from device_agent.slots import SlotStore
from edgeops.core.manifest import BlobRef

IN_FLIGHT = 8
MAX_BAD_CHUNKS = 3

Chunk = tuple[str, int]  # blob digest in hexadecimal, index


class BadChunk(Exception):
    """A chunk came altered again and again."""


class Download:
    """The blobs of one candidate, on their way."""

    def __init__(self, store: SlotStore, refs: Iterable[BlobRef]) -> None:
        self._store = store
        self._refs = {ref.hex: ref for ref in refs}
        self._expected: dict[str, list[bytes]] = {}  # digests of the chunks, per blob
        self._missing: dict[Chunk, bytes] = {}
        self._done: dict[str, bytes] = {}
        self._bad: dict[Chunk, int] = {}
        self.received = 0
        for ref in self._refs.values():
            self._plan(ref)

    def wanted(self) -> set[Chunk]:
        """The chunks to be subscribed to now: at most ``IN_FLIGHT``."""
        return set(list(self._missing)[:IN_FLIGHT])

    def complete(self) -> bool:
        """Whether every blob is here."""
        return len(self._done) == len(self._refs)

    def blobs(self) -> dict[str, bytes]:
        """The blobs by digest in hexadecimal; call it when ``complete``."""
        return dict(self._done)

    def progress(self) -> tuple[int, int]:
        """(chunks stored, chunks known to be needed)."""
        total = sum(len(chunks) for chunks in self._expected.values())
        return total - len(self._missing), total

    def offer(self, chunk: Chunk, data: bytes) -> bool:
        """Take what came for a chunk; True when it was wanted and is stored.

        Raises ``BadChunk`` when the same chunk came altered ``MAX_BAD_CHUNKS`` times.
        """
        expected = self._missing.get(chunk)
        if expected is None:
            return False
        self.received += len(data)
        if hashlib.sha256(data).digest() != expected:
            self._bad[chunk] = self._bad.get(chunk, 0) + 1
            if self._bad[chunk] >= MAX_BAD_CHUNKS:
                raise BadChunk(f"chunk {chunk[1]} of blob {chunk[0][:12]} does not match its digest")
            return False
        self._store.store_chunk(*chunk, data)
        del self._missing[chunk]
        self._advance(chunk[0])
        return True

    def _plan(self, ref: BlobRef) -> None:
        whole = self._store.blob(ref)
        if whole is not None:
            self._done[ref.hex] = whole
        elif ref.chunks <= 1:
            self._expect(ref, [ref.sha256] * ref.chunks)
        elif ref.chunk_list is not None:
            listing = self._store.chunk(ref.chunk_list.hex(), 0, ref.chunk_list)
            if listing is None:
                self._missing[(ref.chunk_list.hex(), 0)] = ref.chunk_list
            else:
                self._expect(ref, _split(listing))

    def _expect(self, ref: BlobRef, digests: list[bytes]) -> None:
        if len(digests) != ref.chunks:
            raise BadChunk(
                f"the chunk list of blob {ref.hex[:12]} has {len(digests)} entries, not {ref.chunks}"
            )
        self._expected[ref.hex] = digests
        for index, digest in enumerate(digests):
            if self._store.chunk(ref.hex, index, digest) is None:
                self._missing[(ref.hex, index)] = digest
        self._advance(ref.hex)

    def _advance(self, blob: str) -> None:
        """A chunk of ``blob`` is stored: it may complete the blob, or be the chunk list of another."""
        for ref in self._refs.values():
            if ref.chunk_list is not None and ref.chunk_list.hex() == blob and ref.hex not in self._expected:
                self._plan(ref)
        digests = self._expected.get(blob)
        if digests is None or blob in self._done or any(key[0] == blob for key in self._missing):
            return
        parts = [self._store.chunk(blob, index, digest) for index, digest in enumerate(digests)]
        data = b"".join(part for part in parts if part is not None)
        if hashlib.sha256(data).digest() != self._refs[blob].sha256:
            self._store.drop_blob(blob)
            raise BadChunk(f"blob {blob[:12]} does not match its digest though its chunks do")
        self._done[blob] = data


def _split(listing: bytes) -> list[bytes]:
    return [listing[start : start + 32] for start in range(0, len(listing), 32)]
