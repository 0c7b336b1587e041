"""The laws that all front ends keep, drawn at random, and the steps and shapes that all of them refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.front_ends import BANDS, SPEECH, Shape, run, values_of

from edgeops.core.errors import InputError
from edgeops.core.features import audio, series
from edgeops.core.features.operations import MAX_VALUES, OPERATIONS
from edgeops.core.features.parameters import MAX_PARAMETERS, Parameter
from edgeops.core.features.steps import (
    apply_steps,
    apply_to_batch,
    make_step,
    named_parameters,
    output_shape,
    undo_steps,
    undoable,
)
from edgeops.core.manifest import NANO, Step

images = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))
sounds = st.integers(200, 700).flatmap(lambda n: st.sampled_from([(n,), (n, 1)]))
series_shapes = st.integers(64, 200).flatmap(lambda n: st.sampled_from([(n,), (n, 1), (n, 3)]))
numbers = st.floats(-50, 50)
positive = st.floats(0.01, 50)


def step(op: str, **strategies: Any) -> st.SearchStrategy[Step]:
    """A step of which some parameters are drawn."""
    drawn = {
        name: value if isinstance(value, st.SearchStrategy) else st.just(value)
        for name, value in strategies.items()
    }
    return st.fixed_dictionaries(drawn).map(lambda named: make_step(op, **named))


# one strategy of (step, raw shape) for each operation
CASES: dict[str, st.SearchStrategy[tuple[Step, Shape]]] = {
    "scale": st.tuples(step("scale", factor=numbers, offset=numbers), images),
    "resize": st.tuples(step("resize", height=st.integers(1, 12), width=st.integers(1, 12)), images),
    "grey": st.tuples(step("grey"), images),
    "normalise": st.tuples(step("normalise", mean=numbers, deviation=positive), images),
    "columns": st.tuples(
        step(
            "columns",
            first=st.integers(0, 2),
            mean=st.tuples(numbers, numbers),
            deviation=st.tuples(positive, positive),
        ),
        st.sampled_from([(4,), (9,), (5, 4), (6, 4, 1), (4, 1)]),
    ),
    "fit_length": st.tuples(step("fit_length", samples=st.integers(1, 300)), series_shapes),
    "log_mel": st.tuples(
        step("log_mel", **SPEECH, spectrum=st.sampled_from(audio.SPECTRA), floor=positive), sounds
    ),
    "mfcc": st.tuples(step("mfcc", **SPEECH, coefficients=st.integers(1, 12)), sounds),
    "detrend": st.tuples(step("detrend", kind=st.sampled_from(series.TRENDS)), series_shapes),
    "standardise": st.tuples(step("standardise", per=st.sampled_from(series.SHARES)), series_shapes),
    "rms_scale": st.tuples(step("rms_scale", per=st.sampled_from(series.SHARES)), series_shapes),
    "taper": st.tuples(step("taper", share=st.floats(0, 1)), series_shapes),
    "fft_bands": st.tuples(step("fft_bands", **BANDS, frame_step=st.integers(1, 90)), series_shapes),
}
any_case = st.one_of(*CASES.values())


class TestLaws:
    def test_every_operation_is_drawn(self) -> None:
        assert CASES.keys() == OPERATIONS.keys()

    @settings(max_examples=150)
    @given(any_case, st.integers(0, 99))
    def test_the_shape_is_known_beforehand_and_the_type_stays(
        self, case: tuple[Step, Shape], seed: int
    ) -> None:
        given_step, shape = case
        made = apply_steps([given_step], values_of(shape, seed))
        assert (made.shape, made.dtype) == (output_shape([given_step], shape), np.float32)
        assert np.isfinite(made).all()

    @settings(max_examples=150)
    @given(any_case, st.integers(0, 99), st.integers(0, 5))
    def test_a_batch_is_exactly_its_items(self, case: tuple[Step, Shape], seed: int, count: int) -> None:
        given_step, shape = case
        batch = values_of((count, *shape), seed)
        made = apply_to_batch([given_step], batch)
        assert (made.shape, made.dtype) == ((count, *output_shape([given_step], shape)), np.float32)
        for row, item in zip(made, batch, strict=True):
            np.testing.assert_array_equal(row, apply_steps([given_step], item))

    @given(any_case, st.integers(0, 99))
    def test_the_input_is_the_callers(self, case: tuple[Step, Shape], seed: int) -> None:
        values = values_of(case[1], seed)
        before = values.copy()
        apply_steps([case[0]], values)
        np.testing.assert_array_equal(values, before)

    @given(any_case)
    def test_a_steps_parameters_by_name_make_the_step(self, case: tuple[Step, Shape]) -> None:
        assert make_step(case[0].op, **named_parameters(case[0])) == case[0]
        assert len(case[0].parameters) <= MAX_PARAMETERS

    @given(any_case, st.integers(0, 99))
    def test_what_says_it_can_be_undone_is_undone(self, case: tuple[Step, Shape], seed: int) -> None:
        given_step, shape = case
        values = values_of(shape, seed)
        if undoable([given_step]):
            back = undo_steps([given_step], apply_steps([given_step], values))
            factor = named_parameters(given_step).get("factor", 1.0)
            assert np.allclose(back, values, atol=1e-3 * (1 + 1 / abs(factor)))
        else:
            assert given_step.op not in ("scale", "normalise") or named_parameters(given_step)["factor"] == 0
            with pytest.raises(InputError, match=f"'{given_step.op}': it cannot be undone"):
                undo_steps([given_step], values)

    def test_silence_and_stillness_give_numbers_not_nan(self) -> None:
        for op, named in (
            ("log_mel", SPEECH),
            ("mfcc", {**SPEECH, "coefficients": 5}),
            ("standardise", {}),
            ("rms_scale", {}),
            ("fft_bands", BANDS | {"frame_step": 32}),
        ):
            assert np.isfinite(run(op, np.zeros(400), **named)).all()

    def test_steps_follow_one_another(self) -> None:
        steps = [
            make_step("grey"),
            make_step("resize", height=4, width=4),
            make_step("scale", factor=1 / 255),
        ]
        made = apply_steps(steps, np.full((9, 7, 3), 255, np.float32))
        assert output_shape(steps, (9, 7, 3)) == made.shape == (4, 4, 1)
        assert np.allclose(made, 1)


class TestRefused:
    @pytest.mark.parametrize(
        ("op", "named", "says"),
        [
            ("fft", {}, "'fft' is not known to this version"),
            ("mfc", {}, "did you mean 'mfcc'?"),
            ("log_mel", {**SPEECH, "mel": 3}, "'log_mel' has no parameter 'mel'; did you mean 'mels'?"),
            ("grey", {"x": 1}, "has no parameter 'x'; it has none"),
            ("scale", {}, "'scale' needs 'factor'"),
            ("scale", {"factor": "two"}, "'factor' is a number, not 'two'"),
            ("scale", {"factor": True}, "'factor' is a number, not True"),
            ("scale", {"factor": float("nan")}, "'factor' is a number, not nan"),
            ("scale", {"factor": 1e10}, "'factor' lies in -9e+09 to 9e+09"),
            ("resize", {"height": 2.5, "width": 3}, "'height' is a whole number, not 2.5"),
            ("resize", {"height": 0, "width": 3}, "'height' lies in 1 to 4096, not 0"),
            ("normalise", {"mean": [1, 2], "deviation": 1}, "'mean' is 1 or 3 numbers"),
            ("normalise", {"mean": [1, 2, 3], "deviation": 1}, "need the same number of values"),
            ("normalise", {"mean": 0, "deviation": 0}, "'deviation' lies in 1e-09"),
            ("normalise", {"mean": 0, "deviation": 4e-10}, "'deviation' lies in 1e-09"),
            ("detrend", {"kind": "cubic"}, "'kind' is 'constant', 'linear', not 'cubic'"),
        ],
    )
    def test_a_step_that_cannot_be_made(self, op: str, named: dict[str, object], says: str) -> None:
        with pytest.raises(InputError) as caught:
            make_step(op, **named)
        assert says in caught.value.message
        assert caught.value.fields["op"] == op

    @pytest.mark.parametrize(
        ("made", "shape", "says"),
        [
            (lambda: make_step("resize", height=4, width=4), (8, 8), "needs the shape (height, width, channels)"),
            (lambda: make_step("resize", height=4, width=4), (0, 8, 1), "not (0, 8, 1)"),
            (lambda: make_step("grey"), (8, 8, 4), "1 or 3 channels, not 4"),
            (lambda: make_step("normalise", mean=[1] * 3, deviation=[1] * 3), (8, 8, 1), "last axis of (1,)"),
            (lambda: make_step("fit_length", samples=4), (), "samples are needed along the first axis"),
            (lambda: make_step("log_mel", **SPEECH), (400, 2), "a sound needs the shape (samples,)"),
            (lambda: make_step("log_mel", **SPEECH), (199,), "199 samples are less than one frame of 200"),
            (lambda: make_step("log_mel", **SPEECH | {"fft_length": 250}), (400,), "a power of two"),
            (lambda: make_step("log_mel", **SPEECH | {"fft_length": 128}), (400,), "holds a frame of 200"),
            (lambda: make_step("log_mel", **SPEECH | {"high_hz": 4001}), (400,), "half the sample rate"),
            (lambda: make_step("log_mel", **SPEECH | {"low_hz": 4000}), (400,), "'low_hz' 4000 lies below"),
            (lambda: make_step("log_mel", **SPEECH | {"mels": 128}), (400,), "of 128 'mels' hold no bin"),
            (lambda: make_step("mfcc", **SPEECH, coefficients=13), (400,), "at most 12 'coefficients'"),
            (lambda: make_step("detrend"), (4, 4, 1), "a series needs the shape (samples,)"),
            (lambda: make_step("fft_bands", **BANDS), (65,), "holds a frame of 65 samples"),
            (lambda: make_step("fft_bands", **BANDS), (1,), "a single sample has no spectrum"),
            (lambda: make_step("fft_bands", **BANDS, frame_step=8), (63,), "less than one frame of 64"),
            (lambda: make_step("fft_bands", **BANDS | {"bands": 40}), (64,), "of 40 'bands' hold no bin"),
            (lambda: make_step("fft_bands", **BANDS, spacing="log"), (64,), "need a 'low_hz' above 0"),
            (lambda: make_step("fit_length", samples=MAX_VALUES), (1, 2), f"more than {MAX_VALUES} values"),
        ],
    )  # fmt: skip
    def test_a_shape_that_does_not_suit_names_the_step(
        self, made: Callable[[], Step], shape: Shape, says: str
    ) -> None:
        given_step = made()
        with pytest.raises(InputError) as caught:
            output_shape([given_step], shape)
        assert caught.value.message.startswith(f"preprocessing step '{given_step.op}': ")
        assert says in caught.value.message
        if MAX_VALUES not in named_parameters(given_step).values():
            values = np.zeros(shape, np.float32)
            for run_it in (apply_steps, lambda steps, item: apply_to_batch(steps, item[np.newaxis])):
                with pytest.raises(InputError, match=given_step.op):
                    run_it([given_step], values)

    def test_a_huge_raw_shape_is_refused_before_anything_is_made(self) -> None:
        with pytest.raises(InputError, match="more than"):
            output_shape([], (2**32 - 1,) * 6)

    @pytest.mark.parametrize(
        "wire_form",
        [
            Step("scale", (1,)),
            Step("scale", (1, 2, 3)),
            Step("normalise", (1, 2, 3)),
            Step("normalise", ()),
            Step("resize", (NANO // 2, NANO)),
            Step("detrend", (5 * NANO,)),
            Step("detrend", (NANO // 2,)),
            Step("detrend", (-NANO,)),
            Step("resize", (-NANO, NANO)),
            Step("taper", (2 * NANO,)),
        ],
        ids=str,
    )
    def test_a_step_off_the_wire_is_checked_as_one_by_name(self, wire_form: Step) -> None:
        for use in (named_parameters, lambda one: apply_steps([one], np.zeros((4, 4, 1), np.float32))):
            with pytest.raises(InputError, match=wire_form.op):
                use(wire_form)

    @given(st.sampled_from(sorted(OPERATIONS)), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=16))
    def test_any_numbers_off_the_wire_give_a_step_or_an_input_error(self, op: str, flat: list[int]) -> None:
        try:
            named = named_parameters(Step(op, tuple(flat)))
        except InputError as error:
            assert op in error.message
        else:
            assert make_step(op, **named).parameters == tuple(flat)


def test_parameters_say_what_they_are() -> None:
    for operation in OPERATIONS.values():
        assert operation.about
        names = [parameter.name for parameter in operation.parameters]
        assert len(set(names)) == len(names)
        assert all(isinstance(parameter, Parameter) and parameter.about for parameter in operation.parameters)
