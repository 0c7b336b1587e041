"""What the axes of a model's input mean, by its recipe: pictures, frames and bands, samples, columns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeops.core.features.steps import named_parameters
from edgeops.training.recipe import Recipe

IMAGE, SPECTROGRAM, SPECTRUM, SERIES, TABLE = VIEWS = ("image", "spectrogram", "spectrum", "series", "table")
MOST_BANDS = 40  # more are taken together: neighbours say nearly the same
_BLOCKS = 8
_PARTS = 8
_MEL = 1127.0  # mel = 1127 * ln(1 + f / 700), as in ``edgeops.core.features.audio``


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of an input: its name, and where it lies in an item (without the batch axis)."""

    name: str
    place: tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """``view`` is one of ``VIEWS``; ``bands`` names the rows or columns of a spectrum, lowest first.

    An image is (height, width, channels), a spectrogram (frames, bands) or (frames, bands, 1), a spectrum
    (bands, channels), a series (samples,) or (samples, channels), a table (columns,). ``cepstral``: the bands
    are coefficients of a cepstrum. ``columns`` names those of a table, ``channels`` those of recordings where
    they have several; in a spectrogram a band's channels then stand side by side.
    """

    view: str
    shape: tuple[int, ...]
    bands: tuple[str, ...] = ()
    cepstral: bool = False
    columns: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    @property
    def grid(self) -> tuple[int, int] | None:
        """How many rows and columns of regions an image is cut into; None for anything else."""
        return (len(_cuts(self.shape[0])), len(_cuts(self.shape[1]))) if self.view == IMAGE else None


def layout_of(recipe: Recipe, shape: tuple[int, ...], columns: Sequence[str] = ()) -> Layout:
    """The layout of the recipe's preprocessed inputs of ``shape``; ``columns`` names the dataset's values."""
    named = [(step.op, named_parameters(step)) for step in recipe.preprocessing.steps]
    for op, parameters in reversed(named):
        if op == "fft_bands":
            edges = _hertz(
                parameters["low_hz"], parameters["high_hz"], parameters["bands"], parameters["spacing"]
            )
            bands = _band_names(edges)
            if not parameters["frame_step"]:
                return Layout(SPECTRUM, shape, bands, channels=_channels(shape[-1], columns))
            channels = _channels(shape[1] // len(bands), columns)
            names = [f"{band}, {channel}" for band in bands for channel in channels] if channels else bands
            return Layout(SPECTROGRAM, shape, tuple(names), channels=channels)
        if op == "log_mel":
            low, high = (_MEL * np.log1p(parameters[end] / 700) for end in ("low_hz", "high_hz"))
            centres = 700 * np.expm1(np.linspace(low, high, parameters["mels"] + 2)[1:-1] / _MEL)
            return Layout(SPECTROGRAM, shape, tuple(f"about {centre:.0f} Hz" for centre in centres))
        if op == "mfcc":
            return Layout(SPECTROGRAM, shape, tuple(f"coefficient {i}" for i in range(shape[1])), True)
    if len(shape) == 3:
        return Layout(IMAGE, shape)
    if recipe.data.kind == "table":
        # a front end that makes more or fewer columns of them takes their names away
        known = len(columns) == shape[0]
        titles = tuple(columns) if known else tuple(f"column {i}" for i in range(shape[0]))
        return Layout(TABLE, shape, columns=titles)
    return Layout(SERIES, shape, channels=_channels(shape[1], columns) if len(shape) == 2 else ())


def regions_of(layout: Layout) -> list[Region]:
    """What an input is taken apart into, in its own order.

    A spectrogram or spectrum by band, neighbours together where there are more than 40, a spectrogram of
    several channels by channel first; a series by channel and by eighth of its length; an image into 8x8
    rectangles at most; a table by column.
    """
    shape = layout.shape
    if layout.view == TABLE:
        names = layout.columns or tuple(f"column {i}" for i in range(shape[0]))
        return [Region(name, (slice(i, i + 1),)) for i, name in enumerate(names)]
    if layout.view == SPECTROGRAM and layout.channels:
        return _by_channel(layout)
    if layout.view == SPECTROGRAM:
        return [
            Region(_span(layout.bands, cut), (slice(None), cut))
            for cut in _cuts(len(layout.bands), MOST_BANDS)
        ]
    if layout.view == IMAGE:
        return [
            Region(f"{_numbers('row', r)}, {_numbers('column', c)}", (r, c))
            for r in _cuts(shape[0])
            for c in _cuts(shape[1])
        ]
    found = []
    if len(shape) == 2 and shape[1] > 1:
        names = layout.channels or _channels(shape[1], ())
        found = [Region(name, (slice(None), slice(i, i + 1))) for i, name in enumerate(names)]
    if layout.view == SPECTRUM:
        return found + [
            Region(_span(layout.bands, cut), (cut,)) for cut in _cuts(len(layout.bands), MOST_BANDS)
        ]
    return found + [Region(_numbers("sample", cut), (cut,)) for cut in _cuts(shape[0], _PARTS)]


def _by_channel(layout: Layout) -> list[Region]:
    """Of each channel the bands, which lie as many places apart as there are channels."""
    width = len(layout.channels)
    found = []
    for place, channel in enumerate(layout.channels):
        bands = [name.removesuffix(f", {channel}") for name in layout.bands[place::width]]
        for cut in _cuts(len(bands), max(_BLOCKS, MOST_BANDS // width)):
            rows = slice(place + cut.start * width, place + (cut.stop - 1) * width + 1, width)
            found.append(Region(f"{channel}, {_span(bands, cut)}", (slice(None), rows)))
    return found


def _channels(count: int, columns: Sequence[str]) -> tuple[str, ...]:
    """Names of several channels: the dataset's where it has one for each; empty for a single one."""
    if count < 2:
        return ()
    return tuple(columns) if len(columns) == count else tuple(f"channel {i}" for i in range(count))


def _band_names(edges: Sequence[float]) -> tuple[str, ...]:
    """Bands in Hz, with as many digits as tell the narrowest from its neighbours."""
    narrowest = min(b - a for a, b in itertools.pairwise(edges))
    digits = 0 if narrowest >= 1 else min(6, math.ceil(-math.log10(max(narrowest, 1e-6))))
    if digits == 0 and edges[-1] < 10:
        digits = 1
    return tuple(f"{a:.{digits}f}-{b:.{digits}f} Hz" for a, b in itertools.pairwise(edges))


def _hertz(low: float, high: float, bands: int, spacing: str) -> Sequence[float]:
    how = np.linspace if spacing == "equal" else np.geomspace
    return [float(edge) for edge in how(low, high, bands + 1)]


def _span(names: Sequence[str], cut: slice) -> str:
    first, last = names[cut.start], names[cut.stop - 1]
    if first == last:
        return first
    if first.endswith(" Hz") and "-" in first:
        return f"{first.split('-')[0]}-{last.split('-')[1]}"
    return f"{first} to {last}"


def _numbers(noun: str, cut: slice) -> str:
    return f"{noun} {cut.start}" if cut.stop == cut.start + 1 else f"{noun}s {cut.start}-{cut.stop - 1}"


def _cuts(size: int, most: int = _BLOCKS) -> list[slice]:
    edges = np.unique(np.linspace(0, size, min(size, most) + 1).astype(int))
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]
