"""Random changes of training inputs, drawn anew for every batch; the same generator gives the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.training.arrays import Float32
from edgeops.training.recipe.sections import Augmentation


def augmented(inputs: Float32, how: Augmentation, rng: np.random.Generator) -> Float32:
    """Each of (N, *shape) changed once at random within the limits of ``how``; images are (N, h, w, c)."""
    x: NDArray[Any] = inputs
    if how.moves:
        x = _moved(x, how, rng)
    if how.flip:
        mirrored = rng.random(len(x)) < 0.5
        x = np.where(mirrored[:, None, None, None], x[:, :, ::-1], x)
    if how.shift_steps:
        x = _shifted(x, rng.integers(-how.shift_steps, how.shift_steps + 1, len(x)))
    per_item = (len(x), *(1,) * (x.ndim - 1))
    if how.gain:
        x = x * rng.uniform(1 - how.gain, 1 + how.gain, per_item)
    if how.offset:
        x = x + rng.uniform(-how.offset, how.offset, per_item)
    if how.noise:
        x = x + rng.normal(0.0, how.noise, x.shape)
    for axis, longest in ((1, how.mask_steps), (2, how.mask_bands)):
        if longest and x.ndim > axis:
            x = _masked(x, axis, longest, rng)
    return np.ascontiguousarray(x, dtype=np.float32)


def _shifted(x: Float32, by: NDArray[np.int64]) -> Float32:
    """Along the first axis; what enters repeats the edge."""
    length = x.shape[1]
    source = np.clip(np.arange(length) - by[:, None], 0, length - 1)
    return x[np.arange(len(x))[:, None], source]


def _masked(x: Float32, axis: int, longest: int, rng: np.random.Generator) -> Float32:
    """A run of up to ``longest`` along ``axis`` set to the item's mean (Park et al. 2019, SpecAugment)."""
    size = x.shape[axis]
    width = rng.integers(0, min(longest, size) + 1, len(x))
    start = (rng.random(len(x)) * (size - width + 1)).astype(np.int64)
    place = np.arange(size)
    hidden = (place >= start[:, None]) & (place < (start + width)[:, None])
    hidden = hidden.reshape(len(x), *(size if a == axis else 1 for a in range(1, x.ndim)))
    mean = x.mean(axis=tuple(range(1, x.ndim)), keepdims=True)
    return np.where(hidden, mean, x)


def _moved(images: Float32, how: Augmentation, rng: np.random.Generator) -> Float32:
    """Images turned, moved and zoomed, bilinear, zero outside."""
    n, height, width, _ = images.shape
    angle = np.deg2rad(rng.uniform(-how.rotation_degrees, how.rotation_degrees, n))
    zoom = 1 + rng.uniform(-how.zoom, how.zoom, n)
    shift_y, shift_x = rng.uniform(-how.shift_pixels, how.shift_pixels, (2, n))
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    y, x = np.mgrid[:height, :width].reshape(2, 1, -1).astype(np.float64)
    dy = y - centre_y - shift_y[:, None]
    dx = x - centre_x - shift_x[:, None]
    from_y = cosine[:, None] * dy - sine[:, None] * dx + centre_y
    from_x = sine[:, None] * dy + cosine[:, None] * dx + centre_x
    return _bilinear(images, from_y, from_x)


def _bilinear(images: Float32, y: NDArray[np.float64], x: NDArray[np.float64]) -> Float32:
    """Values of each image at (N, height * width) positions."""
    n, height, width, channels = images.shape
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    top, left = np.minimum(top, height), np.minimum(left, width)
    down, right = (y - top)[..., None], (x - left)[..., None]
    item = np.arange(n)[:, None]
    upper = padded[item, top, left] * (1 - right) + padded[item, top, left + 1] * right
    lower = padded[item, top + 1, left] * (1 - right) + padded[item, top + 1, left + 1] * right
    moved = upper * (1 - down) + lower * down
    return moved.reshape(n, height, width, channels).astype(np.float32)
