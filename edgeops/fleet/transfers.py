"""The ways to a version that a device is offered beside the manifest's own: smaller chunks, and patches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlmodel import Session

from edgeops.core import topics
from edgeops.core.errors import NotFoundError, TrustError, WireError
from edgeops.core.manifest import BlobRef, blob_ref
from edgeops.core.messages import Transfer
from edgeops.core.topics import Kind
from edgeops.fleet.chunking import check_payload, cut, fits
from edgeops.fleet.manifests import Manifests, artifact_of, common_parts
from edgeops.fleet.patches import patch_between, patch_ref
from edgeops.registry.blobs import BlobStore
from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import BlobPublication, Device, DeviceModel


class Ways:
    """How devices get to blobs on a broker that takes packets of at most ``packet_bytes`` (None: of any length)."""

    def __init__(
        self,
        fleet: str,
        blobs: BlobStore,
        packet_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fleet = fleet
        self._blobs = blobs
        self._packet_bytes = packet_bytes
        self._clock = clock
        self._manifests = Manifests(blobs)

    def transfers(
        self, session: Session, device_id: str, model: str, manifest_sha256: str
    ) -> tuple[Transfer, ...]:
        """What stands in the device's desired state for this version: ``chunks``, and a patch where one is worth it.

        Raises ``NotFoundError`` when a blob is missing, ``DoesNotFit`` when the broker cannot carry the version.
        """
        found = self.chunks(session, device_id, manifest_sha256)
        artifact = artifact_of(self._manifests.get(manifest_sha256), session.get(Device, device_id))
        patch = self._patch(session, device_id, model, manifest_sha256, artifact.blob) if artifact else None
        return found if patch is None else (*found, patch)

    def chunks(self, session: Session, device_id: str, manifest_sha256: str) -> tuple[Transfer, ...]:
        """The parts of a version that are published in other chunks than its manifest says; raises as above."""
        manifest = self._manifests.get(manifest_sha256)
        topic = topics.chunk(self._fleet, manifest_sha256, 0)
        size = self._manifests.envelope_bytes(manifest_sha256)
        check_payload(topic, size, self._packet_bytes, f"the manifest of {manifest.model}@{manifest.version}")
        artifact = artifact_of(manifest, session.get(Device, device_id))
        parts = (*([artifact.blob] if artifact else []), *common_parts(manifest))
        cuts = {ref: self._in_chunks(session, ref) for ref in parts}
        return tuple(Transfer(ref.sha256, other) for ref, other in cuts.items() if other != ref)

    def check_document(self, device_id: str, document: bytes) -> None:
        """Raise ``DoesNotFit`` for a desired state that the broker would not take."""
        topic = topics.device(self._fleet, device_id, Kind.DESIRED)
        check_payload(topic, len(document), self._packet_bytes, f"the desired state of {device_id}")

    def _in_chunks(self, session: Session, ref: BlobRef) -> BlobRef:
        """The blob in the chunks that it is published in, or in such as the broker takes.

        A blob has one size of chunks at a time: their topics do not tell one size from another.
        """
        standing = session.get(BlobPublication, ref.hex)
        chunk_bytes = standing.chunk_bytes if standing is not None else ref.chunk_bytes
        if chunk_bytes == ref.chunk_bytes and fits(self._fleet, ref, self._packet_bytes):
            return ref
        blob = self._blobs.get(ref.hex)
        again, listing = blob_ref(blob, chunk_bytes)
        if not fits(self._fleet, again, self._packet_bytes) and self._packet_bytes is not None:
            again, listing = cut(self._fleet, ref, blob, self._packet_bytes)
        if listing is not None:
            self._blobs.put(listing)
        return again

    def _patch(
        self, session: Session, device_id: str, model: str, manifest_sha256: str, target: BlobRef
    ) -> Transfer | None:
        """A patch from what the device runs; none for a version that one of its slots holds already."""
        has = session.get(DeviceModel, (device_id, model))
        if has is None or has.artifact is None or manifest_sha256 in (has.confirmed, has.previous):
            return None
        if not self._is_released(session, has.confirmed, has.artifact):
            return None
        row = patch_between(session, self._blobs, has.artifact, target.hex, self._clock())
        if row is None or row.sha256 is None:
            return None
        ref = self._in_chunks(session, patch_ref(self._blobs, row, target.chunk_bytes))
        return Transfer(target.sha256, ref, bytes.fromhex(has.artifact), row.codec)

    def _is_released(self, session: Session, manifest_sha256: str | None, artifact: str) -> bool:
        """Whether the blob is an artifact of a version that is public already.

        A device says what it runs: naming another blob of the store, such as a model's float weights, must not get it
        a patch that tells what is in it.
        """
        if manifest_sha256 is None or model_of_manifest(session, manifest_sha256) is None:
            return False
        try:
            manifest = self._manifests.get(manifest_sha256)
        except (NotFoundError, TrustError, WireError):
            return False
        return any(candidate.blob.hex == artifact for candidate in manifest.artifacts)


def as_plain(transfer: Transfer) -> dict[str, Any]:
    """A transfer as it is kept with the desired state."""
    blob = transfer.blob
    return {
        "target": transfer.target.hex(),
        "base": transfer.base.hex() if transfer.base else None,
        "codec": transfer.codec,
        "sha256": blob.hex,
        "size": blob.size,
        "chunk_bytes": blob.chunk_bytes,
        "chunk_list": blob.chunk_list.hex() if blob.chunk_list else None,
    }


def from_plain(stored: Mapping[str, Any]) -> Transfer:
    """The inverse of ``as_plain``."""
    listing, base = stored["chunk_list"], stored["base"]
    blob = BlobRef(
        bytes.fromhex(stored["sha256"]),
        stored["size"],
        stored["chunk_bytes"],
        bytes.fromhex(listing) if listing else None,
    )
    return Transfer(
        bytes.fromhex(stored["target"]), blob, bytes.fromhex(base) if base else None, stored["codec"]
    )
