"""CSV and Parquet as columns, a batch of rows at a time, through pyarrow."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.data.readers.entry import DECIMAL_COMMA, counted, one_line, printable, required
from edgeops.data.readers.tree import DAMAGED, SourceFile

SUFFIXES = (".csv", ".parquet")
WANTED = "a CSV or Parquet file"
_SNIFFED_BYTES = 1 << 16
_BATCH_ROWS = 1 << 14
_BLOCK_BYTES = 1 << 20
_LONGEST_NAME = 1000
_COMMA_NUMBER = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_MISSING = ("", "NA", "N/A", "na", "n/a", "NULL", "null", "None", "#N/A")


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows: numbers as float64 (missing ones NaN), everything else as text (missing: ``""``).

    ``unread`` says by row of the batch what stands where a number should. ``ragged`` are rows of the whole
    file, numbered from 1, that have too many or too few columns, and why; they are in no batch.
    """

    numbers: Mapping[str, NDArray[np.float64]]
    texts: Mapping[str, tuple[str, ...]]
    unread: Mapping[int, str]
    rows: int
    ragged: Sequence[tuple[int, str]] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, numbers first."""
        return (*self.numbers, *self.texts)


def batches(file: SourceFile, metadata: frozenset[str] = frozenset()) -> Iterator[Batch]:
    """The rows of a file; columns in ``metadata`` are text whatever they hold.

    A column of a CSV is one of numbers when most values of the first batch are. Raises ``ValueError``, with
    one line, for a file that is empty, cut off or not what its suffix says, and ``MissingExtra``.
    """
    arrow: Any = required("pyarrow", "CSV and Parquet files")
    if file.size == 0:
        raise ValueError("empty file")
    kinds: dict[str, bool] = dict.fromkeys(metadata, False)
    rows, ragged = 0, list[tuple[int, str]]()
    try:
        for batch in _parquet(file, arrow) if file.suffix == ".parquet" else _csv(file, ragged):
            rows += batch.num_rows
            yield _sorted_out(batch, kinds, ragged, arrow)
    # a date beyond the calendar overflows
    except (arrow.lib.ArrowException, UnicodeDecodeError, csv.Error, OverflowError, *DAMAGED) as error:
        raise ValueError(f"unreadable: {one_line(error)}") from error
    if ragged and rows == 0:
        raise ValueError("no row can be read; row {}: {}".format(*ragged[0]))
    if rows == 0:
        raise ValueError("empty: no rows")


def checked_name(name: str) -> str:
    """The name of a column or field, printable; raises ``ValueError`` for one that is no name."""
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise ValueError(f"a column is called {printable(name[:40])!r}, {len(name):,} characters")
    return printable(name)


def as_text(value: Any) -> str:
    """A value of metadata: whole numbers without a point, nothing for what is missing."""
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        return printable(value.decode("utf-8", "replace").strip())
    return f"{value:g}" if isinstance(value, float | np.floating) else printable(str(value).strip())


def _parquet(file: SourceFile, arrow: Any) -> Iterator[Any]:
    parquet: Any = required("pyarrow.parquet", "Parquet files")
    with (
        file.open() as stream,
        parquet.ParquetFile(arrow.PythonFile(stream, mode="r"), page_checksum_verification=True) as opened,
    ):
        yield from opened.iter_batches(batch_size=_BATCH_ROWS)


def _csv(file: SourceFile, ragged: list[tuple[int, str]]) -> Iterator[Any]:
    """Batches of text; a first line of numbers is no header, and columns are then called ``column_<n>``.

    Rows with another number of columns are added to ``ragged``.
    """
    arrow_csv: Any = required("pyarrow.csv", "CSV files")
    arrow: Any = required("pyarrow", "CSV files")
    with file.open() as stream:
        head = stream.read(_SNIFFED_BYTES).removeprefix(b"\xef\xbb\xbf")
    line = next(iter(head.splitlines()), b"").decode()
    if not line.strip():
        raise ValueError("empty: its first line is blank")
    delimiter = max((",", ";", "\t"), key=line.count)
    cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    header = not all(_is_number(cell) for cell in cells)
    names = cells if header else [f"column_{place}" for place in range(len(cells))]
    if len(set(names)) != len(names) or "" in names:
        raise ValueError("its header has a column twice, or one without a name")

    def leave_out(row: Any) -> str:
        ragged.append(
            (row.number - header, f"{counted(row.actual_columns, 'column')}, not {row.expected_columns}")
        )
        return "skip"

    with file.open() as stream:
        yield from arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(
                column_names=names, skip_rows=int(header), block_size=_BLOCK_BYTES, use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=leave_out),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, arrow.string()),
                null_values=_MISSING,
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sorted_out(batch: Any, kinds: dict[str, bool], ragged: Sequence[tuple[int, str]], arrow: Any) -> Batch:
    """Columns as numbers or text; ``kinds`` remembers which is which from the first batch on."""
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, tuple[str, ...]] = {}
    unread: dict[int, str] = {}
    types = arrow.types
    for given, column in zip(batch.schema.names, batch.columns, strict=True):
        name = checked_name(given)
        if name in numbers or name in texts:
            raise ValueError(f"it has the column {name!r} twice")
        if types.is_nested(column.type):
            raise ValueError(f"column {name!r} holds lists, not numbers or text")
        plain = (
            types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type)
        )
        if types.is_decimal(column.type):
            column, plain = column.cast(arrow.float64()), True
        if plain and kinds.get(name, True):
            numbers[name] = np.asarray(
                column.cast(arrow.float64()).to_numpy(zero_copy_only=False), np.float64
            )
            continue
        values = column.to_pylist()
        if plain or not (types.is_string(column.type) or types.is_large_string(column.type)):
            texts[name] = tuple(as_text(value) for value in values)
            continue
        if name not in kinds:
            kinds[name] = _mostly_numbers(values)
            if not kinds[name]:
                _refuse_decimal_commas(name, values)
        if kinds[name]:
            numbers[name] = _parsed(name, values, unread)
        else:
            texts[name] = tuple(printable((value or "").strip()) for value in values)
    return Batch(numbers, texts, unread, batch.num_rows, ragged)


def _mostly_numbers(values: list[str | None]) -> bool:
    there = [value for value in values if value is not None]
    return bool(there) and sum(map(_is_number, there)) * 2 > len(there)


def _refuse_decimal_commas(name: str, values: list[str | None]) -> None:
    there = [value for value in values if value is not None]
    commas = [value for value in there if _COMMA_NUMBER.fullmatch(value)]
    if len(commas) * 2 > len(there):
        raise ValueError(f"{DECIMAL_COMMA}: column {name!r} has {printable(commas[0].strip()[:40])!r}")


def _parsed(name: str, values: list[str | None], unread: dict[int, str]) -> NDArray[np.float64]:
    try:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    except ValueError:
        found = np.full(len(values), np.nan)
        for row, value in enumerate(values):
            if value is None:
                continue
            if _is_number(value):
                found[row] = float(value)
            else:
                unread.setdefault(row, f"{name} is {printable(value[:40])!r}, not a number")
        return found
