"""Which part of a dataset an item belongs to: a function of its content alone, whatever the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.data.items import Inputs, Items, item_digests

Parts = NDArray[np.uint8]


class Part(IntEnum):
    """What an item is used for; the value is its code in ``Dataset.parts``."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    FIELD = 3
    CAPTURE_HOLDOUT = 4

    @property
    def label(self) -> str:
        """The name in lower case, e.g. ``capture_holdout``."""
        return self.name.lower()


SHARES: Mapping[Part, float] = MappingProxyType(
    {Part.TRAIN: 0.5, Part.VALIDATION: 0.1, Part.TEST: 0.2, Part.FIELD: 0.2}
)


def part_named(name: str | Part) -> Part:
    """``"train"`` to ``Part.TRAIN``; raises ``DataError`` naming the known parts."""
    if isinstance(name, Part):
        return name
    try:
        return Part[name.upper()]
    except KeyError:
        known = ", ".join(part.label for part in Part)
        raise DataError(f"no part is called {name!r}", fix=f"use one of {known}", part=name) from None


def split(items: Items, shares: Mapping[Part, float] = SHARES) -> Parts:
    """(N,) uint8 part codes: each item's digest as a fraction of 2**64, laid along the shares in order.

    An item keeps its part whatever else is in the dataset, in whatever order, on whatever machine. Raises
    ``DataError`` when the shares are negative or do not add up to one.
    """
    return _by_digest(item_digests(items.inputs), list(shares.items()))


def capture_parts(inputs: Inputs, holdout_share: float = 0.2) -> Parts:
    """(N,) uint8 codes for captured inputs: ``CAPTURE_HOLDOUT`` for about that share, else ``TRAIN``.

    By content too, but not by the fraction that ``split`` took: what devices see are field items, whose
    fractions all lie in one narrow range.
    """
    digests = [hashlib.sha256(b"edgeops-capture-1:" + digest).digest() for digest in item_digests(inputs)]
    return _by_digest(digests, [(Part.CAPTURE_HOLDOUT, holdout_share), (Part.TRAIN, 1 - holdout_share)])


def _by_digest(digests: Sequence[bytes], shares: Sequence[tuple[Part, float]]) -> Parts:
    sizes = [share for _, share in shares]
    if not shares or min(sizes) < 0 or abs(sum(sizes) - 1) > 1e-9:
        raise DataError(f"the shares {sizes} do not add up to 1", fix="give shares that sum to 1")
    edges = np.cumsum(sizes)[:-1]
    codes = np.array([part for part, _ in shares], dtype=np.uint8)
    # a digest that rounds up to 1.0 falls into the last part, since its upper edge is left out above
    fractions = [int.from_bytes(digest[:8], "big") / 2**64 for digest in digests]
    return codes[np.searchsorted(edges, fractions, side="right")]
