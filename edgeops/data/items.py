"""Items before they are a dataset: arrays that were checked, and what was set aside and why."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.data.recordings import Recordings

MAX_QUARANTINED_SHARE = 0.20
NOT_FINITE = "not finite"
DUPLICATE = "duplicate"
CONFLICTING = "same input, different targets"

Inputs = NDArray[np.uint8] | NDArray[np.int16] | NDArray[np.float32]
DTYPES = ("uint8", "int16", "float32")
_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An item that was set aside: its index in the source, why, and the file where it has one."""

    index: int
    reason: str
    file: str = ""


@dataclass(frozen=True, eq=False)
class Items:
    """Checked items of a source, in the source's order.

    ``inputs`` (N, *shape) uint8, int16 or float32, ``targets`` (N,) int64 indices into ``labels``, ``kind``
    is ``"image"`` where an item has two or three dimensions and ``"table"`` otherwise.
    """

    inputs: Inputs
    targets: NDArray[np.int64]
    labels: tuple[str, ...]
    quarantined: tuple[Quarantined, ...]
    kind: str

    def __len__(self) -> int:
        return len(self.targets)


def item_digests(inputs: Inputs | Recordings) -> list[bytes]:
    """SHA-256 of each item's shape and values: (N, *shape) to N digests of 32 bytes.

    Values are hashed as little-endian float32, so that a uint8 image and the same image as float32 are one
    item; a trailing channel of one and the sign of a zero make no difference. A few MiB are read at a time.
    """
    if isinstance(inputs, Recordings):
        return [item_digest(item) for item in inputs]
    prefix = _prefix(inputs.shape[1:])
    step = max(1, _CHUNK_BYTES // max(1, 4 * math.prod(inputs.shape[1:])))
    digests: list[bytes] = []
    for start in range(0, len(inputs), step):
        chunk = inputs[start : start + step]
        rows = np.ascontiguousarray(chunk, dtype="<f4").reshape(len(chunk), -1) + np.float32(0)
        digests += [hashlib.sha256(prefix + row.tobytes()).digest() for row in rows]
    return digests


def item_digest(values: NDArray[Any]) -> bytes:
    """The digest of one item, as ``item_digests`` gives it."""
    hashed = hashlib.sha256(_prefix(values.shape))
    flat = np.ascontiguousarray(values).reshape(-1)
    for start in range(0, len(flat), _CHUNK_BYTES // 4):
        hashed.update((flat[start : start + _CHUNK_BYTES // 4].astype("<f4") + np.float32(0)).data)
    return hashed.digest()


def _prefix(shape: tuple[int, ...]) -> bytes:
    if len(shape) == 3 and shape[-1] == 1:
        shape = shape[:-1]
    return f"edgeops-item-1:{','.join(map(str, shape))}:".encode()


def kind_of(inputs: Inputs) -> str:
    """``"image"`` for items of two or three dimensions, else ``"table"``."""
    return "image" if inputs.ndim in (3, 4) else "table"


def check_items(inputs: Inputs, targets: NDArray[np.int64], labels: tuple[str, ...], source: str) -> Items:
    """Set aside what cannot be learned from, and refuse a source that is mostly that.

    Quarantined are items with NaN or infinity, every repetition of an item after its first, and all items of
    one input that come with different targets. Raises ``DataError`` when nothing is there, nothing is left,
    or more than a fifth was set aside.
    """
    if len(inputs) == 0:
        raise DataError(f"{source} holds no items", fix="give a source with at least one item", source=source)
    reasons: dict[int, str] = {}
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(inputs).reshape(len(inputs), -1).all(axis=1))
    digests = item_digests(inputs)
    seen: dict[bytes, list[int]] = {}
    for index, digest in enumerate(digests):
        if finite[index]:
            seen.setdefault(digest, []).append(index)
        else:
            reasons[index] = NOT_FINITE
    for indices in seen.values():
        if len({int(targets[index]) for index in indices}) > 1:
            reasons.update(dict.fromkeys(indices, CONFLICTING))
        else:
            reasons.update(dict.fromkeys(indices[1:], DUPLICATE))
    quarantined = tuple(Quarantined(index, reasons[index]) for index in sorted(reasons))
    _refuse_if_too_many(quarantined, len(inputs), source)
    keep = np.array([index not in reasons for index in range(len(inputs))])
    return Items(inputs[keep], targets[keep], labels, quarantined, kind_of(inputs))


def _refuse_if_too_many(quarantined: tuple[Quarantined, ...], total: int, source: str) -> None:
    share = len(quarantined) / total
    if share <= MAX_QUARANTINED_SHARE:
        return
    counts: dict[str, int] = {}
    for item in quarantined:
        counts[item.reason] = counts.get(item.reason, 0) + 1
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    raise DataError(
        f"{source}: {len(quarantined)} of {total} items are unusable ({why}); at most "
        f"{MAX_QUARANTINED_SHARE:.0%} may be",
        fix=f"clean the source; the first bad item is number {quarantined[0].index}",
        source=source,
        quarantined=len(quarantined),
        total=total,
    )
