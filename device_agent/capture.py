"""The capture policy, applied: which inputs may leave the device.

Chosen by content, so that the choice is reproducible, unbiased and never takes the same input twice.
"""

from __future__ import annotations

import hashlib

from edgeops.core.messages import CapturePolicy


class Capture:
    """Remembers, under one policy, what was sent; memory is bounded by the policy's budget."""

    def __init__(self, policy: CapturePolicy | None) -> None:
        self.policy = policy
        self._sent: set[bytes] = set()

    def wants(self, values: bytes, consent: bool) -> bool:
        """Whether this quantized input is to be sent; counts it as sent when it is."""
        if self.policy is None or not consent or len(self._sent) >= self.policy.budget:
            return False
        digest = hashlib.sha256(values).digest()
        if digest[:8] in self._sent or int.from_bytes(digest[8:16]) % 1000 >= self.policy.permille:
            return False
        self._sent.add(digest[:8])
        return True
