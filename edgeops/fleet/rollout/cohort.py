"""Who comes first: a hash of device and rollout. Stable, unbiased, and another order in each rollout. Pure."""

from __future__ import annotations

import hashlib


def place(rollout_id: int, device_id: str) -> int:
    """A device's place in a rollout, uniform in 0..2**64 - 1; devices are offered the version in this order."""
    digest = hashlib.sha256(f"{rollout_id}:{device_id}".encode()).digest()
    return int.from_bytes(digest[:8])
