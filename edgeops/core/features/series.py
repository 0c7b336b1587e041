"""Front ends of sensor series (samples,) or (samples, channels): detrend, standardise, taper, FFT bands.

float32 in and out, float64 in between: sums over a window need it, and rounded afterwards the platforms
agree. Channels are independent unless the text says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError
from edgeops.core.features.spectrum import (
    Float64,
    check_fft_length,
    check_frequencies,
    frame_count,
    hann,
    log_of,
    power_spectra,
)

Float32 = NDArray[np.float32]
Shape = tuple[int, ...]

CONSTANT, LINEAR = TRENDS = ("constant", "linear")
CHANNEL, WINDOW = SHARES = ("channel", "window")
EQUAL, LOGARITHMIC = SPACINGS = ("equal", "log")


def series_shape(shape: Shape, **_: object) -> Shape:
    """The shape of what keeps it; raises ``InputError`` for anything but (samples,) or (samples, channels)."""
    if len(shape) not in (1, 2) or 0 in shape:
        raise InputError(
            f"a series needs the shape (samples,) or (samples, channels), not {shape}", shape=shape
        )
    return shape


def detrend(series: Float32, *, kind: str) -> Float32:
    """The series less its mean (``constant``) or its least-squares line (``linear``), of its own shape."""
    values = _wide(series)
    values = values - values.mean(axis=0)
    if kind == LINEAR and len(values) > 1:
        time = np.arange(len(values)) - (len(values) - 1) / 2
        slope = (time[:, np.newaxis] * values).sum(axis=0) / (time**2).sum()
        values = values - time[:, np.newaxis] * slope
    return _narrow(values, series.shape)


def standardise(series: Float32, *, per: str, floor: float) -> Float32:
    """(x - mean) / max(deviation, floor), both of each channel or of the whole window (``per``)."""
    values = _wide(series)
    axis = 0 if per == CHANNEL else None
    deviation = values.std(axis=axis)  # of the population: divided by n
    return _narrow((values - values.mean(axis=axis)) / np.maximum(deviation, floor), series.shape)


def rms_scale(series: Float32, *, per: str, floor: float) -> Float32:
    """Divide by max(root mean square, floor), of each channel or of the whole window (``per``)."""
    values = _wide(series)
    rms = np.sqrt((values**2).mean(axis=0 if per == CHANNEL else None))
    return _narrow(values / np.maximum(rms, floor), series.shape)


def taper(series: Float32, *, share: float) -> Float32:
    """The series under a symmetric tapered cosine (Tukey) window: ``share`` of it rises and falls.

    0 changes nothing, 1 is a Hann window.
    """
    series_shape(series.shape)
    return _narrow(_wide(series) * _tukey(len(series), share)[:, np.newaxis], series.shape)


@lru_cache(maxsize=16)
def _tukey(length: int, share: float) -> Float64:
    if share == 0 or length < 2:
        return np.ones(length)
    place = np.arange(length) / (length - 1)
    from_end = np.minimum(place, 1 - place)
    weights: Float64 = 0.5 - 0.5 * np.cos(np.pi * np.minimum(2 * from_end / share, 1.0))
    weights.flags.writeable = False
    return weights


@dataclass(frozen=True, slots=True)
class FftBands:
    """Parameters of ``fft_bands``; ``frame_step`` 0 takes the whole series as one frame."""

    sample_rate_hz: float
    fft_length: int
    frame_step: int
    bands: int
    low_hz: float
    high_hz: float
    spacing: str
    floor: float


def fft_bands_shape(shape: Shape, how: FftBands) -> Shape:
    """The shape of ``fft_bands``; raises ``InputError`` where series and parameters do not belong together."""
    if series_shape(shape)[0] < 2:
        raise InputError("a single sample has no spectrum", shape=shape)
    channels = shape[1] if len(shape) == 2 else 1
    check_fft_length(how.fft_length, how.fft_length if how.frame_step else shape[0])
    band_edges(how)
    if not how.frame_step:
        return (how.bands, channels)
    return (frame_count(shape[0], how.fft_length, how.frame_step, how.fft_length), how.bands * channels)


def fft_bands(series: Float32, how: FftBands) -> Float32:
    """log(max(power, floor)) of frequency bands: (bands, channels), or (frames, bands * channels) of frames.

    The power of a band is the mean square that the frame's content in it has, in the square of the series'
    unit: 2 * |X|**2 / (n * sum(w**2)) summed over its bins, without the 2 at 0 Hz and at half the sample
    rate, for an FFT of n points under a periodic Hann window w. With ``frame_step`` frames of n samples
    begin at every so many, and a row holds all channels of the first band, then of the next; without it the
    whole series is one frame, padded with zeros to n.
    """
    fft_bands_shape(series.shape, how)
    values = _wide(series)
    frame_length = how.fft_length if how.frame_step else len(values)
    edges = band_edges(how)
    weights = np.full(how.fft_length // 2 + 1, 2 / (how.fft_length * (hann(frame_length) ** 2).sum()))
    weights[[0, -1]] /= 2
    channels = []
    for column in values.T:
        spectra = power_spectra(column, frame_length, how.frame_step or 1, how.fft_length) * weights
        channels.append(np.add.reduceat(spectra[:, : edges[-1]], edges[:-1], axis=1))
    logs = log_of(np.stack(channels, axis=-1), 0.0, how.floor).astype(np.float32)
    return logs.reshape(len(logs), -1) if how.frame_step else logs[0]


@lru_cache(maxsize=16)
def band_edges(how: FftBands) -> NDArray[np.intp]:
    """(bands + 1,): the first bin of each band, and the one after the last band's last.

    The edges in Hz are spaced equally or logarithmically. A bin lies in the band whose lower edge it is not
    below; the last band has its upper edge too. Raises ``InputError`` for a band without a bin.
    """
    check_frequencies(how.low_hz, how.high_hz, how.sample_rate_hz)
    if how.spacing == LOGARITHMIC:
        if how.low_hz == 0:
            raise InputError("logarithmic bands need a 'low_hz' above 0", parameter="low_hz")
        hz = np.geomspace(how.low_hz, how.high_hz, how.bands + 1)
    else:
        hz = np.linspace(how.low_hz, how.high_hz, how.bands + 1)
    place = hz * (how.fft_length / how.sample_rate_hz)
    # a rounding error must not move a bin that lies on an edge
    edges = np.ceil(place - 1e-6).astype(np.intp)
    edges[-1] = int(np.floor(place[-1] + 1e-6)) + 1
    if empty := int((np.diff(edges) < 1).sum()):
        raise InputError(
            f"{empty} of {how.bands} 'bands' hold no bin of an 'fft_length' of {how.fft_length}; take fewer "
            "bands or a longer FFT",
            parameter="bands",
        )
    edges.flags.writeable = False
    return edges


def _wide(series: Float32) -> Float64:
    series_shape(series.shape)
    return series.reshape(len(series), -1).astype(np.float64)


def _narrow(values: Float64, shape: Shape) -> Float32:
    return values.astype(np.float32).reshape(shape)
