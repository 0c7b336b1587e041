"""From a dataset's raw inputs to what a model takes, and random moves of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeops.core.features.steps import apply_steps
from edgeops.data.items import Inputs
from edgeops.training.recipe import Augmentation, Recipe

Float32 = NDArray[np.float32]


def model_inputs(recipe: Recipe, raw: Inputs) -> Float32:
    """Raw (N, *shape) uint8 or float32 to the model's float32, preprocessed; images get a channel axis."""
    values = np.asarray(apply_steps(recipe.preprocessing.steps, raw.astype(np.float32)), dtype=np.float32)
    if recipe.data.kind == "image" and values.ndim == 3:
        values = values[..., np.newaxis]
    return values


def augmented(images: Float32, how: Augmentation, rng: np.random.Generator) -> Float32:
    """Each of (N, height, width, channels) turned, moved and zoomed once at random, bilinear, zero outside.

    Raises nothing; the same generator state gives the same result.
    """
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
