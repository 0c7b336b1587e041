"""Recordings of sensors: one file each, NPZ, CSV or Parquet, as (samples, channels) float32."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.data.archives import arrays_in
from edgeops.data.readers.clock import Clock, clock_of, is_time, same_rate
from edgeops.data.readers.columns import as_text, batches, checked_name
from edgeops.data.readers.entry import (
    NO_CLASS,
    OTHER_CHANNELS,
    Item,
    Request,
    SetAside,
    counted,
    one_line,
    printable,
)
from edgeops.data.readers.layout import Placed, place
from edgeops.data.readers.resampling import resampled
from edgeops.data.readers.tree import FileTree

SUFFIXES = (".npz", ".csv", ".parquet")
WANTED = "an NPZ, CSV or Parquet file"
SIGNALS = ("signal", "x", "data", "values")
RATES = frozenset({"sample_rate_hz", "sample_rate", "sampling_rate", "rate_hz", "fs"})
MAX_CHANNELS = 256


@dataclass(frozen=True, slots=True)
class _Recording:
    """``values`` (samples, channels); ``facts`` are its metadata as text, without label and rate.

    ``rate`` is what the file states, or else what its ``clock`` says; ``channels`` are names, or empty.
    """

    values: NDArray[Any]
    rate: float
    facts: Mapping[str, str]
    channels: tuple[str, ...] = ()
    clock: Clock | None = None


class SeriesReader:
    """Metadata, that is scalars of an NPZ and columns that hold one text throughout, become slices.

    The label is the field or column that ``--label`` names, or else that of the pattern or class folder, or
    else a field called ``label``. Rates stand in the files, or follow from their columns of time, which are no
    channels; ``--sample-rate`` resamples to one, and says what it is where files do not. Columns are channels,
    in the order of the first file that names them.
    """

    kind = "series"
    labels: tuple[str, ...] = ()

    def __init__(self, tree: FileTree, request: Request) -> None:
        """What is needed is loaded when a file needs it."""
        self._tree, self._request = tree, request
        self._metadata = frozenset({*request.slices, request.group, request.label, "label", *RATES} - {""})
        self.total, self.done = len(tree.files), 0
        self.sample_rate_hz = request.sample_rate_hz
        self.notes: list[str] = []
        self.columns: tuple[str, ...] = ()
        self._named = ""
        self._rated: tuple[str, float] | None = None
        self._times: set[str] = set()
        self._clocked = self._guessed = False
        self._irregular: list[str] = []
        self._given = False

    def __iter__(self) -> Iterator[Item | SetAside]:
        moved = stated = 0
        for entry in place(self._tree.files, self._request.pattern, SUFFIXES, WANTED):
            self.done += 1
            if isinstance(entry, SetAside):
                yield entry
                continue
            try:
                recording = self._recording(entry)
                facts = {**recording.facts, **entry.slices}
                label = self._label(entry, facts)
                values = self._in_order(entry, _checked(recording.values), recording.channels)
                rate = self._rate(entry, recording)
                wanted = self._request.sample_rate_hz
                if wanted and rate not in (0.0, wanted):
                    values = resampled(values, rate, wanted)
                    moved += 1
            except (ValueError, MemoryError) as error:
                yield SetAside(entry.file.name, one_line(error))
                continue
            stated += bool(wanted) and not rate
            self._given = True
            yield Item(entry.file.name, values, label, facts, entry.part)
        if moved:
            self.notes.append(f"{counted(moved, 'file')} resampled to {self.sample_rate_hz:g} Hz")
        if stated:
            self.notes.append(
                f"{counted(stated, 'file')} without a sample rate: {self.sample_rate_hz:g} Hz is believed"
            )
        self._tell_of_time()
        self.done = self.total

    def _tell_of_time(self) -> None:
        rate = self.sample_rate_hz
        if self._times:
            note = f"left out as time: {', '.join(sorted(self._times))}"
            if self._clocked and rate and not self._request.sample_rate_hz:
                note += f"; its steps of {1 / rate:.4g} s make {rate:g} Hz"
                if self._guessed:
                    note += " (read as milliseconds: --sample-rate HZ says what is right)"
            self.notes.append(note)
        if self._irregular:
            self.notes.append(
                f"warning: {counted(len(self._irregular), 'file')} with uneven steps of time, such as "
                f"{self._irregular[0]}: they are taken as {rate:g} Hz throughout; even steps would be better"
            )
        if self._given and not rate:
            self.notes.append(
                "warning: the sample rate is not known, so nothing can be said in Hz or seconds: give it, such as "
                "--sample-rate 50"
            )

    def _recording(self, entry: Placed) -> _Recording:
        if entry.file.size == 0:
            raise ValueError("empty file")
        channels: tuple[str, ...] = ()
        clock: Clock | None = None
        if entry.file.suffix == ".npz":
            values, facts = _from_npz(entry)
        else:
            values, facts, channels, clock = self._from_columns(entry)
        rates = [facts.pop(name) for name in sorted(RATES & facts.keys())]
        try:
            rate = float(rates[0]) if rates and rates[0] else 0.0
        except ValueError:
            rate = math.nan
        if not 0 <= rate < math.inf:
            raise ValueError(f"its sample rate is {rates[0]!r}")
        if rate:
            return _Recording(values, rate, facts, channels)
        return _Recording(values, clock.rate_hz if clock else 0.0, facts, channels, clock)

    def _from_columns(
        self, entry: Placed
    ) -> tuple[NDArray[Any], dict[str, str], tuple[str, ...], Clock | None]:
        parts: list[NDArray[np.float32]] = []
        constant: dict[str, set[str]] = {}
        ticks: dict[str, list[Any]] = {}
        names: list[str] | None = None
        for batch in batches(entry.file, self._metadata):
            if batch.ragged:
                raise ValueError("row {}: {}".format(*batch.ragged[0]))
            if batch.unread:
                row, reason = min(batch.unread.items())
                raise ValueError(f"row {row + 1 + sum(map(len, parts))}: {reason}")
            channels = [name for name in batch.numbers if not is_time(name)]
            for name in filter(is_time, batch.names):
                self._times.add(name)
                ticks.setdefault(name, []).append(
                    batch.numbers[name] if name in batch.numbers else batch.texts[name]
                )
            if names is None:
                names = channels
            if names != channels:
                raise ValueError("its columns change from numbers to text on the way")
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is then set aside
                parts.append(
                    np.stack([batch.numbers[n] for n in channels], axis=1, dtype=np.float32, casting="unsafe")
                    if channels
                    else np.zeros((batch.rows, 0), np.float32)
                )
            for name, texts in batch.texts.items():
                if not is_time(name):
                    constant.setdefault(name, set()).update(texts)
                    if len(constant[name]) > 1:
                        raise ValueError(f"column {name!r} is neither of numbers nor one text throughout")
        facts = {name: next(iter(texts)) for name, texts in constant.items()}
        clock = next((clock_of(name, _joined(pieces)) for name, pieces in ticks.items()), None)
        return np.concatenate(parts), facts, tuple(names or ()), clock

    def _in_order(
        self, entry: Placed, values: NDArray[np.float32], channels: tuple[str, ...]
    ) -> NDArray[np.float32]:
        """The channels in the order of the first file that names them; ``ValueError`` where they are others."""
        if not channels or channels == self.columns:
            return values
        if not self.columns:
            self.columns, self._named = channels, entry.file.name
            return values
        if sorted(channels) != sorted(self.columns):
            raise ValueError(
                f"{OTHER_CHANNELS} {self._named}: {_listed(channels)} instead of {_listed(self.columns)}"
            )
        return np.ascontiguousarray(values[:, [channels.index(name) for name in self.columns]])

    def _rate(self, entry: Placed, recording: _Recording) -> float:
        """The rate of a recording in Hz, as far as it is to be believed; the dataset's where it agrees with it."""
        rate, clock, wanted = recording.rate, recording.clock, self._request.sample_rate_hz
        known = wanted or self.sample_rate_hz
        if clock is not None:
            self._clocked |= rate > 0
            self._guessed |= rate > 0 and clock.guessed
            if rate and not clock.regular:
                self._irregular.append(entry.file.name)
            if wanted and (clock.guessed or not clock.regular):
                return 0.0  # what was asked for knows better than a guess
            if known and (not clock.regular or same_rate(rate, known)):
                return known
            if not rate and self._rated is None:
                return 0.0  # too short to say anything: the others may
        self._agree(entry, rate)
        return rate

    def _label(self, entry: Placed, facts: dict[str, str]) -> str:
        own = facts.pop("label", "") if not self._request.label else facts.pop(self._request.label, None)
        if own is None:
            raise ValueError(f"no field or column {self._request.label!r} for the label")
        label = own if self._request.label else entry.label or own
        if not label:
            raise ValueError(f"no label: {NO_CLASS}, and without a field 'label'")
        return label

    def _agree(self, entry: Placed, rate: float) -> None:
        if self._request.sample_rate_hz:
            return
        if self._rated is None:
            self._rated, self.sample_rate_hz = (entry.file.name, rate), rate
        first, known = self._rated
        if rate != known:
            said, other = (f"{r:g} Hz" if r else "no sample rate" for r in (rate, known))
            raise DataError(
                f"{self._tree.path}: {entry.file.name} has {said}, {first} {other}; a dataset has one",
                fix="give the rate of all, to which others are resampled: --sample-rate "
                f"{min(filter(None, (rate, known))):g}",
                rates=[known, rate],
            )


