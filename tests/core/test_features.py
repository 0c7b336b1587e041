"""Preprocessing: the same in training and on the device, and undone within half a step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.packages import build, image

from edgeops.core.errors import InputError
from edgeops.core.features.quantize import dequantize, quantize
from edgeops.core.features.steps import (
    apply_steps,
    check_input,
    make_step,
    quantized_input,
    raw_input,
    scale_step,
    undo_steps,
    undoable,
)
from edgeops.core.manifest import RawContract, Step

MANIFEST = build().manifest
SCALES = st.floats(2**-12, 4, width=32)
POINTS = st.integers(-128, 127)


class TestQuantize:
    @given(hnp.arrays(np.int8, 20), SCALES, POINTS)
    def test_every_int8_comes_back(self, values: np.ndarray, scale: float, zero_point: int) -> None:
        assert (quantize(dequantize(values, scale, zero_point), scale, zero_point) == values).all()

    @given(hnp.arrays(np.float32, 20, elements=st.floats(-100, 100, width=32)), SCALES, POINTS)
    def test_no_further_than_half_a_step_inside_the_range(
        self, values: np.ndarray, scale: float, zero_point: int
    ) -> None:
        low, high = ((q - zero_point) * scale for q in (-128, 127))
        inside = values[(values >= low) & (values <= high)]
        back = dequantize(quantize(inside, scale, zero_point), scale, zero_point)
        assert (np.abs(back - inside) <= scale * 0.501 + 1e-4).all()

    def test_the_range_is_a_wall(self) -> None:
        assert quantize(np.array([-1e9, 1e9], np.float32), 0.1, 3).tolist() == [-128, 127]

    def test_halves_go_to_the_even_step(self) -> None:
        halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32)
        assert quantize(halves, 1.0, 0).tolist() == [0, 2, 2, 0, -2]


class TestSteps:
    @given(
        hnp.arrays(np.float32, 10, elements=st.floats(-100, 100, width=32)),
        st.lists(st.tuples(st.floats(0.01, 10), st.floats(-10, 10)), max_size=3),
    )
    def test_undo_undoes(self, values: np.ndarray, parameters: list[tuple[float, float]]) -> None:
        steps = [scale_step(factor, offset) for factor, offset in parameters]
        assert np.allclose(undo_steps(steps, apply_steps(steps, values)), values, atol=1.0, rtol=1e-3)

    def test_no_step_changes_nothing(self) -> None:
        values = np.arange(4, dtype=np.float32)
        assert apply_steps([], values) is values

    @pytest.mark.parametrize("step", [Step("mfcc", (1,)), Step("scale", (1,)), Step("scale", ())])
    def test_an_unknown_step_is_named(self, step: Step) -> None:
        for run in (apply_steps, undo_steps):
            with pytest.raises(InputError, match=step.op):
                run([step], np.zeros(3, np.float32))

    def test_a_factor_of_0_cannot_be_undone(self) -> None:
        with pytest.raises(InputError, match="undone"):
            undo_steps([scale_step(0.0, 1.0)], np.zeros(3, np.float32))

    @given(hnp.arrays(np.int8, (8, 8, 1)))
    def test_a_captured_input_becomes_the_same_quantized_input_again(self, quantized: np.ndarray) -> None:
        raw = raw_input(MANIFEST, quantized)
        assume(np.isfinite(raw).all())
        assert (quantized_input(MANIFEST, raw) == quantized).all()


class TestCheckInput:
    @pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "float16", "float32", "float64"])
    def test_numbers_of_any_width_are_taken(self, dtype: str) -> None:
        checked = check_input(np.ones((8, 8, 1), dtype), MANIFEST)
        assert (checked.dtype, checked.shape) == (np.float32, (8, 8, 1))

    def test_a_missing_channel_of_one_is_added(self) -> None:
        assert check_input(image(), MANIFEST).shape == (8, 8, 1)
        assert check_input(image().tolist(), MANIFEST).shape == (8, 8, 1)

    @pytest.mark.parametrize(
        "shape", [(), (64,), (8,), (1, 8, 8), (1, 8, 8, 1), (8, 8, 3), (8, 7), (0,)], ids=str
    )
    def test_another_shape_is_refused_with_both_shapes(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(InputError, match=r"the model takes \(8, 8, 1\)"):
            check_input(np.zeros(shape, np.float32), MANIFEST)

    @pytest.mark.parametrize(
        "raw",
        [
            "text",
            None,
            object(),
            b"bytes",
            np.zeros((8, 8), bool),
            np.zeros((8, 8), complex),
            {"a": 1},
            np.zeros((8, 8), "datetime64[s]"),
            [["1"] * 8] * 8,
        ],
        ids=lambda raw: type(raw).__name__,
    )
    def test_another_dtype_is_refused(self, raw: object) -> None:
        with pytest.raises(InputError, match="dtype"):
            check_input(raw, MANIFEST)

    def test_a_ragged_list_is_refused(self) -> None:
        with pytest.raises(InputError, match="regular"):
            check_input([[1, 2], [3]], MANIFEST)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
    def test_what_is_not_finite_is_refused(self, value: float) -> None:
        raw = np.zeros((8, 8))
        raw[3, 3] = value
        with pytest.raises(InputError, match="NaN or infinity"):
            check_input(raw, MANIFEST)


class TestFrontEnd:
    """A manifest whose sensor gives something else than its model takes."""

    STEPS = (make_step("grey"), make_step("resize", height=8, width=8), scale_step(1 / 8, -1.0))
    CAMERA = replace(MANIFEST, preprocessing=STEPS, source=RawContract((20, 16, 3), "level"))

    def raw(self) -> np.ndarray:
        return np.random.default_rng(1).uniform(0, 16, (20, 16, 3)).astype(np.float32)

    def test_the_raw_input_is_checked_against_the_sensors_shape(self) -> None:
        assert check_input(self.raw(), self.CAMERA).shape == (20, 16, 3)
        with pytest.raises(InputError, match=r"the model takes \(20, 16, 3\)"):
            check_input(image(), self.CAMERA)

    def test_a_sound_may_come_with_or_without_its_one_channel(self) -> None:
        microphone = replace(MANIFEST, source=RawContract((30, 1), "level", 8_000_000))
        assert check_input(np.zeros(30), microphone).shape == (30, 1)

    def test_the_model_gets_what_the_steps_make_of_it(self) -> None:
        made = quantized_input(self.CAMERA, self.raw())
        spec = self.CAMERA.input.spec
        assert made.shape == (8, 8, 1)
        expected = quantize(apply_steps(self.STEPS, self.raw()), spec.scale, spec.zero_point)
        np.testing.assert_array_equal(made, expected)

    def test_steps_that_do_not_give_the_models_shape_are_refused(self) -> None:
        with pytest.raises(InputError, match=r"gives the shape \(20, 16, 1\); the model takes \(8, 8, 1\)"):
            quantized_input(replace(self.CAMERA, preprocessing=self.STEPS[:1]), self.raw())

    def test_an_input_that_the_steps_make_infinite_is_refused(self) -> None:
        huge = replace(MANIFEST, preprocessing=(scale_step(1e9, 0.0), scale_step(1e9, 0.0)))
        with pytest.raises(InputError, match="too large"):
            quantized_input(huge, np.full((8, 8), 1e30))

    def test_what_cannot_be_undone_is_named(self) -> None:
        assert not undoable(self.STEPS)
        with pytest.raises(InputError, match="'resize': it cannot be undone"):
            raw_input(self.CAMERA, np.zeros((8, 8, 1), np.int8))
