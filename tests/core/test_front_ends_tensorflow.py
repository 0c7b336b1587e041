"""The front ends against an independent implementation: TensorFlow's signal module and image resizing.

TensorFlow's mel bands are compared in float64. What it gives in float32 differs by its own rounding, which the
tolerances are for: 1e-4 of a natural logarithm, and 0.01 of 255 grey levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeops.core.features.audio import MAGNITUDE, SPECTRA, mel_filters
from edgeops.core.features.steps import apply_steps, make_step

pytestmark = pytest.mark.slow  # the import of TensorFlow is

FRONT_ENDS = [
    (16_000, 640, 320, 1024, 40, 20, 7600),
    (8000, 320, 160, 512, 40, 20, 4000),
    (16_000, 400, 160, 512, 64, 60, 7800),
    (16_000, 480, 320, 512, 40, 20, 4000),
]
MELS = ("sample_rate_hz", "frame_length", "frame_step", "fft_length", "mels", "low_hz", "high_hz")


@pytest.fixture(scope="module")
def tf() -> Any:
    import tensorflow

    return tensorflow


def sound(samples: int) -> np.ndarray:
    """Noise that becomes louder, with two tones in it."""
    time = np.arange(samples)
    values = np.random.default_rng(7).normal(0, 0.3, samples) * np.linspace(1e-3, 1, samples)
    return (values + 0.2 * np.sin(time / 3) + 0.05 * np.sin(time / 11)).astype(np.float32)


def log_mel_of(tf: Any, signal: np.ndarray, spectrum: str, front_end: tuple[int, ...]) -> Any:
    """(frames, mels) as TensorFlow's guide to MFCC makes it."""
    rate, frame_length, frame_step, fft_length, mels, low, high = front_end
    spectra = tf.abs(tf.signal.stft(signal, frame_length, frame_step, fft_length))
    spectra = spectra if spectrum == MAGNITUDE else spectra**2
    weights = tf.signal.linear_to_mel_weight_matrix(mels, fft_length // 2 + 1, rate, low, high)
    return tf.math.log(tf.matmul(spectra, weights) + 1e-6)


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=str)
def test_mel_filters_are_tensorflows(tf: Any, front_end: tuple[int, ...]) -> None:
    rate, _, _, fft_length, mels, low, high = front_end
    theirs = tf.signal.linear_to_mel_weight_matrix(
        mels, fft_length // 2 + 1, rate, low, high, dtype=tf.float64
    ).numpy()
    np.testing.assert_allclose(mel_filters(mels, fft_length, rate, low, high), theirs, atol=1e-12)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=str)
def test_log_mel_and_mfcc_are_tensorflows(tf: Any, front_end: tuple[int, ...], spectrum: str) -> None:
    named = dict(zip(MELS, front_end, strict=True))
    signal = sound(front_end[0])
    theirs = log_mel_of(tf, signal, spectrum, front_end)
    ours = apply_steps([make_step("log_mel", **named, spectrum=spectrum)], signal)
    np.testing.assert_allclose(ours[..., 0], theirs.numpy(), atol=1e-4, rtol=0)
    coefficients = tf.signal.mfccs_from_log_mel_spectrograms(theirs)[:, :13].numpy()
    ours = apply_steps([make_step("mfcc", **named, spectrum=spectrum, coefficients=13)], signal)
    np.testing.assert_allclose(ours[..., 0], coefficients, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("shape", "height", "width"),
    [((20, 13, 3), 8, 8), ((7, 9, 1), 31, 40), ((120, 160, 3), 96, 96), ((1, 1, 2), 3, 5), ((6, 6, 3), 6, 6)],
    ids=str,
)
def test_resize_is_tensorflows(tf: Any, shape: tuple[int, ...], height: int, width: int) -> None:
    values = np.random.default_rng(3).uniform(0, 255, shape).astype(np.float32)
    theirs = tf.image.resize(values, (height, width), antialias=False).numpy()
    ours = apply_steps([make_step("resize", height=height, width=width)], values)
    np.testing.assert_allclose(ours, theirs, atol=0.01, rtol=0)
