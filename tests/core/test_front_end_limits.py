"""Front ends at their limits: silence, constants, what is too short, too large or no number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import InputError
from edgeops.core.features.steps import apply_steps, apply_to_batch, make_step, named_parameters, output_shape
from edgeops.core.manifest import Step

MEL = {"sample_rate_hz": 16000, "fft_length": 512, "mels": 20, "low_hz": 20, "high_hz": 4000}
STEPS = {
    "log_mel": make_step("log_mel", frame_length=480, frame_step=320, **MEL),
    "mfcc": make_step("mfcc", frame_length=480, frame_step=320, coefficients=10, **MEL),
    "detrend": make_step("detrend", kind="constant"),
    "standardise": make_step("standardise"),
    "rms_scale": make_step("rms_scale"),
    "taper": make_step("taper"),
    "fft_bands": make_step("fft_bands", sample_rate_hz=16000, fft_length=2048, bands=16, high_hz=8000),
    "frames": make_step(
        "fft_bands", sample_rate_hz=16000, fft_length=256, frame_step=128, bands=8, high_hz=8000
    ),
    "fit_length": make_step("fit_length", samples=1000),
}
SIGNALS = {
    "silence": np.zeros((2048, 1)),
    "constant": np.full((2048, 1), 7.0),
    "tiny": np.full((2048, 1), 1e-45),
    "huge": np.where(np.arange(2048) % 3, 1e37, -1e37)[:, np.newaxis],
}


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("name", STEPS)
def test_silence_constants_and_extremes_give_numbers(name: str, signal: str) -> None:
    values = SIGNALS[signal].astype(np.float32)
    alone = apply_steps([STEPS[name]], values)
    assert alone.dtype == np.float32 and np.isfinite(alone).all()
    batch = apply_to_batch([STEPS[name]], np.stack([values, values[::-1]]))
    assert np.array_equal(batch[0], alone)
    assert apply_to_batch([STEPS[name]], np.zeros((0, *values.shape), np.float32)).shape == (0, *alone.shape)


@pytest.mark.parametrize("name", ["log_mel", "mfcc", "frames"])
def test_a_window_that_is_longer_than_the_recording_is_named(name: str) -> None:
    with pytest.raises(InputError, match="less than one frame"):
        apply_steps([STEPS[name]], np.zeros((100, 1), np.float32))


@pytest.mark.parametrize(
    "step",
    [
        make_step("log_mel", frame_length=16_384, frame_step=1, **{**MEL, "fft_length": 16_384, "mels": 1}),
        make_step("fft_bands", sample_rate_hz=16000, fft_length=16_384, frame_step=1, bands=1, high_hz=8000),
    ],
)
def test_spectra_that_would_fill_the_memory_are_refused_before_they_are_computed(step: Step) -> None:
    assert output_shape([step], (20_000, 1))
    with pytest.raises(InputError, match=r"frames of 16384 points are too much.*frame_step"):
        output_shape([step], (2**24,))


@given(
    st.sampled_from([("scale", "factor"), ("normalise", "mean"), ("fit_length", "samples")]),
    st.one_of(
        st.integers(min_value=10**10, max_value=10**400),
        st.floats(min_value=1e10),
        st.integers(max_value=-(10**10)),
        st.just(float("nan")),
    ),
)
def test_a_number_that_no_manifest_can_carry_is_refused_by_name(which: tuple[str, str], value: float) -> None:
    op, name = which
    rest = {"deviation": 1.0} if op == "normalise" else {}
    with pytest.raises(InputError, match=name):
        make_step(op, **{name: value, **rest})


@given(st.lists(st.integers(), max_size=4), st.sampled_from([10**30, -(10**400), 2**63, -(2**63)]))
def test_so_is_one_that_a_manifest_carries_all_the_same(others: list[int], value: int) -> None:
    with pytest.raises(InputError):
        named_parameters(Step("scale", (value, *others)))
