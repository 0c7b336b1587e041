"""Accuracy, estimated from confidence and measured from labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.counters import Counters, empty_counters
from edgeops.core.errors import WireError
from edgeops.core.observe import CONFIDENCE_BINS, ObservePlan
from edgeops.drift.estimate import calibration_curve, estimated_accuracy, measured_accuracy

RIGHT = np.linspace(0.2, 0.99, CONFIDENCE_BINS)
CALIBRATION = tuple((400, round(400 * p)) for p in RIGHT)
PLAN = ObservePlan((), (400,) * CONFIDENCE_BINS, (1, 1), CALIBRATION)


def counted(confidence: list[int], plan: ObservePlan = PLAN) -> Counters:
    return replace(empty_counters(plan), inferences=sum(confidence), confidence=tuple(confidence))


def test_under_covariate_shift_the_estimate_is_close_and_its_interval_honest() -> None:
    rng = np.random.default_rng(3)
    errors, inside = [], 0
    for _ in range(300):
        mix = rng.dirichlet(np.ones(CONFIDENCE_BINS))
        seen = rng.multinomial(500, mix)
        truth = rng.binomial(seen, RIGHT).sum() / 500
        estimate = estimated_accuracy(PLAN, counted(seen.tolist()))
        errors.append(abs(estimate.value - truth))
        inside += estimate.low <= truth <= estimate.high
    assert float(np.mean(errors)) < 0.02
    assert 0.90 < inside / 300 <= 1.0


@given(st.lists(st.integers(0, 500), min_size=CONFIDENCE_BINS, max_size=CONFIDENCE_BINS).filter(any))
def test_an_estimate_lies_in_its_interval_and_in_the_unit_interval(confidence: list[int]) -> None:
    estimate = estimated_accuracy(PLAN, counted(confidence))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_empty_bins_borrow_from_their_neighbours() -> None:
    curve = calibration_curve(((0, 0), (9, 4), (0, 0), (9, 7), (0, 0)))
    assert curve == pytest.approx((0.45, 0.45, 0.6, 0.75, 0.75))
    assert calibration_curve(((0, 0), (0, 0))) is None


def test_nothing_to_go_by_is_no_estimate() -> None:
    assert estimated_accuracy(PLAN, empty_counters(PLAN)) is None
    blind = replace(PLAN, calibration=((0, 0),) * CONFIDENCE_BINS)
    assert estimated_accuracy(blind, counted([1] * CONFIDENCE_BINS, blind)) is None
    with pytest.raises(WireError, match="other bins"):
        estimated_accuracy(PLAN, replace(counted([1] * CONFIDENCE_BINS), bins=b"another!"))


def test_wilsons_interval_against_the_published_values() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81/263, 15/148, 0/20, 1/29
    for correct, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        measured = measured_accuracy(correct, n)
        assert (measured.value, measured.low, measured.high) == pytest.approx(
            (correct / n, low, high), abs=5e-5
        )
    one = measured_accuracy(1, 29)
    assert (one.low, one.high) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert measured_accuracy(20, 20).high == 1


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(correct: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a measurement"):
        measured_accuracy(correct, n)
