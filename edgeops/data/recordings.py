"""Items of unequal length: one array of all samples, and where each item begins and ends in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError

Rows = NDArray[np.integer[Any]] | NDArray[np.bool_] | slice


class Recordings:
    """A read-only sequence of N arrays (samples, \\*tail), which differ in length only.

    ``values`` (T, \\*tail) may be memory-mapped: an item is a view of it, so that nothing is read before it
    is used. ``starts`` and ``lengths`` (N,) int64 are samples along its first axis.
    """

    def __init__(self, values: NDArray[Any], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        if len(starts) != len(lengths) or (
            len(starts)
            and (starts.min() < 0 or lengths.min() < 0 or int((starts + lengths).max()) > len(values))
        ):
            raise DataError(f"{len(starts)} recordings reach beyond the {len(values)} samples that are there")
        self._values = values.view()
        self._values.flags.writeable = False
        self._starts, self._lengths = starts, lengths

    @classmethod
    def of(cls, items: Sequence[NDArray[Any]]) -> Recordings:
        """Recordings in memory; raises ``DataError`` when they differ in more than length."""
        kinds = {(item.dtype, item.shape[1:]) for item in items if item.ndim}
        if len(kinds) != 1 or any(item.ndim == 0 for item in items):
            raise DataError(
                f"recordings need one dtype and one shape behind the first axis, not {len(kinds)}"
            )
        lengths = np.array([len(item) for item in items], np.int64)
        return cls(np.concatenate(list(items)), np.cumsum(lengths) - lengths, lengths)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: Rows) -> Recordings: ...
    def __getitem__(self, index: int | np.integer[Any] | Rows) -> NDArray[Any] | Recordings:
        """One recording, or for a mask, a slice or an array of rows the chosen ones; no values are read."""
        if isinstance(index, int | np.integer):
            start = int(self._starts[index])
            return self._values[start : start + int(self._lengths[index])]
        return Recordings(self._values, self._starts[index], self._lengths[index])

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[row] for row in range(len(self)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of every item."""
        return self._values.dtype

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of an item behind its first axis."""
        return tuple(int(size) for size in self._values.shape[1:])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) samples of each item."""
        return self._lengths
