"""The capture policy, applied: which inputs may leave the device, and why.

Chosen by content, so that the choice is reproducible, unbiased and never takes the same input twice. What was spent of
the budget is kept over restarts: the disk never says less than what was sent, so that a device that crashes again and
again does not send for ever.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device_agent.byte_budget import ByteBudget
from edgeops.core.codec import Bytes, Message, UInt, decode, encode, wire
from edgeops.core.errors import StorageError, WireError
from edgeops.core.input_features import extract
from edgeops.core.messages import Captured, CapturePolicy
from edgeops.core.observe import ObservePlan, bin_of
from edgeops.files import read_or_none, write_atomic

STEPS = 128
"""A budget is written down in so many steps at most; the last one may be sent again after a power cut."""
REMEMBERED = 4096
"""So many inputs are known again; of a larger budget the oldest are forgotten."""
_NAME = 8  # bytes of an input's digest that name it
_OWNER = "capture"


@dataclass(frozen=True, slots=True)
class _Spent(Message):
    MAX_BYTES = REMEMBERED * _NAME + 64
    policy: bytes = wire(1, Bytes(_NAME, _NAME))
    taken: int = wire(2, UInt(32))
    chosen: int = wire(3, UInt(32))
    sent: bytes = wire(4, Bytes(REMEMBERED * _NAME))


class Capture:
    """What one model of a device may send, and what it has sent; memory and disk writes are bounded.

    ``folder`` holds what was spent under the present policy, and the byte budget of the day. Times are ms of uptime.
    """

    def __init__(self, folder: Path) -> None:
        self.policy: CapturePolicy | None = None
        self._path = folder / "spent.cbor"
        self._daily = ByteBudget(folder / "bytes.cbor")
        self._name = b""
        self._taken = 0
        self._chosen = 0  # of the taken, those that were not drawn uniformly
        self._sent: OrderedDict[bytes, None] = OrderedDict()
        self._saved = 0

    def follow(self, policy: CapturePolicy | None) -> None:
        """Apply a policy; another one than before is another permission, with a budget of its own."""
        if policy == self.policy:
            return
        self.policy = policy
        self._taken = self._chosen = self._saved = 0
        self._sent.clear()
        if policy is None:
            self._forget()
            return
        self._daily.limit = policy.daily_bytes
        self._name = hashlib.sha256(encode(policy)).digest()[:_NAME]
        spent = self._load()
        if spent is not None and spent.policy == self._name:
            self._taken, self._chosen, self._saved = spent.taken, spent.chosen, spent.taken
            for start in range(0, len(spent.sent), _NAME):
                self._sent[spent.sent[start : start + _NAME]] = None

    def wants(
        self, plan: ObservePlan, quantized: NDArray[np.int8], confidence: int, consent: bool, now_ms: int
    ) -> Captured | None:
        """Why this input is to be sent, None where it is not; counts it as sent when it is.

        ``quantized`` int8 of the model's input shape, ``confidence`` the bin (0..15) of its prediction.
        """
        policy = self.policy
        if policy is None or not consent or self._taken >= policy.budget:
            return None
        values = quantized.tobytes()
        digest = hashlib.sha256(values).digest()
        if digest[:_NAME] in self._sent:
            return None
        if int.from_bytes(digest[8:16]) % 1000 < policy.permille:
            reason = Captured.UNIFORM
        elif self._chosen >= (policy.budget // 2 if policy.permille else policy.budget):
            return None
        elif confidence < policy.uncertain_below:
            reason = Captured.UNCERTAIN
        elif _is_shifted(policy, plan, quantized):
            reason = Captured.SHIFTED
        else:
            return None
        self._daily.tick(now_ms)
        if not self._daily.admit(_OWNER, [len(values)]):
            return None
        self._take(digest[:_NAME], reason, len(values))
        return reason

    def close(self) -> None:
        """The agent stops on purpose: write down exactly what was spent."""
        if self.policy is not None and self._taken != self._saved:
            self._save(self._taken)
        self._daily.close()

    def _take(self, name: bytes, reason: Captured, size: int) -> None:
        assert self.policy is not None
        self._taken += 1
        self._chosen += reason is not Captured.UNIFORM
        self._sent[name] = None
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        self._daily.charge(size)
        if self._taken > self._saved:
            self._save(min(self._taken + self.policy.budget // STEPS, self.policy.budget))

    def _load(self) -> _Spent | None:
        raw = read_or_none(self._path)
        if raw is None:
            return None
        try:
            return decode(_Spent, raw)
        except WireError:
            return None  # it costs a second budget at most; a device that does not start would cost more

    def _save(self, taken: int) -> None:
        spent = _Spent(
            self._name, taken, min(self._chosen + taken - self._taken, taken), b"".join(self._sent)
        )
        try:
            write_atomic(self._path, encode(spent))
        except StorageError:
            return  # a full disk must not keep the device from working; the count in memory holds
        self._saved = taken

    def _forget(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return  # a disk that went read-only: the next permission's name differs, or finds its budget spent


def _is_shifted(policy: CapturePolicy, plan: ObservePlan, quantized: NDArray[np.int8]) -> bool:
    """Whether an observed feature lies in a bin that the policy names; features that the plan lacks are passed by."""
    named = [
        (plan.features[one.feature], one.bins) for one in policy.shifted if one.feature < len(plan.features)
    ]
    if not named:
        return False
    values = extract([feature.name for feature, _ in named], quantized[np.newaxis])[0]
    return any(
        bins >> int(bin_of(feature.edges, value)) & 1
        for (feature, bins), value in zip(named, values, strict=True)
    )
