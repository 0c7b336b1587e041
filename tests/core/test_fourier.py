"""Fourier components: the same numbers in every language, and what is no components is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeops.core.errors import WireError
from edgeops.core.fourier import COMPONENTS, ONE, draw_fourier, fourier_from


@pytest.mark.parametrize("features", [1, 8, 32])
def test_they_come_back_as_they_were_drawn(features: int) -> None:
    drawn = draw_fourier(features)
    found = fourier_from(drawn.to_bytes(), features)
    assert np.array_equal(found.weights, drawn.weights)
    assert np.array_equal(found.phases, drawn.phases)


def test_components_of_another_number_of_features_are_refused() -> None:
    with pytest.raises(WireError, match="components"):
        fourier_from(draw_fourier(3).to_bytes(), 4)


def test_a_value_is_the_cosine_of_its_angle_within_a_step_of_the_table() -> None:
    drawn = draw_fourier(4)
    moved = np.random.default_rng(1).integers(-64, 65, (50, 4))
    turns = (moved @ drawn.weights + drawn.phases) / 65_536
    exact = ONE * np.cos(2 * math.pi * turns)
    found = drawn.transform(moved)
    assert found.shape == (50, COMPONENTS)
    assert np.abs(found - exact).max() <= ONE * 2 * math.pi / 256 + 1
