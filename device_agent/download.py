"""Fetching blobs by their chunks: which to ask for next, and what to do with one that came.

Holds no socket: ``wanted`` says what to subscribe to, ``offer`` takes what arrived. A blob may be had in several
ways (a patch on a blob that a slot holds, the same bytes cut otherwise, the manifest's own cut); they are tried in
this order, and what goes wrong with one leads to the next.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from device_agent.blob_fetch import BadChunk, BlobFetch, Chunk, Lack, fault_of
from device_agent.slots import SlotStore
from edgeops.core.errors import InputError, WireError
from edgeops.core.manifest import BlobRef
from edgeops.core.messages import Transfer
from edgeops.core.patches import CODECS, apply_patch

__all__ = ["IN_FLIGHT", "MAX_BAD_CHUNKS", "BadChunk", "Chunk", "Download", "Lack"]

IN_FLIGHT = 16
MAX_BAD_CHUNKS = 3

_PATCH_FAULTS = (InputError, WireError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError)


class Download:
    """The blobs of one candidate, on their way: each chunk verified before it is stored, each blob as a whole.

    ``in_flight`` bounds how many chunks are asked for at a time, and is the window in which they are written.
    ``notes`` says what went another way than it should have; whoever reads it empties it.
    """

    def __init__(
        self,
        store: SlotStore,
        refs: Iterable[BlobRef],
        transfers: Iterable[Transfer] = (),
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self.notes: list[str] = []
        self.received = 0
        self._store = store
        self._in_flight = in_flight
        self._done: dict[str, Path] = {}
        self._bad: dict[Chunk, int] = {}
        self._fetches: dict[str, BlobFetch] = {}  # by the target's digest: the way that is tried now
        self._whole: list[BlobFetch] = []  # those that are here; the last chunks of each may not be synced
        self._patch: dict[str, Transfer] = {}  # where that way is a patch
        self._ways: dict[str, deque[tuple[BlobRef, Transfer | None]]] = {}
        offered = list(transfers)
        for ref in {ref.hex: ref for ref in refs}.values():
            found = store.find(ref.sha256)
            if found is not None:
                self._done[ref.hex] = found
                continue
            self._ways[ref.hex] = deque(self._plan(ref, offered))
            self._next_way(ref.hex)

    def next_pieces(self) -> list[tuple[Chunk, int]]:
        """The chunks to be fetched now, at most ``in_flight``, in order, each with its length in bytes."""
        return list(islice(self._missing(), self._in_flight))

    def wanted(self) -> set[Chunk]:
        """The chunks to be subscribed to now: at most ``in_flight``."""
        return {chunk for chunk, _ in self.next_pieces()}

    def lacks(self, chunk: Chunk) -> bool:
        """Whether this chunk is missing."""
        return any(fetch.wants(chunk) for fetch in self._fetches.values())

    def lack(self) -> Lack | None:
        """The next blob that a source of whole blobs should serve, or None."""
        return next((lack for fetch in self._fetches.values() if (lack := fetch.lack())), None)

    def complete(self) -> bool:
        """Whether every blob is here."""
        return not self._fetches

    def blobs(self) -> dict[str, Path]:
        """Where the blobs lie, by digest in hexadecimal, each verified; call it when ``complete``."""
        return dict(self._done)

    def names(self) -> set[str]:
        """The blobs in ``incoming`` that are needed still."""
        return set(self._done).union(*(fetch.names() for fetch in self._fetches.values()), self._ways)

    def progress(self) -> tuple[int, int]:
        """(chunks that came, chunks known to be needed), of what was not there before."""
        counts = [fetch.progress() for fetch in self._fetches.values()]
        return sum(came for came, _ in counts), sum(total for _, total in counts)

    def offer(self, chunk: Chunk, data: bytes) -> bool:
        """Take what came for a chunk; True when it was missing and is taken.

        Raises ``BadChunk`` when the same chunk came altered ``MAX_BAD_CHUNKS`` times, or a blob is not what its
        digest says, and there is no other way; ``StorageError`` when the disk is full.
        """
        target = next((name for name, fetch in self._fetches.items() if fetch.wants(chunk)), None)
        if target is None:
            return False
        self.received += len(data)
        fetch = self._fetches[target]
        if not fetch.offer(chunk, data):
            self._bad[chunk] = self._bad.get(chunk, 0) + 1
            if self._bad[chunk] >= MAX_BAD_CHUNKS:
                length = dict(fetch.missing())[chunk]
                fault = (
                    "does not match its digest"
                    if len(data) == length
                    else f"has {len(data)} bytes, not {length}"
                )
                self._next_way(target, f"chunk {chunk[1]} of blob {chunk[0][:12]} {fault}")
            return False
        if fetch.arrived:
            self._arrived(target)
        # The manifest is one that a power cut may take, too.
        if 1 + sum(each.volatile for each in (*self._fetches.values(), *self._whole)) >= self._in_flight:
            self.flush()
        return True

    def flush(self) -> None:
        """Write down what came; raises ``StorageError``."""
        for fetch in (*self._fetches.values(), *self._whole):
            fetch.flush()

    def detour(self, why: str) -> bool:
        """Give the present way of the next blob up for another, where there is one."""
        for target, fetch in self._fetches.items():
            if not fetch.arrived and self._ways[target]:
                self._next_way(target, why)
                return True
        return False

    def _missing(self) -> Iterator[tuple[Chunk, int]]:
        for fetch in self._fetches.values():
            yield from fetch.missing()

    def _plan(self, ref: BlobRef, offered: list[Transfer]) -> Iterator[tuple[BlobRef, Transfer | None]]:
        """The ways to a blob, the best first."""
        mine = [transfer for transfer in offered if transfer.target == ref.sha256]
        begun = self._store.incoming(ref.hex).exists()  # chunks of the whole blob are here: go on with them
        for patch in sorted((t for t in mine if t.base is not None), key=lambda t: t.blob.size):
            fault = "part of the whole blob is here already" if begun else self._fault_of_patch(patch, ref)
            if fault is None:
                yield patch.blob, patch
            elif not begun:
                self.notes.append(f"no patch for blob {ref.hex[:12]}: {fault}; the whole blob is fetched")
        for cut in mine:
            if cut.base is None and (cut.blob.sha256, cut.blob.size) == (ref.sha256, ref.size):
                yield cut.blob, None
        yield ref, None

    def _fault_of_patch(self, patch: Transfer, ref: BlobRef) -> str | None:
        if patch.codec not in CODECS:
            return f"codec {patch.codec!r} is not known"
        if patch.base is None or self._store.find(patch.base) is None:
            return f"no slot holds its base {(patch.base or b'').hex()[:12]}"
        if patch.blob.size >= ref.size:
            return f"it has {patch.blob.size} bytes where the blob has {ref.size}"
        if self._store.free_bytes() < patch.blob.size + ref.size:
            return "the disk has no room for both"
        return fault_of(patch.blob)

    def _next_way(self, target: str, why: str | None = None) -> None:
        """Go on with the next way to a blob; raises ``BadChunk`` with the last fault where none is left."""
        old = self._fetches.pop(target, None)
        patch = self._patch.pop(target, None)
        if old is not None:
            for chunk in [chunk for chunk in self._bad if chunk[0] in old.names()]:
                del self._bad[chunk]  # another cut has other chunks of that index
            if patch is not None:
                old.drop()
        if why is not None and self._ways[target]:
            what = f"the patch for blob {target[:12]} failed" if patch else f"blob {target[:12]}"
            rest = "the whole blob is fetched" if patch else "another cut is fetched"
            self.notes.append(f"{what}: {why}; {rest}")
        while self._ways[target]:
            ref, patch = self._ways[target].popleft()
            try:
                fetch = BlobFetch(self._store, ref)
            except BadChunk as error:
                why = str(error)
                continue
            # First in the order again, so that a blob that was nearly there is ended before the next.
            self._fetches = {target: fetch} | self._fetches if why else self._fetches | {target: fetch}
            if patch is not None:
                self._patch[target] = patch
            if fetch.arrived:
                self._arrived(target)
            return
        raise BadChunk(why or f"there is no way to blob {target[:12]}")

    def _arrived(self, target: str) -> None:
        """No chunk of the present way is missing: the blob is there, or the patch that makes it."""
        fetch = self._fetches[target]
        try:
            path = fetch.finish()
        except BadChunk as error:
            self._next_way(target, str(error))
            return
        patch = self._patch.get(target)
        if patch is not None:
            made = self._made(patch, path, target)
            if isinstance(made, str):
                self._next_way(target, made)
                return
            path = self._store.keep(target, made)
            fetch.drop()
        elif self._fetches.keys() - {target}:
            self._whole.append(fetch)  # the last one goes into its slot at once
        del self._fetches[target]
        self._patch.pop(target, None)
        self._done[target] = path

    def _made(self, transfer: Transfer, patch: Path, target: str) -> bytes | str:
        """What the patch makes, or why it makes nothing; whatever is wrong with it must not end the agent."""
        base = self._store.find(transfer.base or b"")
        if base is None:
            return f"no slot holds its base {(transfer.base or b'').hex()[:12]} any more"
        size = self._ways[target][-1][0].size
        try:
            made = apply_patch(transfer.codec, base.read_bytes(), patch.read_bytes(), size)
        except _PATCH_FAULTS as error:
            return str(error) or type(error).__name__
        if hashlib.sha256(made).hexdigest() != target:
            return "what it makes does not match its digest"
        return made
