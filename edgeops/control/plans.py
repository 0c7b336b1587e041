"""Manifests and observation plans by manifest digest, read from the blob store once."""

from __future__ import annotations

from edgeops.core.codec import decode
from edgeops.core.manifest import Manifest
from edgeops.core.observe import ObservePlan
from edgeops.core.signing import unverified_payload
from edgeops.registry.blobs import BlobStore


class PlanShelf:
    """Blobs never change, so what was read is kept."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._plans: dict[str, ObservePlan] = {}
        self._manifests: dict[str, Manifest] = {}

    def manifest(self, digest: str) -> Manifest:
        """The manifest of a digest in hexadecimal; raises ``NotFoundError``."""
        if digest not in self._manifests:
            self._manifests[digest] = decode(Manifest, unverified_payload(self._blobs.get(digest)))
        return self._manifests[digest]

    def plan(self, digest: str) -> ObservePlan:
        """The observation plan that a manifest names."""
        if digest not in self._plans:
            ref = self.manifest(digest).observe
            self._plans[digest] = decode(ObservePlan, self._blobs.get(ref.hex))
        return self._plans[digest]
