"""Captured inputs as files: pictures, sounds, and arrays of anything else."""

from __future__ import annotations

import io
import wave
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.packages import build

from edgeops.control.label_files import as_file
from edgeops.core.errors import InputError
from edgeops.core.features.steps import make_step, quantized_input, scale_step
from edgeops.core.manifest import Manifest, TensorContract
from edgeops.core.tensors import TensorSpec

MANIFEST = build().manifest
TENSOR = bytes(range(64))


def taking(shape: tuple[int, ...], factor: float) -> Manifest:
    """The tiny model's contract, for raw values of ``factor`` times what it takes: about -1 to 1 before."""
    contract = TensorContract.of(TensorSpec(shape, "int8", 1 / 128, 0), "level")
    return replace(MANIFEST, input=contract, preprocessing=(scale_step(1 / factor, 0.0),), source=None)


def test_pixels_are_as_the_sensor_gave_them() -> None:
    manifest = replace(taking((8, 8, 3), 128.0), preprocessing=(scale_step(1 / 128, -1.0),))
    raw = np.random.default_rng(1).integers(0, 255, (8, 8, 3)).astype(np.float32)
    made = as_file(manifest, "image", 0.0, quantized_input(manifest, raw).tobytes())
    assert (made.suffix, made.exact) == (".png", True)
    shown = np.asarray(Image.open(io.BytesIO(made.content)))
    assert np.abs(shown.astype(int) - raw).max() <= 1


@pytest.mark.parametrize(("factor", "expected"), [(32_768.0, 16_384), (1.0, 16_383)])
def test_a_sound_is_as_loud_as_it_was_whatever_its_unit(factor: float, expected: int) -> None:
    manifest = taking((64,), factor)
    raw = np.full(64, factor / 2, np.float32)
    made = as_file(manifest, "audio", 8000.0, quantized_input(manifest, raw).tobytes())
    assert made.suffix == ".wav"
    with wave.open(io.BytesIO(made.content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 1, 64)
        assert abs(int(np.frombuffer(file.readframes(1), "<i2")[0]) - expected) <= 1


def test_anything_else_is_an_array_in_raw_units() -> None:
    made = as_file(taking((64,), 4.0), "series", 100.0, TENSOR)
    assert made.suffix == ".npy"
    assert np.load(io.BytesIO(made.content)) == pytest.approx(np.arange(64) / 32)


def test_where_the_front_end_cannot_be_undone_the_models_own_input_is_shown() -> None:
    manifest = replace(taking((8, 8, 1), 1.0), preprocessing=(make_step("resize", height=8, width=8),))
    made = as_file(manifest, "image", 0.0, TENSOR)
    assert (made.suffix, made.exact) == (".png", False)


def test_a_tensor_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="3 values were captured"):
        as_file(MANIFEST, "image", 0.0, b"abc")
