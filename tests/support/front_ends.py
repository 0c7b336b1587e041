"""Front ends to try: the parameters of a speech and of a vibration one, values, and one step run on them."""

from __future__ import annotations

import numpy as np

from edgeops.core.features.steps import apply_steps, make_step

Shape = tuple[int, ...]
SPEECH = {
    "sample_rate_hz": 8000,
    "frame_length": 200,
    "frame_step": 100,
    "fft_length": 256,
    "mels": 12,
    "low_hz": 100,
    "high_hz": 4000,
}
BANDS = {"sample_rate_hz": 1000, "fft_length": 64, "bands": 8, "high_hz": 500}


def values_of(shape: Shape, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 20, shape).astype(np.float32)


def run(op: str, values: np.ndarray, **named: object) -> np.ndarray:
    return apply_steps([make_step(op, **named)], values.astype(np.float32))
