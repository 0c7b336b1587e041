"""Short-time spectra, of which the audio and series front ends are made. In float64: see ``power_spectra``."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError

Float64 = NDArray[np.float64]

MAX_POINTS = 2**26  # of all frames of one item together, 512 MiB in float64


def check_fft_length(fft_length: int, frame_length: int) -> None:
    """Raise ``InputError`` for an FFT that is no power of two, or shorter than a frame."""
    if fft_length & (fft_length - 1) or fft_length < frame_length:
        raise InputError(
            f"'fft_length' is a power of two that holds a frame of {frame_length} samples, not {fft_length}",
            parameter="fft_length",
        )


def check_frequencies(low_hz: float, high_hz: float, sample_rate_hz: float) -> None:
    """Raise ``InputError`` unless 0 <= low < high <= half the sample rate."""
    if not 0 <= low_hz < high_hz <= sample_rate_hz / 2:
        raise InputError(
            f"'low_hz' {low_hz:g} lies below 'high_hz' {high_hz:g}, and that at most at half the sample rate, "
            f"{sample_rate_hz / 2:g} Hz",
            parameter="high_hz",
        )


def frame_count(samples: int, frame_length: int, frame_step: int, fft_length: int) -> int:
    """How many whole frames a signal has; raises ``InputError`` when it is shorter than one, or for too many."""
    if samples < frame_length:
        raise InputError(f"{samples} samples are less than one frame of {frame_length}", samples=samples)
    frames = 1 + (samples - frame_length) // frame_step
    if frames * fft_length > MAX_POINTS:
        raise InputError(
            f"{frames} frames of {fft_length} points are too much to transform; take a longer 'frame_step'",
            parameter="frame_step",
        )
    return frames


@lru_cache(maxsize=16)
def hann(length: int) -> Float64:
    """The periodic Hann window: 0.5 - 0.5 * cos(2 * pi * n / length)."""
    return _read_only(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length))


def power_spectra(signal: Float64, frame_length: int, frame_step: int, fft_length: int) -> Float64:
    """|FFT|**2 of each frame under a periodic Hann window: float64 (samples,) to (frames, fft_length / 2 + 1).

    A frame is padded with zeros at its end. Always in float64: NumPy 1 transforms in it and NumPy 2 would
    not, and rounded to float32 afterwards the platforms agree.
    """
    frames = np.lib.stride_tricks.sliding_window_view(signal, frame_length)[::frame_step]
    spectra = np.fft.rfft(frames * hann(frame_length), fft_length, axis=-1)
    power: Float64 = np.square(spectra.real)
    power += np.square(spectra.imag)
    return power


def log_of(values: Float64, offset: float, floor: float) -> Float64:
    """The natural logarithm of max(values + offset, floor)."""
    result: Float64 = np.log(np.maximum(values + offset, floor))
    return result


def _read_only(values: Float64) -> Float64:
    values.flags.writeable = False
    return values
