"""Tables of features: CSV and Parquet, one item a row, as (features,) float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os.path import splitext

import numpy as np

from edgeops.core.errors import DataError
from edgeops.data.readers.columns import SUFFIXES, WANTED, Batch, batches
from edgeops.data.readers.entry import Item, Request, SetAside
from edgeops.data.readers.layout import PART_FOLDERS, Placed, place
from edgeops.data.readers.tree import FileTree
from edgeops.data.splitting import Part

LABELS = ("label", "class", "target")


class TableReader:
    """Columns of numbers are features, in the order of the first file; columns of text become slices.

    The label is the column that ``--label`` names, else one called label, class or target. A column that
    ``--group`` or ``--slice`` names is metadata, whatever it holds. Folders or files called train and test
    keep those parts.
    """

    kind = "table"
    labels: tuple[str, ...] = ()

    def __init__(self, tree: FileTree, request: Request) -> None:
        """What is needed is loaded with the first file."""
        self._tree, self._request = tree, request
        self.total, self.done = len(tree.files), 0
        self.sample_rate_hz = 0.0
        self.notes: list[str] = []
        self.columns: tuple[str, ...] = ()
        self._first = ""

    def __iter__(self) -> Iterator[Item | SetAside]:
        entries = list(place(self._tree.files, self._request.pattern, SUFFIXES, WANTED, classes=False))
        by_file = _parts_by_file([entry for entry in entries if isinstance(entry, Placed)])
        for entry in entries:
            self.done += 1
            if isinstance(entry, SetAside):
                yield entry
                continue
            given = 0
            try:
                part = by_file.get(entry.file.name) if entry.part is None else entry.part
                for row in self._rows(entry, part):
                    given += 1
                    yield row
            except ValueError as error:
                if given:  # to set aside one file would hide how many rows of it are lost
                    raise DataError(
                        f"{entry.file.name} cannot be read beyond row {given:,}: {error}",
                        fix="mend the file at that place, or cut it off there",
                        file=entry.file.name,
                    ) from error
                yield SetAside(entry.file.name, str(error))
        if self.columns:
            self.notes.append(f"features: {', '.join(self.columns)}")
        self.done = self.total

    def _rows(self, entry: Placed, part: Part | None) -> Iterator[Item | SetAside]:
        asked = self._request
        labels = (asked.label,) if asked.label else LABELS
        metadata = frozenset({*asked.slices, asked.group, *labels} - {""})
        number = ragged = 0
        torn: Sequence[tuple[int, str]] = ()
        for batch in batches(entry.file, metadata):
            torn = batch.ragged
            label = self._label_column(entry, batch)
            features = self._agreed(entry, batch)
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is then set aside
                rows = np.stack([batch.numbers[name] for name in features], axis=1).astype(np.float32)
            others = [name for name in batch.texts if name != label]
            for row, values in enumerate(rows):
                number += 1
                while ragged < len(torn) and torn[ragged][0] <= number:
                    yield SetAside(f"{entry.file.name}:{number}", torn[ragged][1])
                    number, ragged = number + 1, ragged + 1
                file = f"{entry.file.name}:{number}"
                text = batch.texts[label][row] if label else entry.label
                if row in batch.unread:
                    yield SetAside(file, batch.unread[row])
                elif not text:
                    yield SetAside(file, "no label")
                else:
                    slices = {name: batch.texts[name][row] for name in others}
                    yield Item(file, values, text, {**slices, **entry.slices}, part)
        for row, reason in torn[ragged:]:
            yield SetAside(f"{entry.file.name}:{row}", reason)

    def _label_column(self, entry: Placed, batch: Batch) -> str:
        wanted = self._request.label
        label = wanted or next((name for name in LABELS if name in batch.texts), "")
        if label not in batch.texts and (wanted or not entry.label):
            raise DataError(
                f"{entry.file.name} has no column {wanted or LABELS[0]!r} for the label: it has "
                f"{_shown(batch.names)}",
                fix="name the column of the label with --label",
                columns=list(batch.names),
            )
        return label

    def _agreed(self, entry: Placed, batch: Batch) -> Sequence[str]:
        """The features, which every batch of every file must have."""
        found = tuple(batch.numbers)
        if not self.columns:
            if not found:
                raise ValueError(f"no column of numbers besides metadata: it has {_shown(batch.names)}")
            self.columns, self._first = found, entry.file.name
        missing = [name for name in self.columns if name not in batch.numbers]
        more = [name for name in found if name not in self.columns]
        if missing or more:
            which = f"lacks {missing[0]!r}" if missing else f"has {more[0]!r} besides"
            raise ValueError(f"its columns are not those of {self._first}: it {which}")
        return self.columns


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _parts_by_file(entries: Sequence[Placed]) -> dict[str, Part]:
    """Parts of files that are called train.csv, test.csv and so on, where all are."""
    stems = {entry.file.name: splitext(entry.file.name.rpartition("/")[2])[0].lower() for entry in entries}
    parts = {name: PART_FOLDERS[stem] for name, stem in stems.items() if stem in PART_FOLDERS}
    whole = len(parts) == len(entries) and Part.TRAIN in parts.values() and len(set(parts.values())) > 1
    return parts if whole else {}
