"""Manifests as the publishing side reads them: their parts, and which artifact a device takes."""

from __future__ import annotations

from edgeops.core.codec import decode
from edgeops.core.errors import NotFoundError, TrustError, WireError
from edgeops.core.manifest import Artifact, BlobRef, Manifest
from edgeops.core.signing import unverified_payload
from edgeops.registry.artifacts import choose
from edgeops.registry.blobs import BlobStore
from edgeops.registry.tables import Device


class Manifests:
    """Manifests by their digest in hexadecimal; blobs never change, so what was read is kept."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._read: dict[str, tuple[Manifest, int]] = {}

    def get(self, digest: str) -> Manifest:
        """The manifest; raises ``NotFoundError``, ``TrustError`` or ``WireError`` for what is missing or damaged."""
        return self._entry(digest)[0]

    def find(self, digest: str) -> Manifest | None:
        """The manifest; None where it is missing or damaged."""
        try:
            return self.get(digest)
        except (NotFoundError, TrustError, WireError):
            return None

    def envelope_bytes(self, digest: str) -> int:
        """How long the signed envelope is; raises as ``get`` does."""
        return self._entry(digest)[1]

    def _entry(self, digest: str) -> tuple[Manifest, int]:
        if digest not in self._read:
            envelope = self._blobs.get(digest)
            self._read[digest] = decode(Manifest, unverified_payload(envelope)), len(envelope)
        return self._read[digest]


def artifact_of(manifest: Manifest, device: Device | None) -> Artifact | None:
    """The artifact that a device would take, None where none suits it.

    Of a device that was not heard of yet only the usual runtime is assumed.
    """
    return choose(manifest.artifacts, device)


def common_parts(manifest: Manifest) -> tuple[BlobRef, BlobRef]:
    """What every device fetches beside its artifact: the observation plan and the self-test."""
    return manifest.observe, manifest.vectors
