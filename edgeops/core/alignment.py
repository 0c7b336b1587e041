"""Which parts of a new blob continue which parts of an old one, so that byte differences are small numbers.

bsdiff looks for runs of equal bytes; when a network is retrained, hardly any byte stays equal, yet most move by little.
Here offsets are found by the few runs that are equal, and judged by how small the differences are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 32
MAX_BLOCKS = 1 << 16
MAX_OFFSETS = 24
ANCHOR_BYTES = 8
MAX_ANCHORS = 1 << 15
SWITCH_BITS = 48.0  # what another part costs, packed
NEW_BITS = 7.5  # what a byte costs that continues nothing

_MAGNITUDE = np.minimum(np.arange(256), 256 - np.arange(256))
_DIFFERENCE_BITS: NDArray[np.float32] = np.where(
    _MAGNITUDE == 0, 0.25, np.minimum(1.5 + 2 * np.log2(np.maximum(_MAGNITUDE, 1)), 9.0)
).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes ``start`` to ``end`` of the target, at ``offset`` + their place in the base; None where they are new."""

    start: int
    end: int
    offset: int | None


def align(base: NDArray[np.uint8], target: NDArray[np.uint8]) -> list[Part]:
    """The parts of ``target`` (n,), in order and without gaps, for the least cost by a rough model of packing."""
    if not target.size:
        return []
    offsets = _offsets(base, target)
    block = max(BLOCK_BYTES, -(-target.size // MAX_BLOCKS))
    starts = np.arange(0, target.size, block)
    lengths = np.diff(np.append(starts, target.size))
    costs = np.stack(
        [np.add.reduceat(_bits(base, target, offset), starts) for offset in offsets] + [NEW_BITS * lengths]
    )
    path = _cheapest(costs)
    ways: list[int | None] = [*offsets, None]
    parts: list[Part] = []
    for start, end, state in zip(starts.tolist(), (starts + lengths).tolist(), path, strict=True):
        way = ways[state]
        if parts and parts[-1].offset == way:
            parts[-1] = Part(parts[-1].start, end, way)
        else:
            parts.append(Part(start, end, way))
    return _sharpened(base, target, parts, block)


def _offsets(base: NDArray[np.uint8], target: NDArray[np.uint8]) -> list[int]:
    """Offsets that are worth a try: none, that of equal ends, and those at which runs of bytes are equal."""
    found = [0, base.size - target.size]
    if min(base.size, target.size) >= ANCHOR_BYTES:
        words = _words(base)
        known, first, counts = np.unique(words, return_index=True, return_counts=True)
        known, first = known[counts == 1], first[counts == 1]  # runs of zeros say nothing
        places = np.arange(0, target.size - ANCHOR_BYTES + 1, max(1, target.size // MAX_ANCHORS))
        wanted = _words(target)[places]
        if known.size:
            at = np.minimum(np.searchsorted(known, wanted), known.size - 1)
            hit = known[at] == wanted
            values, votes = np.unique(first[at][hit] - places[hit], return_counts=True)
            found += values[np.argsort(-votes, kind="stable")].tolist()[:MAX_OFFSETS]
    return list(dict.fromkeys(found))


def _words(values: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Each run of eight bytes as one number, shape (n - 7,)."""
    wide = values.astype(np.uint64)
    count = values.size - ANCHOR_BYTES + 1
    words = np.zeros(count, np.uint64)
    for place in range(ANCHOR_BYTES):
        words = (words << np.uint64(8)) | wide[place : place + count]
    return words


def _bits(base: NDArray[np.uint8], target: NDArray[np.uint8], offset: int) -> NDArray[np.float32]:
    """What each byte of the target costs at this offset; a lot where the base has nothing."""
    costs = np.full(target.size, 1e6, np.float32)
    start, end = max(0, -offset), min(target.size, base.size - offset)
    if start < end:
        costs[start:end] = _DIFFERENCE_BITS[target[start:end] - base[start + offset : end + offset]]
    return costs


def _cheapest(costs: NDArray[np.floating]) -> list[int]:
    """The cheapest way through (states, blocks), where changing the state costs ``SWITCH_BITS``."""
    blocks = costs.shape[1]
    total = costs[:, 0].astype(np.float64)
    came: list[NDArray[np.intp]] = []
    stay = np.arange(costs.shape[0])
    for block in range(1, blocks):
        best = int(total.argmin())
        change = total[best] + SWITCH_BITS < total
        came.append(np.where(change, best, stay))
        total = np.where(change, total[best] + SWITCH_BITS, total) + costs[:, block]
    path = [int(total.argmin())]
    for step in reversed(came):
        path.append(int(step[path[-1]]))
    return path[::-1]


def _sharpened(
    base: NDArray[np.uint8], target: NDArray[np.uint8], parts: list[Part], reach: int
) -> list[Part]:
    """The same parts with each border where it is cheapest, to the byte."""
    for index in range(1, len(parts)):
        left, right = parts[index - 1], parts[index]
        low, high = max(left.start, right.start - reach), min(right.end, right.start + reach)
        before = np.cumsum(np.append(0, _piece(base, target, left.offset, low, high)))
        after = np.cumsum(np.append(0, _piece(base, target, right.offset, low, high)))
        border = low + int((before + (after[-1] - after)).argmin())
        parts[index - 1] = Part(left.start, border, left.offset)
        parts[index] = Part(border, right.end, right.offset)
    return [part for part in parts if part.start < part.end]


def _piece(
    base: NDArray[np.uint8], target: NDArray[np.uint8], offset: int | None, low: int, high: int
) -> NDArray[np.float32]:
    if offset is None:
        return np.full(high - low, NEW_BITS, np.float32)
    return _bits(base, target[low:high], offset + low)
