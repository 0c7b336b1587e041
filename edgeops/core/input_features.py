"""What is observed of an input: integer functions of the quantized values, the same in every language.

With u = q + 128 in 0..255, n values an input, and floor division throughout:

====================== ==========================================================================================
``level``              256 * sum(u) // n
``spread``             256 * sum(abs(n * u - sum(u))) // n**2, the mean absolute deviation
``contrast``           max(u) - min(u)
``sharpness``          256 * the mean absolute difference of neighbours along the first two axes (images) or the
                       first (series)
``clipped``            65536 * the number of u that are 0 or 255 // n: out of the range that the model can take
``band_1`` .. ``band_4``  256 * the mean of u over a quarter of the columns (second axis; of a series without columns
                       the quarter of its values): of a spectrogram the energy in a band
``detail_2`` .. ``detail_8``  256 * the sum of abs(sum of the first half - sum of the second half) // (s * blocks),
                       over blocks of s values along the first axis: Haar details, of a waveform fast to slow energy
====================== ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import WireError

QUARTERS = 4
DETAILS = (2, 4, 8)
BANDS = tuple(f"band_{quarter + 1}" for quarter in range(QUARTERS))
FEATURES = (
    "level",
    "spread",
    "contrast",
    "sharpness",
    "clipped",
    *BANDS,
    *(f"detail_{scale}" for scale in DETAILS),
)
OF_KIND = {
    "image": ("level", "spread", "contrast", "sharpness", "clipped", "detail_4"),
    "audio": ("level", "spread", "sharpness", "clipped", *BANDS),
    "table": ("level", "spread", "contrast", "clipped", *BANDS),
    "series": ("level", "spread", "contrast", "sharpness", "clipped", "detail_2", "detail_4", "detail_8"),
}
"""What is observed where a recipe does not say, by the kind of its data."""


def extract(names: Sequence[str], batch: NDArray[np.int8]) -> NDArray[np.int64]:
    """Features of a batch of quantized inputs: (N, *shape) int8 to (N, len(names)) int64, as the table above says.

    Raises ``WireError`` for a feature that this version does not know.
    """
    known = _Batch(batch)
    columns = [known.feature(name) for name in names]
    return np.stack(columns, axis=1) if columns else np.zeros((len(batch), 0), np.int64)


class _Batch:
    """Quantized inputs, shifted to 0..255, and what more than one feature needs of them."""

    def __init__(self, batch: NDArray[np.int8]) -> None:
        self._count = len(batch)
        # int16 holds u and differences of two: half the memory traffic of int32
        self._u = batch.astype(np.int16) + 128
        self._flat = self._u.reshape(self._count, -1)
        self._n = self._flat.shape[1]
        self._total: NDArray[np.int64] = self._flat.sum(axis=1, dtype=np.int64)

    def feature(self, name: str) -> NDArray[np.int64]:
        if name == "level":
            return np.asarray(256 * self._total // self._n)
        if name == "spread":
            return self._spread()
        if name == "contrast":
            return np.asarray(self._flat.max(axis=1) - self._flat.min(axis=1), np.int64)
        if name == "sharpness":
            return self._sharpness()
        if name == "clipped":
            ends = np.count_nonzero((self._flat == 0) | (self._flat == 255), axis=1)
            return np.asarray(65_536 * ends.astype(np.int64) // self._n)
        if name in BANDS:
            return self._band(BANDS.index(name))
        if name.startswith("detail_") and name in FEATURES:
            return self._detail(int(name.removeprefix("detail_")))
        raise WireError(f"feature {name!r} is not known to this version", feature=name)

    def _spread(self) -> NDArray[np.int64]:
        # sum(abs(n u - S)) is twice its part above the mean, and u lies above S / n where it does above the floor
        above = self._flat > (self._total // self._n).astype(np.int16)[:, np.newaxis]
        total = np.where(above, self._flat, 0).sum(axis=1, dtype=np.int64)
        count = np.count_nonzero(above, axis=1).astype(np.int64)
        return np.asarray(512 * (self._n * total - self._total * count) // (self._n * self._n))

    def _sharpness(self) -> NDArray[np.int64]:
        total, pairs = np.zeros(self._count, np.int64), 0
        for axis in (1, 2) if self._u.ndim >= 3 else (1,):
            steps = np.abs(np.diff(self._u, axis=axis)).reshape(self._count, -1)
            total, pairs = total + steps.sum(axis=1, dtype=np.int64), pairs + steps.shape[1]
        return np.asarray(256 * total // max(pairs, 1))

    def _band(self, quarter: int) -> NDArray[np.int64]:
        axis = 2 if self._u.ndim >= 3 else 1
        columns = self._u.shape[axis]
        start, end = columns * quarter // QUARTERS, columns * (quarter + 1) // QUARTERS
        part = self._u[:, :, start:end] if axis == 2 else self._u[:, start:end]
        size = part.size // max(1, self._count)
        total: NDArray[np.int64] = part.reshape(self._count, -1).sum(axis=1, dtype=np.int64)
        return np.asarray(256 * total // max(size, 1))

    def _detail(self, scale: int) -> NDArray[np.int64]:
        blocks = self._u.shape[1] // scale
        if not blocks:
            return np.zeros(self._count, np.int64)
        halves = self._u[:, : blocks * scale].reshape(self._count, blocks, 2, scale // 2, -1)
        sums = halves.sum(axis=3, dtype=np.int32)
        apart = np.abs(sums[:, :, 0] - sums[:, :, 1]).reshape(self._count, -1)
        return np.asarray(256 * apart.sum(axis=1, dtype=np.int64) // (apart.shape[1] * scale))
