"""Preprocessing and random moves of images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import ConfigError, DataError
from edgeops.core.features.steps import apply_steps, make_step
from edgeops.data.dataset import Dataset, Part, new_dataset
from edgeops.data.sources import read_source
from edgeops.training.augment import augmented
from edgeops.training.prepare import prepare
from edgeops.training.recipe import Augmentation, Recipe, find_recipe, load_recipe

STILL = Augmentation(copies=1)


def images(n: int = 4, height: int = 8, width: int = 6) -> np.ndarray:
    return np.random.default_rng(n).random((n, height, width, 2)).astype(np.float32)


def test_model_inputs_are_the_devices_preprocessing_with_a_channel() -> None:
    recipe = load_recipe(find_recipe("digits"))
    dataset = new_dataset("digits", read_source("sklearn:digits"))
    prepared = prepare(recipe, dataset)
    assert prepared.raw_shape == (8, 8, 1)
    assert prepared.inputs.shape == (len(dataset), 8, 8, 1)
    raw = np.asarray(dataset.inputs[5])
    assert (
        prepared.inputs[5] == apply_steps(recipe.preprocessing.steps, raw[..., None].astype(np.float32))
    ).all()
    assert (prepared.inputs[5, ..., 0] == raw / 16).all()
    assert (prepared.targets == dataset.targets).all()
    assert (prepared.parts == dataset.parts).all()


def test_no_move_changes_nothing() -> None:
    assert augmented(images(), STILL, np.random.default_rng(0)) == pytest.approx(images(), abs=1e-6)


@given(st.integers(0, 1000), st.floats(0, 180), st.floats(0, 20), st.floats(0, 0.9))
def test_moves_repeat_and_stay_within_the_values(seed: int, turn: float, shift: float, zoom: float) -> None:
    how = Augmentation(rotation_degrees=turn, shift_pixels=shift, zoom=zoom)
    moved = augmented(images(), how, np.random.default_rng(seed))
    assert moved.shape == images().shape
    assert moved.dtype == np.float32
    assert moved.min() >= 0
    assert moved.max() <= images().max() + 1e-5
    assert (moved == augmented(images(), how, np.random.default_rng(seed))).all()


def test_a_turn_is_a_turn() -> None:
    class Quarter:
        """Draws the upper limit everywhere, but moves and zooms nothing."""

        def uniform(self, low: float, high: float, size: object) -> np.ndarray:
            return np.full(size, high)  # type: ignore[call-overload]

    square = images(3, 8, 8)
    turned = augmented(square, Augmentation(rotation_degrees=90), Quarter())  # type: ignore[arg-type]
    assert turned == pytest.approx(np.rot90(square, axes=(1, 2)), abs=1e-5) or turned == pytest.approx(
        np.rot90(square, -1, axes=(1, 2)), abs=1e-5
    )
    shifted = augmented(square, Augmentation(shift_pixels=1), Quarter())  # type: ignore[arg-type]
    assert shifted[:, 1:, 1:] == pytest.approx(square[:, :-1, :-1], abs=1e-5)
    assert (shifted[:, 0] == 0).all()


def bearing(tmp_path: Path, task: str, split: str) -> tuple[Recipe, Dataset]:
    """Four recordings of 4,000 samples at three loads, two labels, one channel; normal at load 0 only."""
    (tmp_path / "recipe.toml").write_text(
        f'[recipe]\nname = "b"\ntask = "{task}"\n[data]\nname = "b"\nkind = "series"\nwindow = 100\nstride = 50\n'
        f"[split]\n{split}\n[architecture]\nkind = "
        f'"{"autoencoder" if task == "anomaly" else "cnn_1d"}"\n[training]\nepochs = 1\n'
    )
    rng = np.random.default_rng(2)
    recordings = np.stack([rng.normal(0, 1, (4000, 1)).astype(np.float32) for _ in range(4)])
    dataset = Dataset(
        "b",
        1,
        recordings,
        np.array([0, 1, 1, 1]),
        ("normal", "outer"),
        np.zeros(4, np.uint8),
        ("source",) * 4,
        "series",
        slices={"load": ("0", "0", "1", "2")},
    )
    return load_recipe(tmp_path), dataset


def test_what_is_held_out_is_tested_whole_and_the_rest_validates_at_its_end(tmp_path: Path) -> None:
    recipe, dataset = bearing(tmp_path, "classification", 'holdout = { load = ["1"] }')
    prepared = prepare(recipe, dataset)
    of_item = {item: set(prepared.parts[prepared.items == item].tolist()) for item in range(4)}
    assert of_item[2] == {Part.TEST}
    assert all(of_item[item] == {Part.TRAIN, Part.VALIDATION} for item in (0, 1, 3))
    assert (prepared.items == 2).sum() == (4000 - 100) // 50 + 1
    assert prepared.slices["load"][int(np.flatnonzero(prepared.items == 2)[0])] == "1"


def test_recordings_that_are_too_short_to_end_in_a_window_validate_whole(tmp_path: Path) -> None:
    recipe, dataset = bearing(tmp_path, "classification", 'holdout = { load = ["1"] }')
    values = np.asarray(dataset.inputs)
    short = dataclasses.replace(dataset, inputs=values[:, :400])  # its last 15% are no window of 100
    prepared = prepare(recipe, short)
    of_item = {item: set(prepared.parts[prepared.items == item].tolist()) for item in range(4)}
    assert of_item[2] == {Part.TEST}
    assert [len(of_item[item]) for item in (0, 1, 3)] == [1, 1, 1]
    assert set().union(*of_item.values()) == {Part.TRAIN, Part.VALIDATION, Part.TEST}


def test_a_label_with_one_recording_is_cut_by_time(tmp_path: Path) -> None:
    recipe, dataset = bearing(tmp_path, "classification", 'holdout = { load = ["1"] }\nby_time = ["normal"]')
    prepared = prepare(recipe, dataset)
    assert set(prepared.parts[prepared.items == 0].tolist()) == {Part.TRAIN, Part.VALIDATION, Part.TEST}


def test_all_anomalies_test_and_only_normal_ones_are_learned_from(tmp_path: Path) -> None:
    recipe, dataset = bearing(tmp_path, "anomaly", 'by_time = ["normal"]')
    prepared = prepare(recipe, dataset)
    assert prepared.labels == ("normal", "anomaly")
    assert set(prepared.parts[prepared.targets == 1].tolist()) == {Part.TEST}
    assert (prepared.targets[prepared.rows(Part.TRAIN, Part.VALIDATION)] == 0).all()


def test_a_label_that_the_data_do_not_have_is_named(tmp_path: Path) -> None:
    recipe, dataset = bearing(tmp_path, "classification", 'by_time = ["normall"]')
    with pytest.raises(DataError, match=r"'split.by_time' names the label 'normall'; b@1 has normal, outer"):
        prepare(recipe, dataset)


def test_a_front_end_that_does_not_suit_is_named_with_its_step(tmp_path: Path) -> None:
    recipe, dataset = bearing(tmp_path, "classification", "")
    step = make_step("grey")
    with pytest.raises(
        ConfigError, match=r"preprocessing does not suit inputs of shape \(100, 1\).*grey"
    ) as caught:
        prepare(recipe, dataset, (step,))
    assert caught.value.fields["key"] == "preprocessing.steps"
    assert caught.value.fix is not None
