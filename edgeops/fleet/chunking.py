"""Chunks that fit the broker: how large a payload may be, and how a blob is cut where its own chunks are too large."""

from __future__ import annotations

from edgeops.core import topics
from edgeops.core.errors import DoesNotFit
from edgeops.core.manifest import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, BlobRef, blob_ref

# PUBLISH at QoS 1: a fixed header of at most 5 bytes, the topic's length, the packet's number. MQTT 5 adds a length
# of its properties (1) when the broker passes it on.
_HEADER_BYTES = 5 + 2 + 2 + 1
_DIGEST_BYTES = 32
_LAST_INDEX = 999_999


def payload_bytes(topic: str, packet_bytes: int) -> int:
    """How long a payload on this topic may be, in bytes, where the broker takes packets of ``packet_bytes``."""
    return packet_bytes - _HEADER_BYTES - len(topic.encode())


def check_payload(topic: str, size: int, packet_bytes: int | None, what: str) -> None:
    """Raise ``DoesNotFit``, naming both numbers, for a payload that the broker would not take; None takes all."""
    if packet_bytes is None or size <= payload_bytes(topic, packet_bytes):
        return
    needed = size + packet_bytes - payload_bytes(topic, packet_bytes)
    raise DoesNotFit(
        f"{what} needs a packet of {needed} bytes, the broker takes {packet_bytes}",
        fix=f"let the broker take at least {needed} bytes (in Mosquitto: max_packet_size {needed})",
        limit="packet",
        needed=needed,
        available=packet_bytes,
    )


def fits(fleet: str, ref: BlobRef, packet_bytes: int | None) -> bool:
    """Whether the chunks of a blob, and their list, fit the broker's packets."""
    return packet_bytes is None or _fits(fleet, ref.hex, ref.size, ref.chunk_bytes, packet_bytes)


def cut(fleet: str, ref: BlobRef, blob: bytes, packet_bytes: int) -> tuple[BlobRef, bytes | None]:
    """The blob in the largest chunks (a power of two) that fit together with their list; reference and list.

    Raises ``DoesNotFit`` where no size does: small chunks make a long list.
    """
    size = _largest(fleet, ref.hex, len(blob), packet_bytes)
    if size is not None:
        return blob_ref(blob, size)
    needed = max(packet_bytes, MIN_CHUNK_BYTES)
    while _largest(fleet, ref.hex, len(blob), needed) is None:
        needed *= 2
    raise DoesNotFit(
        f"blob {ref.hex[:12]} of {len(blob)} bytes cannot be cut for a broker that takes packets of {packet_bytes}",
        fix=f"let the broker take {needed} bytes (in Mosquitto: max_packet_size {needed})",
        limit="packet",
        needed=needed,
        available=packet_bytes,
    )


def _largest(fleet: str, sha256: str, size: int, packet_bytes: int) -> int | None:
    chunk_bytes = MAX_CHUNK_BYTES
    while chunk_bytes >= MIN_CHUNK_BYTES:
        if _fits(fleet, sha256, size, chunk_bytes, packet_bytes):
            return chunk_bytes
        chunk_bytes //= 2
    return None


def _fits(fleet: str, sha256: str, size: int, chunk_bytes: int, packet_bytes: int) -> bool:
    allowed = payload_bytes(topics.chunk(fleet, sha256, _LAST_INDEX), packet_bytes)
    listing = -(-size // chunk_bytes) * _DIGEST_BYTES if size > chunk_bytes else 0
    return min(size, chunk_bytes) <= allowed and listing <= min(allowed, MAX_CHUNK_BYTES)
