"""What the agent keeps on disk for one model: two slots, chunks on their way, and the update state.

::

    <data>/models/<model>/state.cbor         the UpdateState
    <data>/models/<model>/slot-a, slot-b     manifest.cose and the model's blobs, named by digest
    <data>/models/<model>/incoming/<sha256>  verified chunks, one file each, until the blob is whole
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from device_agent.update import UpdateState
from edgeops.core.codec import decode, encode
from edgeops.core.errors import StorageError, WireError
from edgeops.core.manifest import BlobRef
from edgeops.files import read_or_none, write_atomic

MANIFEST = "manifest.cose"


class SlotStore:
    """The A/B slots of one model below ``root``; every method leaves the disk consistent at any instant."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._slots = (root / "slot-a", root / "slot-b")
        self._incoming = root / "incoming"

    def load_state(self) -> UpdateState:
        """The update state; a fresh one where there is none. Raises ``StorageError`` if it is damaged."""
        raw = read_or_none(self._root / "state.cbor")
        for torn in self._root.glob("**/.*.part"):  # left by a power cut
            torn.unlink(missing_ok=True)
        if raw is None:
            return UpdateState()
        try:
            return decode(UpdateState, raw)
        except WireError as error:
            raise StorageError(
                f"{self._root / 'state.cbor'} is damaged: {error.message}",
                fix=f"remove {self._root}: the model is then fetched again",
            ) from error

    def save_state(self, state: UpdateState) -> None:
        """Write the update state atomically."""
        write_atomic(self._root / "state.cbor", encode(state))

    def slot_of(self, manifest: bytes | None) -> Path | None:
        """The slot that holds this manifest digest, or None."""
        for slot in self._slots:
            raw = read_or_none(slot / MANIFEST)
            if raw is not None and hashlib.sha256(raw).digest() == manifest:
                return slot
        return None

    def manifest(self, digest: bytes) -> bytes | None:
        """The envelope of a manifest that a slot holds or that was downloaded, or None."""
        slot = self.slot_of(digest)
        return (slot / MANIFEST).read_bytes() if slot else self.chunk(digest.hex(), 0, digest)

    def chunk(self, blob: str, index: int, digest: bytes) -> bytes | None:
        """A chunk that was downloaded before and is intact, or None."""
        raw = read_or_none(self._incoming / blob / str(index))
        return raw if raw is not None and hashlib.sha256(raw).digest() == digest else None

    def store_chunk(self, blob: str, index: int, data: bytes) -> None:
        """Keep a verified chunk."""
        write_atomic(self._incoming / blob / str(index), data)

    def blob(self, ref: BlobRef) -> bytes | None:
        """A blob that a slot holds whole and intact, or None."""
        for slot in self._slots:
            raw = read_or_none(slot / ref.hex)
            if raw is not None and hashlib.sha256(raw).digest() == ref.sha256:
                return raw
        return None

    def holds(self, manifest: bytes, blobs: Iterable[str]) -> bool:
        """Whether one slot holds this manifest and all of these blobs, intact."""
        slot = self.slot_of(manifest)
        return slot is not None and all(_is_intact(slot / name) for name in blobs)

    def stage(self, envelope: bytes, blobs: dict[str, bytes], keep: bytes | None) -> Path:
        """Write a model into the slot that does not hold ``keep``; the manifest last: a torn one is empty."""
        slot = self._slots[1] if self.slot_of(keep) == self._slots[0] else self._slots[0]
        try:
            (slot / MANIFEST).unlink(missing_ok=True)
            for stale in slot.glob("*"):
                if stale.name not in blobs:
                    stale.unlink()
        except OSError as error:
            raise StorageError(f"cannot clear {slot}: {error.strerror}", path=str(slot)) from error
        for name, data in blobs.items():
            write_atomic(slot / name, data)
        write_atomic(slot / MANIFEST, envelope)
        return slot

    def drop_incoming(self) -> None:
        """Forget all downloaded chunks."""
        shutil.rmtree(self._incoming, ignore_errors=True)

    def drop_blob(self, blob: str) -> None:
        """Forget the downloaded chunks of one blob."""
        shutil.rmtree(self._incoming / blob, ignore_errors=True)

    def free_bytes(self) -> int:
        """Free bytes of the disk that the slots are on."""
        folder = self._root
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return shutil.disk_usage(folder).free


def _is_intact(path: Path) -> bool:
    raw = read_or_none(path)
    return raw is not None and hashlib.sha256(raw).hexdigest() == path.name
