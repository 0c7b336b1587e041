"""Preprocessing and random moves of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.features.steps import apply_steps
from edgeops.data.dataset import new_dataset
from edgeops.data.sources import read_source
from edgeops.training.augment import augmented
from edgeops.training.prepare import prepare
from edgeops.training.recipe import Augmentation, find_recipe, load_recipe

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
