"""Sources that are arrays already: ``sklearn:digits``, and ``.npz`` archives with x and y."""

from __future__ import annotations

from collections.abc import Iterator

from edgeops.core.errors import DataError
from edgeops.data.items import Items
from edgeops.data.readers.entry import Item, Request, SetAside

# of one item; what a table's items are makes no difference
_DIMENSIONS = {"image": (2, 3), "audio": (1,), "series": (1, 2), "table": range(1, 33)}


class ArrayReader:
    """The items of arrays that were read and checked; an item's file is its number in the source."""

    columns: tuple[str, ...] = ()

    def __init__(self, items: Items, request: Request, source: str) -> None:
        """``source`` is what its items are called after.

        Raises ``DataError`` for a kind that items of their shape cannot be.
        """
        shape = items.inputs.shape[1:]
        if request.kind and len(shape) not in _DIMENSIONS[request.kind]:
            raise DataError(
                f"items of the shape {shape} are no {request.kind} data",
                fix=f"leave --kind out: it would be {items.kind}",
                shape=shape,
            )
        self._items, self._source = items, source
        self.kind = request.kind or items.kind
        self.labels = items.labels
        self.total, self.done = len(items) + len(items.quarantined), 0
        self.sample_rate_hz = request.sample_rate_hz
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Item | SetAside]:
        aside = {bad.index: bad.reason for bad in self._items.quarantined}
        kept = iter(range(len(self._items)))
        for index in range(self.total):
            self.done += 1
            file = f"{self._source}:{index}"
            if index in aside:
                yield SetAside(file, aside[index])
                continue
            row = next(kept)
            label = self._items.labels[self._items.targets[row]]
            yield Item(file, self._items.inputs[row], label)
