"""What each operation of a front end does to images, sounds and series."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import windows
from support.front_ends import BANDS, SPEECH, run, values_of

from edgeops.core.errors import InputError
from edgeops.core.features import audio, series
from edgeops.core.features.steps import make_step, output_shape
from edgeops.core.manifest import NANO


def tone(hz: float, sample_rate_hz: float, samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(samples) / sample_rate_hz).astype(np.float32)


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
