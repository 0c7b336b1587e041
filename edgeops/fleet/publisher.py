"""Publishing: blobs in chunks, once each, retained; desired states; the trust root; receipts."""

from __future__ import annotations

from sqlmodel import Session, col, select

from edgeops.core import topics
from edgeops.core.codec import decode, encode
from edgeops.core.errors import NotFoundError, TrustError
from edgeops.core.manifest import BlobRef, Manifest
from edgeops.core.messages import Receipt
from edgeops.core.signing import unverified_payload
from edgeops.core.topics import Kind
from edgeops.core.transport import Transport
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import fact, state_fact
from edgeops.registry.tables import DesiredState

PUBLISHED = "bytes_published"


class Publisher:
    """What the control side writes to the broker; knows what this broker connection already got."""

    def __init__(self, fleet: str, transport: Transport, blobs: BlobStore) -> None:
        self._fleet = fleet
        self._transport = transport
        self._blobs = blobs
        self._sent: set[str] = set()
        self.bytes = 0

    def forget(self) -> None:
        """The broker came back and may have lost everything: publish it all again."""
        self._sent.clear()

    def trust(self, envelope: bytes) -> None:
        """Publish the trust root."""
        self._publish(topics.trust(self._fleet), envelope, retain=True)

    def version(self, manifest_sha256: str) -> None:
        """Publish a model version: manifest, chunk lists and blobs; what was sent before is not sent again."""
        if manifest_sha256 in self._sent:
            return
        envelope = self._blobs.get(manifest_sha256)
        manifest = decode(Manifest, unverified_payload(envelope))
        for ref in (*(a.blob for a in manifest.artifacts), manifest.observe, manifest.vectors):
            self._blob(ref)
        self._chunks(manifest_sha256, envelope, max(len(envelope), 1))
        self._sent.add(manifest_sha256)

    def desired(self, session: Session) -> int:
        """Publish the desired states that are not out yet, and first the versions they name; how many.

        Raises ``NotFoundError`` or ``TrustError`` for a version whose blobs are missing or altered, after
        everything else is out.
        """
        failed: NotFoundError | TrustError | None = None
        rows = session.exec(select(DesiredState).where(col(DesiredState.published).is_(False))).all()
        for row in rows:
            try:
                for wanted in row.models.values():
                    if wanted.get("manifest"):
                        self.version(wanted["manifest"])
            except (NotFoundError, TrustError) as error:
                failed = error
                continue
            self._publish(topics.device(self._fleet, row.device_id, Kind.DESIRED), row.document, retain=True)
            row.published = True
        if self.bytes:
            total = fact(session, PUBLISHED).get("bytes", 0) + self.bytes
            state_fact(session, PUBLISHED, {"bytes": total})
            self.bytes = 0
        if failed is not None:
            raise failed
        return len(rows)

    def receipt(self, device_id: str, receipt: Receipt) -> None:
        """Publish what the registry has of a device's reports."""
        self._publish(topics.device(self._fleet, device_id, Kind.RECEIPT), encode(receipt), retain=True)

    def _blob(self, ref: BlobRef) -> None:
        if ref.hex not in self._sent:
            self._chunks(ref.hex, self._blobs.get(ref.hex), ref.chunk_bytes)
            if ref.chunk_list is not None:
                listing = self._blobs.get(ref.chunk_list.hex())
                self._chunks(ref.chunk_list.hex(), listing, max(len(listing), 1))
            self._sent.add(ref.hex)

    def _chunks(self, sha256: str, blob: bytes, chunk_bytes: int) -> None:
        for index, start in enumerate(range(0, len(blob), chunk_bytes)):
            topic = topics.chunk(self._fleet, sha256, index)
            self._publish(topic, blob[start : start + chunk_bytes], retain=True)

    def _publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        self._transport.publish(topic, payload, retain=retain)
        self.bytes += len(payload)
