"""When a transfer may start: devices spread themselves, each at a place of its own."""

from __future__ import annotations

import hashlib


def start_delay_ms(device: str, manifest: bytes, spread_ms: int) -> int:
    """Where this device stands in a spread of 0..``spread_ms``: the same each time, and another for each manifest."""
    place = hashlib.sha256(device.encode() + b"\x00" + manifest).digest()
    return int.from_bytes(place[:8], "big") * (spread_ms + 1) >> 64
