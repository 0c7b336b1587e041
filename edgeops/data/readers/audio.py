"""Sounds: class folders of WAV files, as (samples,) int16 of one sample rate."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.data.readers.entry import NO_CLASS, Item, Request, SetAside, counted, one_line, required
from edgeops.data.readers.layout import Placed, place
from edgeops.data.readers.resampling import resampled
from edgeops.data.readers.tree import FileTree
from edgeops.data.readers.wav import shortfall

SUFFIXES = (".wav", ".wave")
WANTED = "a WAV file"
_FULL_SCALE = 32768


class AudioReader:
    """PCM of 8 to 32 bits and float, any number of channels (their mean is taken), any rate.

    With ``--sample-rate`` all are resampled to it (soxr, high quality); without, all must have one.
    """

    kind = "audio"
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __init__(self, tree: FileTree, request: Request) -> None:
        """Raises ``MissingExtra`` without soundfile."""
        self._soundfile: Any = required("soundfile", "WAV files")
        self._tree, self._request = tree, request
        self.total, self.done = len(tree.files), 0
        self.sample_rate_hz = request.sample_rate_hz
        self.notes: list[str] = []
        self._first = ""

    def __iter__(self) -> Iterator[Item | SetAside]:
        mixed = moved = clipped = 0
        for entry in place(self._tree.files, self._request.pattern, SUFFIXES, WANTED):
            self.done += 1
            if isinstance(entry, SetAside):
                yield entry
                continue
            try:
                samples, rate, channels = self._decoded(entry)
                self._agree(entry, rate)
                if rate != self.sample_rate_hz:
                    floats = samples / _FULL_SCALE if samples.dtype == np.int16 else samples
                    samples = resampled(floats, rate, self.sample_rate_hz)
            except (ValueError, self._soundfile.SoundFileError, OSError, MemoryError) as error:
                yield SetAside(entry.file.name, one_line(error))
                continue
            mixed += channels > 1
            moved += rate != self.sample_rate_hz
            pcm, over = _as_int16(samples)
            clipped += over
            yield Item(entry.file.name, pcm, entry.label, entry.slices, entry.part)
        self._tell(mixed, moved, clipped)
        self.done = self.total

    def _decoded(self, entry: Placed) -> tuple[NDArray[Any], float, int]:
        """Samples (n,) as int16 where that is exact and float64 otherwise, rate and number of channels."""
        if not entry.label:
            raise ValueError(NO_CLASS)
        content = entry.file.read()
        if short := shortfall(content):
            raise ValueError(short)
        try:
            with self._soundfile.SoundFile(io.BytesIO(content)) as file:
                plain = file.subtype == "PCM_16" and file.channels == 1
                samples = file.read(dtype="int16" if plain else "float64")
                rate, channels = float(file.samplerate), int(file.channels)
        except self._soundfile.LibsndfileError as error:
            raise ValueError(f"unreadable: {error.error_string}") from error
        if len(samples) == 0:
            raise ValueError("empty: no samples")
        if not np.isfinite(samples).all():
            raise ValueError("not finite")
        return (samples.mean(axis=1) if samples.ndim > 1 else samples), rate, channels

    def _agree(self, entry: Placed, rate: float) -> None:
        if not self.sample_rate_hz:
            self.sample_rate_hz, self._first = rate, entry.file.name
        elif rate != self.sample_rate_hz and not self._request.sample_rate_hz:
            raise DataError(
                f"{self._tree.path}: {entry.file.name} has {rate:g} Hz, {self._first} {self.sample_rate_hz:g} "
                "Hz; a dataset has one sample rate",
                fix=f"give the rate to resample to, such as --sample-rate {min(rate, self.sample_rate_hz):g}",
                rates=[self.sample_rate_hz, rate],
            )

    def _tell(self, mixed: int, moved: int, clipped: int) -> None:
        if mixed:
            self.notes.append(f"{counted(mixed, 'file')} with several channels: their mean is taken")
        if moved:
            self.notes.append(f"{counted(moved, 'file')} resampled to {self.sample_rate_hz:g} Hz")
        if clipped:
            self.notes.append(f"{counted(clipped, 'file')} beyond full scale, clipped")


def _as_int16(samples: NDArray[Any]) -> tuple[NDArray[np.int16], bool]:
    """Samples of -1 to 1 as int16, and whether some had to be clipped by more than one step."""
    if samples.dtype == np.int16:
        return samples, False
    scaled = np.rint(samples * _FULL_SCALE)
    over = bool(scaled.size) and bool(max(scaled.max() - _FULL_SCALE, -_FULL_SCALE - scaled.min()) > 0)
    return scaled.clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16), over
