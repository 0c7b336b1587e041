"""Self-test vectors: a model proves itself on the device's own interpreter before it is activated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeops.core.codec import Bytes, ListOf, Message, UInt, wire

MAX_VECTORS = 32


@dataclass(frozen=True, slots=True)
class SelfTest(Message):
    """Quantized inputs and the outputs they gave at packaging, int8 in C order, and the allowed difference.

    Interpreters differ by rounding (XNNPACK and reference kernels), hence the tolerance, in output steps.
    """

    MAX_BYTES = 1_048_576
    inputs: tuple[bytes, ...] = wire(1, ListOf(Bytes(65000, 1), MAX_VECTORS))
    outputs: tuple[bytes, ...] = wire(2, ListOf(Bytes(4096, 1), MAX_VECTORS))
    tolerance: int = wire(3, UInt(8))


def difference(expected: bytes, actual: NDArray[np.int8], tolerance: int) -> str | None:
    """None when ``actual`` passes: the same top class and no value further away than ``tolerance``."""
    want = np.frombuffer(expected, np.int8).astype(np.int16)
    got = actual.reshape(-1).astype(np.int16)
    if want.shape != got.shape:
        return f"{got.size} outputs where {want.size} are expected"
    worst = int(np.abs(want - got).max())
    if worst > tolerance:
        return f"an output differs by {worst} steps where {tolerance} are allowed"
    if want[int(got.argmax())] != want.max():
        return f"top class {int(got.argmax())} where {int(want.argmax())} is expected"
    return None
