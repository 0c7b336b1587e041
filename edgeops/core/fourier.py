"""Random Fourier features of a vector of steps, in integers: what tells that features depend on each other otherwise.

A component is cos(w . z + b) with z the features in reference deviations (``edgeops.core.moments``: steps of 1/16),
w normal and b uniform (Rahimi & Recht, NIPS 2007). Angles are counted in 65,536ths of a turn, and the cosine is looked
up at 256 places and scaled to -127..127, so that every language sums the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import WireError
from edgeops.core.moments import STEPS

COMPONENTS = 64
TURN = 65_536
ONE = 127
COSINES = np.array([round(ONE * math.cos(2 * math.pi * place / 256)) for place in range(256)], np.int64)
_SEED = 20_261_121
_MOST = 2**15 - 1


@dataclass(frozen=True)
class Fourier:
    """``weights`` (features, 64) int64 in 65,536ths of a turn a step, ``phases`` (64,) int64 the same, 0..65535."""

    weights: NDArray[np.int64]
    phases: NDArray[np.int64]

    def transform(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, features) steps, each -64..64, to (n, 64) values in -127..127."""
        place = ((steps @ self.weights + self.phases) % TURN) >> 8
        return np.asarray(COSINES[place])

    def to_bytes(self) -> bytes:
        """Weights row by row, then phases, 16 bits each, little endian, weights signed."""
        return self.weights.astype("<i2").tobytes() + self.phases.astype("<u2").tobytes()


def draw_fourier(features: int) -> Fourier:
    """The components for so many features; the same each time. The bandwidth is the square root of their number."""
    draw = np.random.default_rng(_SEED)
    normal = draw.standard_normal((features, COMPONENTS)) / math.sqrt(2 * features)
    weights = np.round(normal / STEPS * TURN / (2 * math.pi)).clip(-_MOST, _MOST).astype(np.int64)
    return Fourier(weights, draw.integers(0, TURN, COMPONENTS))


def fourier_from(raw: bytes, features: int) -> Fourier:
    """The inverse of ``to_bytes``; raises ``WireError`` for another length."""
    size = 2 * COMPONENTS * features
    if len(raw) != size + 2 * COMPONENTS:
        raise WireError(f"{len(raw)} bytes of Fourier components for {features} features")
    weights = np.frombuffer(raw[:size], "<i2").reshape(features, COMPONENTS).astype(np.int64)
    return Fourier(weights, np.frombuffer(raw[size:], "<u2").astype(np.int64))
