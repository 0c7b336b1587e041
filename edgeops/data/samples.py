"""A few items of each class, made small enough to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.data.dataset import Dataset
from edgeops.data.splitting import Part

MOST_CHANNELS = 6
_MOST_PIXELS = 96
_COLUMNS = 240


@dataclass(frozen=True, eq=False)
class Sample:
    """One item: ``pixels`` (H, W) or (H, W, 3) uint8 of an image, otherwise ``low`` and ``high``.

    Those are (channels, columns) float32: the envelope of a recording, or twice the values of a row.
    """

    label: str
    part: str
    name: str
    pixels: NDArray[np.uint8] | None = None
    low: NDArray[np.float32] | None = None
    high: NDArray[np.float32] | None = None


def samples(dataset: Dataset, per_class: int) -> list[Sample]:
    """Up to ``per_class`` items of each label, evenly spaced by digest, so of all parts; read one at a time."""
    found = []
    for target, label in enumerate(dataset.labels):
        rows = np.flatnonzero(dataset.targets == target)
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), per_class)).astype(np.intp))
        for row in rows[chosen].tolist():
            part = Part(int(dataset.parts[row])).label
            name = (dataset.files[row] if dataset.files else "") or dataset.index.digests[row].hex()[:12]
            values = np.asarray(dataset.inputs[row])
            if dataset.kind == "image":
                found.append(Sample(label, part, name, pixels=_pixels(values)))
            else:
                low, high = _envelope(values.reshape(len(values), -1))
                found.append(Sample(label, part, name, low=low, high=high))
    return found


def _pixels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) uint8, thinned where it is large; what is no byte image is spread to 0-255."""
    step = max(1, -(-max(values.shape[:2]) // _MOST_PIXELS))
    small = values[::step, ::step]
    if small.ndim == 3 and small.shape[-1] != 3:
        small = small[..., 0]
    if small.dtype == np.uint8 and int(small.max()) > 31:
        return np.ascontiguousarray(small, np.uint8)
    floats = small.astype(np.float32)
    spread = float(floats.max() - floats.min()) or 1.0
    return np.rint((floats - floats.min()) / spread * 255).astype(np.uint8)


def _envelope(values: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest value in each of up to 240 stretches: (samples, channels) to two (channels, stretches)."""
    shown = values[:, :MOST_CHANNELS]
    edges = np.unique(np.linspace(0, len(shown), min(len(shown), _COLUMNS) + 1).astype(np.intp))[:-1]
    low, high = (
        np.asarray(way.reduceat(shown, edges, axis=0), np.float32).T for way in (np.minimum, np.maximum)
    )
    return low, high
