"""Cutting a dataset's items into the inputs of a model: whole items, or windows of recordings.

Pure index arithmetic; values are read later, a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeops.data.splitting import Part

# of a recording whose test part is cut by time: train before the first, validation between, test after
BY_TIME = (0.6, 0.7)
# of a recording that is not held out, where others are
VALIDATION_FROM = 0.85

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Windows:
    """``item`` (M,) says which item a window is cut from, ``start`` (M,) its first sample (may be negative:
    the recording is shorter and stands in the middle), ``length`` its samples (0: the whole item).
    """

    item: Index
    start: Index
    length: int

    def __len__(self) -> int:
        return len(self.item)

    def take(self, chosen: NDArray[np.bool_]) -> Windows:
        """Only the chosen ones."""
        return Windows(self.item[chosen], self.start[chosen], self.length)


def cut(lengths: Sequence[int], window: int, stride: int) -> Windows:
    """Windows over items of these lengths (samples).

    With ``window`` 0 each item is one; with ``stride`` 0 each is cut or padded to one in its middle; else a
    window starts at every ``stride`` samples as long as it lies wholly inside, and an item that is shorter
    than one gives one, padded.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if window == 0 or stride == 0:
        start = (sizes - window) // 2 if window else np.zeros(len(sizes), np.int64)
        return Windows(np.arange(len(sizes), dtype=np.int64), start, window)
    counts = np.maximum((sizes - window) // stride + 1, 1)
    item = np.repeat(np.arange(len(sizes), dtype=np.int64), counts)
    number = np.arange(len(item)) - np.repeat(np.cumsum(counts) - counts, counts)
    short = sizes[item] < window
    start = np.where(short, (sizes[item] - window) // 2, number * stride)
    return Windows(item, start.astype(np.int64), window)


def values_of(recording: NDArray[np.generic], start: int, length: int) -> NDArray[np.float32]:
    """One window (length, ...) float32; zeros where it reaches over the recording's ends."""
    inside = recording[max(start, 0) : max(start + length, 0)].astype(np.float32)
    before = min(max(-start, 0), length)
    after = length - before - len(inside)
    if not before and not after:
        return np.ascontiguousarray(inside)
    return np.pad(inside, [(before, after)] + [(0, 0)] * (inside.ndim - 1))


def parts_by_time(windows: Windows, lengths: Sequence[int], edges: Sequence[tuple[float, Part]]) -> Index:
    """(M,) codes of ``Part`` by where a window lies in its recording, -1 for one that crosses an edge.

    ``edges``: (upper end as a fraction of the recording, part), ascending, the last at 1.
    """
    sizes = np.maximum(np.asarray(lengths, dtype=np.int64)[windows.item], 1)
    begin = np.clip(windows.start / sizes, 0, 1)
    end = np.clip((windows.start + windows.length) / sizes, 0, 1)
    parts = np.full(len(windows), -1, np.int64)
    low = 0.0
    for high, part in edges:
        parts[(begin >= low - 1e-12) & (end <= high + 1e-12)] = part
        low = high
    return parts


def overlap(first: Index, second: Index, length: int) -> bool:
    """Whether a window of one recording that begins at one of ``first`` shares samples with one of ``second``.

    Both hold one start or more; with ``length`` 0 a window is the whole recording, which it shares.
    """
    if length == 0:
        return True
    ordered = np.sort(first)
    after = np.searchsorted(ordered, second)
    nearest = np.minimum(
        np.abs(ordered[np.minimum(after, len(ordered) - 1)] - second),
        np.abs(ordered[np.maximum(after - 1, 0)] - second),
    )
    return bool(nearest.min() < length)
