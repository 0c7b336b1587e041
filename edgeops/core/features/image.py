"""Front ends of images (height, width, channels): resize, grey, normalise.

Computed in float32, element by element in a fixed order, so that a batch gives what its items give and a
microcontroller can follow.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError

Float32 = NDArray[np.float32]
Shape = tuple[int, ...]

# luma of ITU-R BT.601
_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)


def resize_shape(shape: Shape, *, height: int, width: int) -> Shape:
    """The shape of ``resize``; raises ``InputError`` for anything but (height, width, channels)."""
    return (height, width, _image(shape)[2])


def resize(images: Float32, *, height: int, width: int) -> Float32:
    """(..., H, W, C) to (..., height, width, C), bilinear with half-pixel centres and no antialiasing.

    An output pixel x lies at (x + 0.5) * W / width - 0.5 of the input, whose edge pixels go on beyond it:
    ``tf.image.resize(..., antialias=False)``.
    """
    _image(images.shape[-3:])
    left, right, across = _neighbours(images.shape[-2], width)
    top, bottom, down = _neighbours(images.shape[-3], height)
    across, down = across[:, np.newaxis], down[:, np.newaxis, np.newaxis]
    rows = images[..., left, :]
    rows = rows + (images[..., right, :] - rows) * across
    above = rows[..., top, :, :]
    result: Float32 = above + (rows[..., bottom, :, :] - above) * down
    return result


@lru_cache(maxsize=32)
def _neighbours(size: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Float32]:
    """For each output pixel of one axis: the input pixels on both sides, and the weight of the second."""
    place = (np.arange(wanted) + 0.5) * (size / wanted) - 0.5
    low = np.floor(place)
    first = np.clip(low, 0, size - 1).astype(np.intp)
    second = np.clip(low + 1, 0, size - 1).astype(np.intp)
    return first, second, (place - low).astype(np.float32)


def grey_shape(shape: Shape) -> Shape:
    """The shape of ``grey``; raises ``InputError`` for anything but (height, width, 1 or 3)."""
    height, width, channels = _image(shape)
    if channels not in (1, 3):
        raise InputError(f"an image needs 1 or 3 channels, not {channels}", shape=shape)
    return (height, width, 1)


def grey(images: Float32) -> Float32:
    """(..., H, W, 3) red, green, blue to (..., H, W, 1) luma, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    An image of one channel is grey already.
    """
    if grey_shape(images.shape[-3:]) == images.shape[-3:]:
        return images
    red, green, blue = images[..., 0], images[..., 1], images[..., 2]
    luma: Float32 = red * _RED + green * _GREEN + blue * _BLUE
    return luma[..., np.newaxis]


def normalise_shape(shape: Shape, *, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Shape:
    """The shape of ``normalise``; raises ``InputError`` where there are three means for another last axis."""
    if len(mean) != len(deviation) or (len(mean) > 1 and shape[-1:] != (len(mean),)):
        raise InputError(
            f"{len(mean)} means and {len(deviation)} deviations do not suit a last axis of {shape[-1:]}",
            shape=shape,
        )
    return shape


def normalise(values: Float32, *, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Float32:
    """(x - mean) / deviation, one pair for all values or one for each channel (the last axis)."""
    normalise_shape(values.shape[-1:], mean=mean, deviation=deviation)
    return (values - _vector(mean)) / _vector(deviation)


def unnormalise(values: Float32, *, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Float32:
    """The inverse of ``normalise``."""
    normalise_shape(values.shape[-1:], mean=mean, deviation=deviation)
    return values * _vector(deviation) + _vector(mean)


def _vector(numbers: tuple[float, ...]) -> Float32:
    return np.array(numbers, np.float32)


def _image(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"an image needs the shape (height, width, channels), not {shape}", shape=shape)
    return (shape[0], shape[1], shape[2])
