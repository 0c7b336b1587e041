"""Which blobs the desired states need on the broker, and in what chunks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlmodel import Session, select

from edgeops.core.manifest import MAX_CHUNK_BYTES, BlobRef, Manifest
from edgeops.fleet.chunking import fits
from edgeops.fleet.manifests import Manifests, common_parts
from edgeops.fleet.transfers import from_plain
from edgeops.registry.blobs import BlobStore
from edgeops.registry.tables import BlobPublication, DesiredState

Chunked = dict[str, int]
"""The size of the chunks in bytes, by the blob's digest in hexadecimal."""


class Needs:
    """What has to stand on the broker: manifests, their parts in the chunks that were told, and patches."""

    def __init__(self, fleet: str, blobs: BlobStore, packet_bytes: int | None = None) -> None:
        self._fleet = fleet
        self._packet_bytes = packet_bytes
        self._manifests = Manifests(blobs)

    def of_version(self, manifest_sha256: str, transfers: Iterable[Mapping[str, Any]] = ()) -> Chunked:
        """The blobs of a version that a desired state names, with the transfers that stand beside it.

        Every artifact is among them, so that a device of another class finds its own; where the broker takes the
        chunks of some only, those (a device that needs another is told other chunks). Raises ``NotFoundError``,
        ``TrustError`` or ``WireError`` for a manifest that is missing or damaged.
        """
        ways = [from_plain(stored) for stored in transfers]
        cut = {way.target: way.blob for way in ways if way.base is None}
        manifest = self._manifests.get(manifest_sha256)
        needed = {manifest_sha256: MAX_CHUNK_BYTES}
        for ref in (*self._artifacts(manifest, cut), *common_parts(manifest)):
            needed |= _with_list(cut.get(ref.sha256, ref))
        for way in ways:
            if way.base is not None:
                needed |= _with_list(way.blob)
        return needed

    def of_state(self, row: DesiredState) -> Chunked:
        """The blobs that one desired state needs; raises as ``of_version`` does."""
        needed: Chunked = {}
        for wanted in row.models.values():
            if wanted.get("manifest"):
                needed |= self.of_version(wanted["manifest"], wanted.get("transfers", ()))
        return needed

    def of_all(self, session: Session) -> frozenset[str]:
        """The blobs that any desired state needs; raises as ``of_version`` does."""
        found: set[str] = set()
        seen: set[str] = set()
        for models in session.exec(select(DesiredState.models)):
            for wanted in models.values():
                key = repr((wanted.get("manifest"), wanted.get("transfers")))
                if wanted.get("manifest") and key not in seen:
                    found |= self.of_version(wanted["manifest"], wanted.get("transfers", ())).keys()
                    seen.add(key)
        return frozenset(found)

    def _artifacts(self, manifest: Manifest, cut: Mapping[bytes, BlobRef]) -> list[BlobRef]:
        refs = [artifact.blob for artifact in manifest.artifacts]
        carried = [r for r in refs if r.sha256 in cut or fits(self._fleet, r, self._packet_bytes)]
        return carried or refs


def stands(row: BlobPublication | None, chunk_bytes: int) -> bool:
    """Whether a blob is on the broker, in chunks of this size."""
    return row is not None and row.published_at > 0 and row.chunk_bytes == chunk_bytes


def being_cleared(row: BlobPublication) -> bool:
    """Whether the blob's grace period is over and its chunks are being taken off the broker."""
    return row.published_at == 0 and row.unneeded_since is not None


def _with_list(ref: BlobRef) -> Chunked:
    listing = {ref.chunk_list.hex(): MAX_CHUNK_BYTES} if ref.chunk_list is not None else {}
    return {ref.hex: ref.chunk_bytes, **listing}
