"""Front ends: what each operation does, and the laws that all of them keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import windows

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

Shape = tuple[int, ...]
SPEECH = {
    "sample_rate_hz": 8000,
    "frame_length": 200,
    "frame_step": 100,
    "fft_length": 256,
    "mels": 12,
    "low_hz": 100,
    "high_hz": 4000,
}
BANDS = {"sample_rate_hz": 1000, "fft_length": 64, "bands": 8, "high_hz": 500}

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


def values_of(shape: Shape, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 20, shape).astype(np.float32)


def run(op: str, values: np.ndarray, **named: object) -> np.ndarray:
    return apply_steps([make_step(op, **named)], values.astype(np.float32))


def tone(hz: float, sample_rate_hz: float, samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(samples) / sample_rate_hz).astype(np.float32)


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


class TestImages:
    def test_the_same_size_changes_nothing(self) -> None:
        values = values_of((6, 5, 3), 1)
        np.testing.assert_array_equal(run("resize", values, height=6, width=5), values)

    def test_a_constant_image_stays_constant(self) -> None:
        assert (run("resize", np.full((3, 8, 1), 7.25), height=5, width=3) == 7.25).all()

    def test_half_the_size_is_the_mean_of_four(self) -> None:
        values = values_of((6, 4, 1), 2)
        means = values.reshape(3, 2, 2, 2).mean(axis=(1, 3))[..., np.newaxis]
        assert np.allclose(run("resize", values, height=3, width=2), means, atol=1e-4)

    def test_grey_is_the_luma_and_a_grey_image_stays(self) -> None:
        assert run("grey", np.array([[[100, 200, 50]]])) == pytest.approx(
            0.299 * 100 + 0.587 * 200 + 0.114 * 50
        )
        assert np.allclose(run("grey", np.full((2, 2, 3), 90.0)), 90)
        np.testing.assert_array_equal(run("grey", np.ones((2, 2, 1))), np.ones((2, 2, 1)))

    def test_columns_lie_along_the_last_axis_that_has_more_than_one_place(self) -> None:
        table = np.array([1, 10, 100, 1000], np.float32)
        made = run("columns", table, first=1, mean=(10, 50), deviation=(5, 25))
        assert made.tolist() == [1, 0, 2, 1000]
        spectrogram = np.arange(12, dtype=np.float32).reshape(4, 3, 1)
        made = run("columns", spectrogram, first=0, mean=(0, 1, 2), deviation=(1, 1, 1))
        assert (made[..., 0] == np.arange(0, 12, 3)[:, None]).all()

    def test_columns_beyond_the_last_are_refused(self) -> None:
        with pytest.raises(InputError, match=r"columns 3 to 4 are not all in \(4,\)"):
            run("columns", np.zeros(4), first=3, mean=(0, 0), deviation=(1, 1))

    def test_normalise_has_one_mean_or_one_for_each_channel(self) -> None:
        values = values_of((4, 4, 3), 3)
        each = run("normalise", values, mean=(1, 2, 3), deviation=(4, 5, 6))
        assert np.allclose(each, (values - [1, 2, 3]) / [4, 5, 6], atol=1e-5)
        assert np.allclose(run("normalise", values, mean=1, deviation=4), (values - 1) / 4, atol=1e-5)


class TestSounds:
    def test_fit_length_fills_the_end_and_cuts_both_ends(self) -> None:
        values = np.arange(1, 6, dtype=np.float32)
        assert run("fit_length", values, samples=8).tolist() == [1, 2, 3, 4, 5, 0, 0, 0]
        assert run("fit_length", values, samples=3).tolist() == [2, 3, 4]
        assert run("fit_length", values, samples=5).tolist() == values.tolist()

    def test_one_second_has_the_frames_of_the_reference_front_end(self) -> None:
        """49 frames of 10 coefficients, as the MLPerf Tiny keyword model takes them."""
        speech = make_step(
            "mfcc",
            sample_rate_hz=16_000,
            frame_length=640,
            frame_step=320,
            fft_length=1024,
            mels=40,
            low_hz=20,
            high_hz=4000,
            coefficients=10,
        )
        assert output_shape([speech], (16_000,)) == (49, 10, 1)

    @pytest.mark.parametrize("hz", [440.0, 1000.0, 2900.0])
    def test_a_tone_is_loudest_in_the_band_that_it_lies_in(self, hz: float) -> None:
        loudest = run("log_mel", tone(hz, 8000, 800), **SPEECH)[..., 0].argmax(axis=1)
        edges = np.linspace(*(1127 * np.log(1 + np.array([100, 4000]) / 700)), 14)
        centres = 700 * (np.exp(edges[1:-1] / 1127) - 1)
        assert (loudest == np.abs(centres - hz).argmin()).all()

    def test_between_the_outer_centres_the_bands_weigh_each_frequency_once(self) -> None:
        filters = audio.mel_filters(20, 1024, 16_000, 100, 7000)
        edges = np.linspace(*(1127 * np.log(1 + np.array([100, 7000]) / 700)), 22)
        hz = np.arange(513) * 16_000 / 1024
        mel = 1127 * np.log(1 + hz / 700)
        inside = (mel >= edges[1]) & (mel <= edges[-2])
        assert np.allclose(filters[inside].sum(axis=1), 1)
        assert (filters[0] == 0).all()

    def test_silence_is_the_offset_or_the_floor(self) -> None:
        assert np.allclose(run("log_mel", np.zeros(200), **SPEECH), np.log(1e-6))
        assert np.allclose(run("log_mel", np.zeros(200), **SPEECH, floor=0.5), np.log(0.5))

    def test_all_coefficients_keep_the_energy_of_the_bands(self) -> None:
        """The DCT is orthonormal but for coefficient 0, which has the square root of 2 more."""
        sound = values_of((400,), 4)
        bands = run("log_mel", sound, **SPEECH)
        spectrum = run("mfcc", sound, **SPEECH, coefficients=12)
        spectrum[:, 0] /= np.sqrt(2)
        assert np.allclose((bands**2).sum(axis=1), (spectrum**2).sum(axis=1), rtol=1e-4)


class TestSeries:
    @given(st.integers(2, 60), st.integers(0, 99))
    def test_detrend_takes_a_mean_or_a_line_away(self, length: int, seed: int) -> None:
        values = values_of((length, 2), seed).astype(np.float64)
        place = np.arange(length)
        for kind, degree in (("constant", 0), ("linear", 1)):
            fits = [np.polyval(np.polyfit(place, column, degree), place) for column in values.T]
            assert np.allclose(run("detrend", values, kind=kind), values - np.transpose(fits), atol=1e-3)

    def test_standardised_is_mean_0_and_deviation_1(self) -> None:
        values = values_of((80, 3), 5) * [1, 10, 100] + [0, 5, -7]
        made = run("standardise", values)
        assert np.allclose(made.mean(axis=0), 0, atol=1e-5) and np.allclose(made.std(axis=0), 1, atol=1e-5)
        whole = run("standardise", values, per="window")
        assert whole.std() == pytest.approx(1, abs=1e-5)
        assert whole.std(axis=0).max() > 3 * whole.std(axis=0).min()

    def test_scaled_to_a_root_mean_square_of_1_the_axes_keep_their_ratio(self) -> None:
        values = values_of((80, 2), 6) * [1, 10]
        made = run("rms_scale", values)
        assert np.sqrt((made**2).mean()) == pytest.approx(1, abs=1e-5)
        assert np.allclose(made / values, made[0, 0] / values[0, 0])
        each = run("rms_scale", values, per="channel")
        assert np.allclose(np.sqrt((each**2).mean(axis=0)), 1, atol=1e-5)

    def test_what_is_weaker_than_the_floor_is_not_blown_up(self) -> None:
        values = values_of((50,), 7) * 1e-4
        assert np.abs(run("rms_scale", values, floor=1)).max() == pytest.approx(np.abs(values).max())
        assert np.abs(run("standardise", values, floor=1)).max() < 0.02

    @given(st.integers(2, 50), st.floats(0, 1))
    def test_taper_is_the_tukey_window(self, length: int, share: float) -> None:
        share = round(share * NANO) / NANO
        assert np.allclose(
            run("taper", np.ones(length), share=share), windows.tukey(length, share), atol=1e-6
        )

    @given(st.integers(0, 99))
    def test_the_bands_of_a_frame_hold_all_its_power(self, seed: int) -> None:
        values = values_of((64, 2), seed)
        bands = np.exp(run("fft_bands", values, **BANDS).astype(np.float64))
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
        power = ((values * window[:, np.newaxis]) ** 2).sum(axis=0) / (window**2).sum()
        assert np.allclose(bands.sum(axis=0), power, rtol=1e-4)

    def test_a_tone_of_amplitude_2_has_a_power_of_2_in_its_band(self) -> None:
        bands = np.exp(run("fft_bands", 2 * tone(218.75, 1000, 640), **BANDS, frame_step=64))
        assert bands.argmax(axis=1).tolist() == [3] * 10
        assert np.allclose(bands[:, 3], 2, rtol=0.01)

    def test_a_row_holds_all_channels_of_a_band_then_of_the_next(self) -> None:
        values = values_of((200, 3), 8)
        together = run("fft_bands", values, **BANDS, frame_step=50)
        for channel in range(3):
            alone = run("fft_bands", values[:, channel], **BANDS, frame_step=50)
            np.testing.assert_array_equal(together[:, channel::3], alone)

    def test_a_series_shorter_than_the_fft_is_one_frame_with_zeros(self) -> None:
        assert run("fft_bands", values_of((50, 3), 9), **BANDS).shape == (8, 3)
        assert run("fft_bands", values_of((64,), 9), **BANDS).shape == (8, 1)

    def test_bands_are_spaced_equally_or_logarithmically(self) -> None:
        equal = series.FftBands(12_000, 2048, 1024, 128, 0, 6000, "equal", 1e-9)
        assert np.diff(series.band_edges(equal)).tolist() == [8] * 127 + [9]
        octaves = series.FftBands(1024, 1024, 512, 8, 2, 512, "log", 1e-9)
        assert series.band_edges(octaves).tolist() == [2, 4, 8, 16, 32, 64, 128, 256, 513]


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
