"""How much window means vary: exactly as the formulas say for known processes, and 1 for independent values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drift.streams import normal

from edgeops.drift.dispersion import Dispersion, Inflation
from edgeops.drift.tails import two_sided


def of(series: np.ndarray) -> Dispersion:
    return Dispersion(np.asarray(series, np.float64))


@pytest.mark.parametrize("seed", range(10))
def test_independent_values_inflate_nothing(seed: int) -> None:
    assert of(normal(seed, 5_000)[:, 0]).inflation(200) == Inflation(1.0, math.inf)


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.9])
def test_neighbours_that_depend_on_each_other_inflate_as_the_formula_says(rho: float) -> None:
    """(1 + rho) / (1 - rho) for long windows (Box & Jenkins)."""
    found = of(normal(3, 40_000, rho=rho)[:, 0]).inflation(2_000)
    assert found.factor == pytest.approx((1 + rho) / (1 - rho), rel=0.15)
    assert not found.independent


def test_a_cycle_that_is_longer_than_a_window_is_seen_by_blocks() -> None:
    """A window of 200 within a cycle of 1,440 has nearly the mean of its phase: 200 times half the signal's power."""
    rows = np.arange(20_000)
    series = normal(4, 20_000)[:, 0] + np.sin(2 * np.pi * rows / 1_440)
    assert of(series).inflation(200).factor == pytest.approx(200 * 0.5 / 1.5, rel=0.15)


def test_negative_dependence_never_gives_less_than_nothing() -> None:
    series = normal(5, 5_000, rho=-0.9)[:, 0]
    assert 0 < of(series).inflation(100).factor < 0.3


@pytest.mark.parametrize("series", [np.zeros(500), np.full(500, 3.5), np.arange(3.0)])
def test_a_constant_or_tiny_series_is_no_reason_to_fail(series: np.ndarray) -> None:
    assert of(series).inflation(10).factor > 0


class TestTails:
    def test_known_deviations(self) -> None:
        assert two_sided([0.0, 1.959964, -2.575829], math.inf, 0.0, 0.0) == pytest.approx(
            [1.0, 0.05, 0.01], rel=1e-5
        )

    def test_few_degrees_of_freedom_make_tails_of_student(self) -> None:
        assert two_sided(2.262157, 9.0, 0.0, 0.0) == pytest.approx(0.05, rel=1e-5)

    def test_a_sum_of_squares_is_exact(self) -> None:
        """A chi-squared with k degrees of freedom has the skewness sqrt(8 / k)."""
        from scipy.stats import chi2

        k = 20
        z = (chi2.isf(1e-6, k) - k) / math.sqrt(2 * k)
        assert two_sided(z, math.inf, math.sqrt(8 / k), math.sqrt(8 / k)) == pytest.approx(2e-6, rel=1e-6)
        low = (chi2.ppf(1e-4, k) - k) / math.sqrt(2 * k)
        assert two_sided(low, math.inf, math.sqrt(8 / k), math.sqrt(8 / k)) == pytest.approx(2e-4, rel=1e-6)

    def test_what_was_not_seen_is_no_evidence(self) -> None:
        assert two_sided([np.nan, np.inf], math.inf, 0.0, 0.0).tolist() == [1.0, 1.0]
