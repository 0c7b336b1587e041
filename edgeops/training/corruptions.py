"""Declared corruptions of a model's inputs, to see how much of its accuracy is left under each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from edgeops.training.arrays import Float32

Corruption = Callable[[Float32, float, np.random.Generator], Float32]


def noise(x: Float32, severity: float, rng: np.random.Generator) -> Float32:
    """Gaussian noise of this standard deviation is added."""
    return (x + rng.normal(0.0, severity, x.shape)).astype(np.float32)


def gain(x: Float32, severity: float, rng: np.random.Generator) -> Float32:
    """Every value times ``severity``: a dimmed image, a sensor of other sensitivity."""
    del rng
    return (x * severity).astype(np.float32)


def offset(x: Float32, severity: float, rng: np.random.Generator) -> Float32:
    """``severity`` is added to every value."""
    del rng
    return (x + severity).astype(np.float32)


def shift(x: Float32, severity: float, rng: np.random.Generator) -> Float32:
    """Moved along the first axis by up to ``severity`` steps, either way; what enters repeats the edge."""
    by = rng.integers(-int(severity), int(severity) + 1, len(x))
    source = np.clip(np.arange(x.shape[1]) - by[:, None], 0, x.shape[1] - 1)
    return x[np.arange(len(x))[:, None], source]


def blur(x: Float32, severity: float, rng: np.random.Generator) -> Float32:
    """A Gaussian of deviation ``severity`` along the first axis, and along the second where there is one."""
    del rng
    radius = max(1, round(3 * severity))
    place = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (place / max(severity, 1e-6)) ** 2)
    kernel /= kernel.sum()
    for axis in (1, 2) if x.ndim >= 4 else (1,):
        padded = np.pad(x, [(radius, radius) if a == axis else (0, 0) for a in range(x.ndim)], mode="edge")
        size = x.shape[axis]
        x = sum(
            (weight * padded.take(range(i, i + size), axis=axis) for i, weight in enumerate(kernel)),
            np.zeros_like(x),
        )
    return x.astype(np.float32)


def dropout(x: Float32, severity: float, rng: np.random.Generator) -> Float32:
    """This share of the values set to zero: dead pixels, lost samples."""
    return np.where(rng.random(x.shape) < severity, np.float32(0), x)


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {"noise": noise, "gain": gain, "offset": offset, "shift": shift, "blur": blur, "dropout": dropout}
)


def corrupted(name: str, x: Float32, severity: float, seed: int) -> Float32:
    """``x`` (N, *shape) under one of ``CORRUPTIONS``; the same seed gives the same."""
    return CORRUPTIONS[name](x, severity, np.random.default_rng(seed))
