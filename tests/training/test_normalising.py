"""Front ends that end in what the train part shows: mean 0 and deviation 1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import ConfigError
from edgeops.core.features.columns import MOST
from edgeops.core.features.steps import apply_to_batch, undo_steps
from edgeops.training.normalising import MOST_STEPS, measured_steps


def table(rows: int, columns: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-3, 4, columns)
    return (rng.normal(3, 1, (rows, columns)) * scale).astype(np.float32)


def every(inputs: np.ndarray) -> np.ndarray:
    return np.arange(len(inputs))


def test_no_means_no_step() -> None:
    assert measured_steps("no", table(5, 3), every(table(5, 3))) == ()


@pytest.mark.parametrize("columns", [1, 6, 7, 8, 20])
def test_every_column_gets_mean_0_and_deviation_1(columns: int) -> None:
    inputs = table(400, columns)
    steps = measured_steps("columns", inputs, every(inputs))
    assert len(steps) == -(-columns // MOST)
    made = apply_to_batch(steps, inputs)
    assert made.mean(axis=0) == pytest.approx(0, abs=0.01)
    assert made.std(axis=0) == pytest.approx(1, abs=0.01)


def test_the_whole_keeps_the_columns_apart() -> None:
    inputs = table(300, 4)
    made = apply_to_batch(measured_steps("whole", inputs, every(inputs)), inputs)
    assert made.mean() == pytest.approx(0, abs=0.01)
    assert made.std() == pytest.approx(1, abs=0.01)


def test_coefficients_of_a_spectrogram_are_columns() -> None:
    inputs = table(200 * 5, 3).reshape(200, 5, 3, 1)
    made = apply_to_batch(measured_steps("columns", inputs, every(inputs)), inputs)
    assert made.std(axis=(0, 1, 3)) == pytest.approx(1, abs=0.01)


def test_only_the_given_rows_are_looked_at() -> None:
    inputs = np.concatenate([table(100, 2), table(100, 2) * 1000])
    assert measured_steps("columns", inputs, np.arange(100)) == measured_steps(
        "columns", inputs[:100], np.arange(100)
    )


def test_a_column_that_never_changes_stays_finite() -> None:
    inputs = np.full((10, 2), 7, np.float32)
    made = apply_to_batch(measured_steps("columns", inputs, every(inputs)), inputs)
    assert (made == 0).all()


def test_more_columns_than_a_manifest_has_room_for_are_refused() -> None:
    inputs = table(4, MOST * MOST_STEPS + 1)
    with pytest.raises(ConfigError, match="57 columns are more than the 56"):
        measured_steps("columns", inputs, every(inputs))


@given(st.integers(1, 9), st.integers(0, 50))
def test_what_was_normalised_can_be_undone(columns: int, seed: int) -> None:
    inputs = table(20, columns, seed)
    steps = measured_steps("columns", inputs, every(inputs))
    back = np.stack([undo_steps(steps, item) for item in apply_to_batch(steps, inputs)])
    assert np.allclose(back, inputs, rtol=1e-4, atol=1e-5 * np.abs(inputs).max())
