"""What the agent keeps on disk for one model: two slots, and blobs on their way.

::

    <data>/models/<model>/slot-a, slot-b          manifest.cose and the model's blobs, named by digest
    <data>/models/<model>/incoming/<sha256>/data  a blob on its way (``device_agent.chunk_file``)
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from device_agent.chunk_file import sync_file, sync_folder
from edgeops.core.errors import StorageError
from edgeops.core.manifest import BlobRef
from edgeops.files import read_or_none, replace_file

MANIFEST = "manifest.cose"


class SlotStore:
    """The A/B slots of one model below ``root``; every method leaves the disk consistent at any instant."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._slots = (root / "slot-a", root / "slot-b")
        self._incoming = root / "incoming"

    def sweep(self) -> None:
        """Remove what a power cut left half written."""
        for torn in self._root.glob("**/.*.part"):
            torn.unlink(missing_ok=True)

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
        if slot is not None:
            return (slot / MANIFEST).read_bytes()
        raw = read_or_none(self.incoming(digest.hex()))
        return raw if raw is not None and hashlib.sha256(raw).digest() == digest else None

    def incoming(self, blob: str) -> Path:
        """Where a blob lies while it is fetched."""
        return self._incoming / blob / "data"

    def keep(self, blob: str, data: bytes) -> Path:
        """Keep a whole blob that came, or was made, at once; raises ``StorageError``.

        A killed process loses nothing; a power cut may take it or tear it, which its digest tells.
        """
        path = self.incoming(blob)
        try:
            replace_file(path, data, sync=False)
        except OSError as error:
            raise _not_written(path, error) from error
        return path

    def find(self, sha256: bytes) -> Path | None:
        """Where a slot holds a blob, whole and intact, or None."""
        paths = (slot / sha256.hex() for slot in self._slots)
        return next((path for path in paths if is_intact(path, sha256)), None)

    def blob(self, ref: BlobRef) -> bytes | None:
        """A blob that a slot holds whole and intact, or None."""
        path = self.find(ref.sha256)
        return path.read_bytes() if path is not None else None

    def holds(self, manifest: bytes, blobs: Iterable[str]) -> bool:
        """Whether one slot holds this manifest and all of these blobs, intact."""
        slot = self.slot_of(manifest)
        return slot is not None and all(is_intact(slot / name, bytes.fromhex(name)) for name in blobs)

    def stage(self, envelope: bytes, blobs: Mapping[str, Path | bytes], keep: bytes | None) -> Path:
        """Write a model into the slot that does not hold ``keep``; the manifest last: a torn one is empty.

        A blob that was fetched moves into the slot; one that the other slot holds is copied, so that damage to one
        copy leaves the other. When this returns, all of it survives a power cut; before, a slot that is torn is known
        by its digests. Raises ``StorageError``.
        """
        slot = self._slots[1] if self.slot_of(keep) == self._slots[0] else self._slots[0]
        try:
            if (slot / MANIFEST).exists():
                (slot / MANIFEST).unlink()
                sync_folder(slot)
            for stale in slot.glob("*"):
                if stale.name not in blobs:
                    stale.unlink()
            created = not slot.exists()
            slot.mkdir(parents=True, exist_ok=True)
            for name, source in blobs.items():
                if isinstance(source, bytes):
                    replace_file(slot / name, source, sync=True)
                elif source.is_relative_to(self._incoming):
                    sync_file(source)
                    os.replace(source, slot / name)
                elif not is_intact(slot / name, bytes.fromhex(name)):
                    replace_file(slot / name, source.read_bytes(), sync=True)
            replace_file(slot / MANIFEST, envelope, sync=True)
            sync_folder(slot)
            if created:
                sync_folder(self._root)
        except OSError as error:
            raise _not_written(slot, error) from error
        return slot

    def drop_incoming(self, keep: Collection[str] = ()) -> None:
        """Forget what was fetched, but for the blobs in ``keep``."""
        for folder in self._incoming.glob("*"):
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)

    def drop_blob(self, blob: str) -> None:
        """Forget what was fetched of one blob."""
        shutil.rmtree(self._incoming / blob, ignore_errors=True)

    def free_bytes(self) -> int:
        """Free bytes of the disk that the slots are on."""
        folder = self._root
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def needed_bytes(self, refs: Iterable[BlobRef]) -> int:
        """What staging these blobs takes of the disk beyond what it took already.

        Each lies there once, since it moves into its slot, and has its chunk list beside it until then.
        """
        needed = 0
        for ref in {ref.sha256: ref for ref in refs}.values():
            taken = self.incoming(ref.hex)
            room = taken.stat().st_size if taken.exists() else 0
            needed += max(0, ref.size - room) + (32 * ref.chunks if ref.chunk_list is not None else 0)
        return needed


def is_intact(path: Path, sha256: bytes) -> bool:
    """Whether a file is there and has this digest; it is read in pieces."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest() == sha256
    except FileNotFoundError:
        return False


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path}: {error.strerror or error}",
        fix="free disk space or mend the folder's permissions, then try again",
        path=str(path),
    )
