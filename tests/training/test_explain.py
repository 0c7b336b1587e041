"""What a model needs and what it looked at: on models and functions whose answer is known."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import InputError
from edgeops.core.features.audio import mel_filters
from edgeops.training.backend import load_tensorflow
from edgeops.training.explain import (
    grad_cam,
    integrated_gradients,
    permutation_importance,
    reconstruction_shares,
)
from edgeops.training.fit import predict_float
from edgeops.training.layout import (
    IMAGE,
    MOST_BANDS,
    SERIES,
    SPECTROGRAM,
    SPECTRUM,
    TABLE,
    Layout,
    layout_of,
    regions_of,
)
from edgeops.training.recipe import Recipe, find_recipe, load_recipe
from edgeops.training.weights import rebuilt, to_bytes

RNG = np.random.default_rng(7)
STEPS = {
    "log_mel": 'op = "log_mel", sample_rate_hz = 8000, frame_length = 320, frame_step = 160, fft_length = 512, '
    "mels = 20, low_hz = 100, high_hz = 4000",
    "mfcc": 'op = "mfcc", sample_rate_hz = 8000, frame_length = 320, frame_step = 160, fft_length = 512, '
    "mels = 20, low_hz = 100, high_hz = 4000, coefficients = 10",
    "fft_bands": 'op = "fft_bands", sample_rate_hz = 1000, fft_length = 256, bands = 5, high_hz = 500, '
    "frame_step = 128",
    "spectrum": 'op = "fft_bands", sample_rate_hz = 1000, fft_length = 256, bands = 5, high_hz = 500',
}


def recipe(
    folder: Path, step: str = "", kind: str = "series", architecture: str = 'kind = "dense"'
) -> Recipe:
    steps = f"[{{ {STEPS.get(step, step)} }}, {{ op = 'scale', factor = 2.0 }}]" if step else "[]"
    window = "window = 1024\n" if kind == "series" else ""
    path = folder / "recipe.toml"
    path.write_text(
        f'[recipe]\nname = "r"\n[data]\nname = "d"\nkind = "{kind}"\n{window}'
        f"[preprocessing]\nsteps = {steps}\n[architecture]\n{architecture}\n[training]\nepochs = 1\n"
    )
    return load_recipe(path)


class TestLayout:
    def test_bands_have_their_frequencies(self, tmp_path: Path) -> None:
        framed = layout_of(recipe(tmp_path, "fft_bands"), (7, 5))
        assert (framed.view, framed.bands[0], framed.bands[-1]) == (SPECTROGRAM, "0-100 Hz", "400-500 Hz")
        # all channels of the first band stand before the next band
        two = layout_of(recipe(tmp_path, "fft_bands"), (7, 10)).bands
        assert two[:3] == ("0-100 Hz, channel 0", "0-100 Hz, channel 1", "100-200 Hz, channel 0")
        whole = layout_of(recipe(tmp_path, "spectrum"), (5, 3))
        assert (whole.view, whole.bands) == (SPECTRUM, framed.bands)
        assert layout_of(recipe(tmp_path, "mfcc"), (49, 10, 1)).bands[3] == "coefficient 3"

    def test_channels_are_taken_apart_and_have_their_names(self, tmp_path: Path) -> None:
        layout = layout_of(recipe(tmp_path, "fft_bands"), (7, 10), ("ax", "ay"))
        assert layout.bands[:2] == ("0-100 Hz, ax", "0-100 Hz, ay")
        regions = regions_of(layout)
        assert [r.name for r in regions][4:6] == ["ax, 400-500 Hz", "ay, 0-100 Hz"]
        seen = np.zeros((7, 10), int)
        for region in regions:
            seen[region.place] += 1
        assert (seen == 1).all()
        assert regions[5].place == (slice(None), slice(1, 2, 2))
        series = layout_of(recipe(tmp_path), (100, 2), ("ax", "ay"))
        assert [region.name for region in regions_of(series)][:2] == ["ax", "ay"]

    def test_many_bands_of_many_channels_go_together_within_a_channel(self) -> None:
        bands = tuple(f"{i}-{i + 1} Hz, c{c}" for i in range(60) for c in range(3))
        regions = regions_of(Layout(SPECTROGRAM, (5, 180), bands, channels=("c0", "c1", "c2")))
        seen = np.zeros((5, 180), int)
        for region in regions:
            seen[region.place] += 1
        assert (seen == 1).all()
        assert len({region.name for region in regions}) == len(regions) <= MOST_BANDS

    @pytest.mark.parametrize(
        ("high", "bands", "first"),
        [(25, 64, "0.0-0.4 Hz"), (5, 5, "0.0-1.0 Hz"), (0.5, 64, "0.000-0.008 Hz")],
    )
    def test_narrow_bands_are_told_apart(self, tmp_path: Path, high: float, bands: int, first: str) -> None:
        asked = (
            f'op = "fft_bands", sample_rate_hz = {2 * high}, fft_length = 256, bands = {bands}, high_hz = {high}, '
            "frame_step = 128"
        )
        named = layout_of(recipe(tmp_path, asked), (7, bands)).bands
        assert named[0] == first
        assert len(set(named)) == bands

    def test_mel_bands_are_named_by_where_they_peak(self, tmp_path: Path) -> None:
        names = layout_of(recipe(tmp_path, "log_mel"), (49, 20, 1)).bands
        peaks = mel_filters(20, 16_384, 8000, 100, 4000).argmax(axis=0) * 8000 / 16_384
        assert [float(name.split()[1]) for name in names] == pytest.approx(peaks, abs=1)

    def test_without_a_spectrum_the_kind_says_it(self, tmp_path: Path) -> None:
        assert layout_of(recipe(tmp_path), (100, 3)).view == SERIES
        table = layout_of(recipe(tmp_path, kind="table"), (2,), ("heat", "wind"))
        assert table.view == TABLE
        assert [region.name for region in regions_of(table)] == ["heat", "wind"]
        unnamed = layout_of(recipe(tmp_path, kind="table"), (2,), ("heat", "wind", "rain"))
        assert [region.name for region in regions_of(unnamed)] == ["column 0", "column 1"]
        assert layout_of(load_recipe(find_recipe("digits")), (8, 8, 1)).grid == (8, 8)

    @given(
        view=st.sampled_from((IMAGE, SPECTROGRAM, SPECTRUM, TABLE)),
        a=st.integers(1, 120),
        b=st.integers(1, 90),
    )
    def test_regions_cover_every_value_once(self, view: str, a: int, b: int) -> None:
        shape = {IMAGE: (a, b, 3), SPECTROGRAM: (a, b, 1), SPECTRUM: (a, 1), TABLE: (a,)}[view]
        bands = {SPECTROGRAM: b, SPECTRUM: a}.get(view, 0)
        regions = regions_of(Layout(view, shape, tuple(f"{i}-{i + 1} Hz" for i in range(bands))))
        seen = np.zeros(shape, int)
        for region in regions:
            seen[region.place] += 1
        assert (seen == 1).all()
        assert len({region.name for region in regions}) == len(regions)
        assert view == TABLE or len(regions) <= max(64, MOST_BANDS)

    def test_a_series_is_taken_apart_by_channel_and_by_time(self) -> None:
        names = [region.name for region in regions_of(Layout(SERIES, (16, 2)))]
        assert names[:3] == ["channel 0", "channel 1", "samples 0-1"]
        assert len(names) == 10
        assert [r.name for r in regions_of(Layout(SERIES, (16,)))] == names[2:]

    def test_neighbouring_bands_go_together_where_there_are_many(self) -> None:
        bands = tuple(f"{10 * i}-{10 * i + 10} Hz" for i in range(80))
        assert regions_of(Layout(SPECTROGRAM, (5, 80), bands))[1].name == "20-40 Hz"


class TestPermutation:
    def test_what_is_used_comes_out_and_what_is_not_has_none(self) -> None:
        x = RNG.normal(size=(400, 5)).astype(np.float32)
        y = (x[:, 2] + 0.3 * x[:, 4] > 0).astype(np.int64)

        def quality(inputs: Any) -> float:
            return float(((inputs[:, 2] + 0.3 * inputs[:, 4] > 0) == y).mean())

        told: list[tuple[int, int]] = []
        layout = Layout(TABLE, (5,))
        lost = permutation_importance(quality, x, regions_of(layout), progress=lambda *s: told.append(s))
        assert [entry.lost for entry in lost][0:2] == [0, 0]
        assert lost[3].lost == 0 and lost[3].deviation == 0
        assert lost[2].lost > lost[4].lost > 0.02
        assert lost[2].lost == pytest.approx(0.46, abs=0.06)
        assert told == [(i, 5) for i in range(1, 6)]
        assert lost == permutation_importance(quality, x, regions_of(layout))

    def test_the_inputs_are_left_as_they_were(self) -> None:
        x = RNG.normal(size=(20, 3)).astype(np.float32)
        before = x.copy()
        permutation_importance(lambda inputs: float(inputs[0, 0]), x, regions_of(Layout(TABLE, (3,))))
        assert (x == before).all()


def keras() -> Any:
    return load_tensorflow()[1]


class TestIntegratedGradients:
    def test_they_add_up_to_the_difference_of_the_probabilities(self) -> None:
        layers = keras().layers
        given = keras().Input((6, 6, 1))
        x = layers.Conv2D(4, 3, activation="relu")(given)
        x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
        keras().utils.set_random_seed(3)
        model = keras().Model(given, layers.Dense(3, activation="softmax")(x))
        inputs = RNG.normal(0, 2, (5, 6, 6, 1)).astype(np.float32)
        baseline = RNG.normal(0, 1, (6, 6, 1)).astype(np.float32)
        classes = np.array([0, 1, 2, 0, 1])
        found = integrated_gradients(model, inputs, classes, baseline)
        scores = predict_float(model, inputs)[np.arange(5), classes]
        before = predict_float(model, baseline[np.newaxis])[0, classes]
        assert found.sum(axis=(1, 2, 3)) == pytest.approx(scores - before, abs=0.01)
        assert np.abs(scores - before).max() > 0.1  # there was something to explain

    def test_of_a_linear_model_they_are_weight_times_difference(self) -> None:
        given = keras().Input((3,))
        model = keras().Model(given, keras().layers.Dense(2)(given))
        weights = np.array([[1, 0], [0, -2], [3, 0.5]], np.float32)
        model.set_weights([weights, np.array([5, 6], np.float32)])
        x, baseline = np.array([[1, 2, 3]], np.float32), np.array([0, 1, 1], np.float32)
        found = integrated_gradients(model, x, np.array([1]), baseline, steps=3)
        assert found[0] == pytest.approx([0, -2, 1], abs=1e-6)


class TestGradCam:
    def model(self, outputs: int, activation: str | None) -> Any:
        """Two maps, of the input's first and second channel; class 0 sees the first, class 1 the second."""
        layers = keras().layers
        given = keras().Input((4, 4, 2))
        conv = layers.Conv2D(2, 1, use_bias=False, name="conv")
        pooled = layers.GlobalAveragePooling2D()(layers.ReLU()(conv(given)))
        scores = layers.Dense(outputs, activation=activation, use_bias=False, name="scores")
        model = keras().Model(given, scores(pooled))
        conv.set_weights([np.eye(2, dtype=np.float32).reshape(1, 1, 2, 2)])
        scores.set_weights([np.array([[8, 0], [0, 8]], np.float32)])
        return model

    @pytest.mark.parametrize("activation", ["softmax", None])
    def test_it_finds_where_a_class_was_seen(self, activation: str | None) -> None:
        x = np.zeros((2, 4, 4, 2), np.float32)
        x[:, 0, 1, 0], x[:, 3, 2, 1] = 30, 20  # so sure that the softmax has no slope left
        heat = grad_cam(self.model(2, activation), x, np.array([0, 1]))
        assert heat is not None and heat.shape == (2, 4, 4)
        # weight of a map: the mean slope, 8 / 16
        wanted = np.zeros((2, 4, 4))
        wanted[0, 0, 1], wanted[1, 3, 2] = 15, 10
        assert heat == pytest.approx(wanted, abs=1e-4)

    def test_maps_are_brought_to_the_size_of_the_input(self) -> None:
        layers = keras().layers
        given = keras().Input((8, 6, 1))
        conv = layers.Conv2D(1, 2, strides=2, use_bias=False, name="conv")
        model = keras().Model(given, layers.Dense(1, use_bias=False)(layers.Flatten()(conv(given))))
        conv.set_weights([np.ones((2, 2, 1, 1), np.float32)])
        model.layers[-1].set_weights([np.ones((12, 1), np.float32)])
        x = np.zeros((1, 8, 6, 1), np.float32)
        x[0, 5, 3] = 1
        heat = grad_cam(model, x, np.array([0]))
        assert heat is not None
        assert np.argwhere(heat[0]).tolist() == [[4, 2], [4, 3], [5, 2], [5, 3]]

    def test_a_series_that_is_convolved_as_an_image_has_heat_along_its_length(self, tmp_path: Path) -> None:
        how = recipe(tmp_path, architecture='kind = "cnn_1d"\nfilters = [4]\npool = 1')
        empty = rebuilt_from(how, (12, 3), 2)
        heat = grad_cam(empty, RNG.normal(size=(2, 12, 3)).astype(np.float32), np.array([0, 1]))
        assert heat is not None and heat.shape == (2, 12)
        assert heat.min() >= 0

    def test_a_model_without_a_map_has_none(self, tmp_path: Path) -> None:
        x = np.zeros((1, 12, 3), np.float32)
        assert grad_cam(rebuilt_from(recipe(tmp_path), (12, 3), 2), x, np.array([0])) is None
        short = recipe(tmp_path, architecture='kind = "cnn_1d"\nfilters = [4]\npool = 1')
        assert grad_cam(rebuilt_from(short, (4, 3), 2), x[:, :4], np.array([0])) is None


