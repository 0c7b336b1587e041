"""A simulated world: a camera that drifts (turned, flatter, out of focus). NumPy only, deterministic."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROTATION_DEGREES = (23.0, 31.0)
CONTRAST = (0.5, 0.62)
BLUR_SIGMA = (0.5, 0.68)


@dataclass(frozen=True, slots=True)
class Camera:
    """How a device sees: turned about the centre (degrees), darker by ``contrast``, blurred (σ in pixels)."""

    rotation_degrees: float
    contrast: float
    blur_sigma: float


def seeded(seed: int, *words: str) -> np.random.Generator:
    """A generator that depends on the seed and the words only: the same on every machine and run."""
    digest = hashlib.sha256("\0".join([str(seed), *words]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))


def camera_of(seed: int, device: str) -> Camera:
    """The drifted camera of one device."""
    draw = seeded(seed, "camera", device)
    return Camera(*(float(draw.uniform(*limits)) for limits in (ROTATION_DEGREES, CONTRAST, BLUR_SIGMA)))


def see(camera: Camera, image: NDArray[np.generic]) -> NDArray[np.float32]:
    """What the camera makes of an image (H, W): float32 (H, W) between 0 and the image's maximum."""
    values = np.asarray(image, np.float64)
    highest = max(float(values.max()), 0.0)
    turned = _rotated(values, np.deg2rad(camera.rotation_degrees))
    seen = _blurred(turned, camera.blur_sigma) * camera.contrast
    return np.clip(seen, 0.0, highest).astype(np.float32)


def _rotated(image: NDArray[np.float64], radians: float) -> NDArray[np.float64]:
    """Turned about its centre; bilinear, with zeros around."""
    height, width = image.shape
    row, column = (height - 1) / 2, (width - 1) / 2
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    cos, sin = np.cos(radians), np.sin(radians)
    from_y = cos * (y - row) + sin * (x - column) + row
    from_x = -sin * (y - row) + cos * (x - column) + column
    top, left = np.floor(from_y).astype(int), np.floor(from_x).astype(int)
    down, right = from_y - top, from_x - left
    result = np.zeros_like(image)
    for dy, dx, weight in (
        (0, 0, (1 - down) * (1 - right)),
        (0, 1, (1 - down) * right),
        (1, 0, down * (1 - right)),
        (1, 1, down * right),
    ):
        result += weight * _at(image, top + dy, left + dx)
    return result


def _at(image: NDArray[np.float64], rows: NDArray[np.int_], columns: NDArray[np.int_]) -> NDArray[np.float64]:
    """The pixels at the given places, zero outside."""
    height, width = image.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    picked = image[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    return np.where(inside, picked, 0.0)


def _blurred(image: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """A separable Gaussian of radius 3 σ, with zeros around."""
    if sigma <= 0:
        return image
    radius = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padding = [(radius, radius) if at == axis else (0, 0) for at in (0, 1)]
        padded = np.pad(image, padding)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=axis)
        image = windows @ kernel
    return image
