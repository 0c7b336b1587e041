"""Front ends of sounds: log-mel spectrograms and MFCC as TensorFlow's signal module defines them.

float32 in and out, float64 in between (see ``spectrum``). A sound is (samples,) or (samples, 1).
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
    log_of,
    power_spectra,
)

Float32 = NDArray[np.float32]
Shape = tuple[int, ...]

MAGNITUDE, POWER = SPECTRA = ("magnitude", "power")


def fit_length_shape(shape: Shape, *, samples: int) -> Shape:
    """The shape of ``fit_length``; raises ``InputError`` for a single number."""
    if not shape or 0 in shape:
        raise InputError(f"samples are needed along the first axis, not the shape {shape}", shape=shape)
    return (samples, *shape[1:])


def fit_length(values: Float32, *, samples: int) -> Float32:
    """(any, ...) to (samples, ...): what is longer is cut at both ends, what is shorter gets zeros at its end."""
    fit_length_shape(values.shape, samples=samples)
    spare = len(values) - samples
    if spare >= 0:
        return values[spare // 2 : spare // 2 + samples]
    return np.pad(values, [(0, -spare)] + [(0, 0)] * (values.ndim - 1))


@dataclass(frozen=True, slots=True)
class MelBands:
    """Parameters of ``log_mel``: lengths and steps in samples, ``spectrum`` one of ``SPECTRA``."""

    sample_rate_hz: float
    frame_length: int
    frame_step: int
    fft_length: int
    mels: int
    low_hz: float
    high_hz: float
    spectrum: str
    offset: float
    floor: float


def log_mel_shape(shape: Shape, bands: MelBands) -> Shape:
    """The shape of ``log_mel``; raises ``InputError`` where sound and parameters do not belong together."""
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        raise InputError(f"a sound needs the shape (samples,) or (samples, 1), not {shape}", shape=shape)
    check_fft_length(bands.fft_length, bands.frame_length)
    return (
        frame_count(shape[0], bands.frame_length, bands.frame_step, bands.fft_length),
        len(_triangles(bands)),
        1,
    )


def log_mel(sound: Float32, bands: MelBands) -> Float32:
    """float32 (samples,) or (samples, 1) to (frames, mels, 1): log(max(mel spectrum + offset, floor)).

    The spectrum (magnitude or power) of every whole frame under a periodic Hann window, weighted by
    ``mel_filters``; the natural logarithm. ``tf.signal.stft``, ``tf.signal.linear_to_mel_weight_matrix``.
    """
    log_mel_shape(sound.shape, bands)
    signal = sound.reshape(-1).astype(np.float64)
    spectra = power_spectra(signal, bands.frame_length, bands.frame_step, bands.fft_length)
    if bands.spectrum == MAGNITUDE:
        spectra = np.sqrt(spectra)
    triangles = _triangles(bands)
    sums = np.empty((len(spectra), len(triangles)))
    for band, (first, weights) in enumerate(triangles):
        sums[:, band] = spectra[:, first : first + len(weights)] @ weights
    return log_of(sums, bands.offset, bands.floor).astype(np.float32)[..., np.newaxis]


def mfcc_shape(shape: Shape, bands: MelBands, coefficients: int) -> Shape:
    """The shape of ``mfcc``; as ``log_mel_shape``, and there are no more coefficients than bands."""
    frames, mels, _ = log_mel_shape(shape, bands)
    if coefficients > mels:
        raise InputError(f"{mels} 'mels' give at most {mels} 'coefficients', not {coefficients}")
    return (frames, coefficients, 1)


def mfcc(sound: Float32, bands: MelBands, coefficients: int) -> Float32:
    """float32 (samples,) or (samples, 1) to (frames, coefficients, 1).

    The first coefficients of the DCT-II of ``log_mel`` with the factor sqrt(2 / mels), for coefficient 0 too:
    ``tf.signal.mfccs_from_log_mel_spectrograms``.
    """
    mfcc_shape(sound.shape, bands, coefficients)
    spectrogram = log_mel(sound, bands)[..., 0].astype(np.float64)
    return (spectrogram @ _cosines(bands.mels, coefficients)).astype(np.float32)[..., np.newaxis]


def mel_filters(mels: int, fft_length: int, sample_rate_hz: float, low_hz: float, high_hz: float) -> Float64:
    """Weights (fft_length / 2 + 1, mels) of triangular bands, equally spaced and straight on HTK's mel scale.

    mel = 1127 * ln(1 + f / 700); the bin at 0 Hz has no weight. ``tf.signal.linear_to_mel_weight_matrix``.
    Raises ``InputError`` for a band that no bin lies in: it would be constant.
    """
    check_frequencies(low_hz, high_hz, sample_rate_hz)
    hz: Float64 = np.arange(1, fft_length // 2 + 1) * np.float64(sample_rate_hz / fft_length)
    bins = _mel(hz)[:, np.newaxis]
    lowest, highest = _mel(np.array([low_hz, high_hz]))
    edges = np.linspace(lowest, highest, mels + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.zeros((fft_length // 2 + 1, mels))
    weights[1:] = np.maximum(0, np.minimum(rising, falling))
    if empty := int((weights.max(axis=0) <= 0).sum()):
        raise InputError(
            f"{empty} of {mels} 'mels' hold no bin of an 'fft_length' of {fft_length}; take fewer bands or a "
            "longer FFT",
            parameter="mels",
        )
    return weights


@lru_cache(maxsize=8)
def _triangles(bands: MelBands) -> tuple[tuple[int, Float64], ...]:
    """The columns of ``mel_filters`` without their zeros: the first bin of each, and its weights.

    One product a band: the whole matrix is nearly all zeros, and large enough for BLAS to start threads.
    """
    filters = mel_filters(bands.mels, bands.fft_length, bands.sample_rate_hz, bands.low_hz, bands.high_hz)
    found = [np.flatnonzero(column) for column in filters.T]
    return tuple(
        (int(bins[0]), np.ascontiguousarray(column[bins[0] : bins[-1] + 1]))
        for bins, column in zip(found, filters.T, strict=True)
    )


def _mel(hz: Float64) -> Float64:
    mel: Float64 = 1127.0 * np.log1p(hz / 700.0)
    return mel


@lru_cache(maxsize=8)
def _cosines(mels: int, coefficients: int) -> Float64:
    band, order = np.arange(mels)[:, np.newaxis] + 0.5, np.arange(coefficients)
    weights: Float64 = np.sqrt(2.0 / mels) * np.cos(np.pi / mels * band * order)
    weights.flags.writeable = False
    return weights