def rebuilt_from(how: Recipe, shape: tuple[int, ...], classes: int) -> Any:
    """A model of the recipe with weights drawn by a fixed seed."""
    from edgeops.training.architectures.build import build

    keras().utils.set_random_seed(1)
    return build(how, keras(), shape, classes)


def test_the_shares_of_a_reconstruction_add_up_to_its_error(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[recipe]\nname = "r"\ntask = "anomaly"\n[data]\nname = "d"\nkind = "table"\n'
        '[architecture]\nkind = "autoencoder"\nunits = 4\nlayers = 1\ncode = 2\n[training]\nepochs = 1\n'
    )
    model = rebuilt_from(load_recipe(path), (6,), 2)
    x = RNG.normal(size=(3, 6)).astype(np.float32)
    errors = ((predict_float(model, x) - x) ** 2).mean(axis=1)
    assert reconstruction_shares(model, x).sum(axis=1) == pytest.approx(errors, rel=1e-5)


class TestWeights:
    def test_they_come_back_and_have_one_digest(self, tmp_path: Path) -> None:
        how = recipe(tmp_path, architecture='kind = "cnn_1d"\nfilters = [4]')
        model = rebuilt_from(how, (16, 2), 3)
        raw = to_bytes(model)
        assert hashlib.sha256(raw).digest() == hashlib.sha256(to_bytes(model)).digest()
        x = RNG.normal(size=(4, 16, 2)).astype(np.float32)
        again = rebuilt(how, (16, 2), 3, raw)
        assert (predict_float(again, x) == predict_float(model, x)).all()

    def test_others_are_refused(self, tmp_path: Path) -> None:
        small = to_bytes(rebuilt_from(recipe(tmp_path), (16, 2), 3))
        for shape, raw in (((9, 2), small), ((16, 2), b"no archive")):
            with pytest.raises(InputError, match="another architecture"):
                rebuilt(recipe(tmp_path), shape, 3, raw)
