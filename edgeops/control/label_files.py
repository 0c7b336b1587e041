"""A captured input as a file that a person can look at or listen to, and back from its name to what it is of."""

from __future__ import annotations

import io
import re
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError
from edgeops.core.features.quantize import dequantize
from edgeops.core.features.steps import raw_input, undoable
from edgeops.core.manifest import Manifest
from edgeops.reports.dataset_page import png
from edgeops.training.arrays import Float32

_STEM = re.compile(r"^([0-9a-f]{40})-(.+)$")
_DARK = 128  # an image whose values cannot go above it is made brighter, to be seen
_BRIGHT = 512


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A file's suffix and its content; ``exact`` where the front end could be undone."""

    suffix: str
    content: bytes
    exact: bool


def stem_of(prediction: str, device_id: str) -> str:
    """The file name of a captured input, without its suffix."""
    return f"{prediction}-{device_id}"


def sample_of(file_name: str) -> tuple[str, str] | None:
    """(prediction, device) that a file's name stands for; None for any other name."""
    found = _STEM.match(file_name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0])
    return (found.group(1), found.group(2)) if found else None


def tensor_of(manifest: Manifest, tensor: bytes) -> NDArray[np.int8]:
    """A captured tensor in the model's input shape; raises ``InputError`` for another size."""
    shape = tuple(manifest.input.spec.shape)
    if len(tensor) != int(np.prod(shape)):
        raise InputError(f"{len(tensor)} values were captured where the model takes {shape}")
    return np.frombuffer(tensor, np.int8).reshape(shape)


def as_file(manifest: Manifest, kind: str, sample_rate_hz: float, tensor: bytes) -> SampleFile:
    """PNG of an image, WAV of a sound; an array (``.npy``, float32, in raw units) of anything else.

    Where preprocessing cannot be undone the model's own input is shown: an image still, else an array. Raises
    ``InputError`` for a tensor of another size.
    """
    quantized = tensor_of(manifest, tensor)
    exact = undoable(manifest.preprocessing)
    values = _shown(manifest, quantized, exact)
    if kind == "image" and _is_image(values):
        return SampleFile(".png", png(_pixels(values, *_range(manifest, exact))), exact)
    if kind == "audio" and exact and sample_rate_hz >= 1 and values.reshape(-1).shape[0] == values.shape[0]:
        return SampleFile(".wav", _wav(values.reshape(-1), _range(manifest, exact)[1], sample_rate_hz), exact)
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return SampleFile(".npy", buffer.getvalue(), exact)


def _shown(manifest: Manifest, quantized: NDArray[np.int8], exact: bool) -> Float32:
    if exact:
        return raw_input(manifest, quantized).reshape(manifest.raw_shape)
    spec = manifest.input.spec
    return dequantize(quantized, spec.scale, spec.zero_point)


def _range(manifest: Manifest, exact: bool) -> tuple[float, float]:
    """The least and the largest value that the model can be given, in the unit that is shown."""
    shape = tuple(manifest.input.spec.shape)
    ends = [_shown(manifest, np.full(shape, end, np.int8), exact) for end in (-128, 127)]
    return float(min(end.min() for end in ends)), float(max(end.max() for end in ends))


def _is_image(values: Float32) -> bool:
    return values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (1, 3))


def _pixels(values: Float32, low: float, high: float) -> NDArray[np.uint8]:
    """uint8: as they are where they are pixels already, else stretched over what the model can be given."""
    if not (_DARK < high <= _BRIGHT and low > -_DARK):
        values = (values - low) * np.float32(255 / ((high - low) or 1.0))
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _wav(values: Float32, high: float, sample_rate_hz: float) -> bytes:
    """One channel of 16 bits; values from -1 to 1 are made as loud as they were."""
    loud = values if high > 2 else values * np.float32(32_767)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(round(sample_rate_hz))
        file.writeframes(np.clip(np.rint(loud), -32_768, 32_767).astype("<i2").tobytes())
    return buffer.getvalue()