def _from_npz(entry: Placed) -> tuple[NDArray[Any], dict[str, str]]:
    arrays = arrays_in(entry.file.read())
    facts = {
        checked_name(name): as_text(array.item())
        for name, array in arrays.items()
        if array.size == 1 and name not in SIGNALS
    }
    wide = {name: a for name, a in arrays.items() if name not in facts and a.ndim and a.dtype.kind in "fiub"}
    named = [name for name in SIGNALS if name in wide] or sorted(wide)
    if not named or (len(named) > 1 and named[0] not in SIGNALS):
        found = ", ".join(f"{name} {array.shape}" for name, array in sorted(arrays.items())[:12]) or "nothing"
        raise ValueError(f"no array called signal (found: {printable(found)[:400]})")
    return wide[named[0]], facts


def _joined(pieces: list[Any]) -> NDArray[np.float64] | list[str]:
    """A column of several batches: numbers, or texts where one batch has texts."""
    if all(isinstance(piece, np.ndarray) for piece in pieces):
        return np.concatenate(pieces)
    return [str(value) for piece in pieces for value in piece]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _checked(values: NDArray[Any]) -> NDArray[np.float32]:
    """(samples, channels) float32, or ``ValueError`` with the reason why it is not used."""
    if values.ndim == 1:
        values = values[:, np.newaxis]
    if values.ndim != 2 or not 1 <= values.shape[1] <= MAX_CHANNELS:
        raise ValueError(
            f"shape {values.shape}: samples, then 1 to {MAX_CHANNELS} channels of numbers are needed"
        )
    if len(values) == 0:
        raise ValueError("empty: no samples")
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(floats).all():
        raise ValueError("not finite")
    return floats
