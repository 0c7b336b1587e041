"""p-values that are what they say under the null, and small where a feature moved in level, spread or shape."""

from __future__ import annotations

import numpy as np
import pytest
from drift.streams import normal
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.core.errors import DataError
from edgeops.core.moments import MAX_STEPS, steps
from edgeops.core.observe import BINS
from edgeops.drift.arrays import scale_of
from edgeops.drift.evidence import Counted, p_values, weighed
from edgeops.drift.reference import FeatureReference, references
from edgeops.drift.size import jensen_shannon
from edgeops.drift.windows import count_windows, merged

WINDOW = 200
FAR = st.integers(-(2**40), 2**40)
COUNTS = st.lists(st.integers(0, 1000), min_size=BINS, max_size=BINS)


def look(x: np.ndarray, stream: np.ndarray, window: int = WINDOW) -> tuple[FeatureReference, Counted]:
    scale = scale_of(x[:, np.newaxis])
    (reference,) = references(["x"], *scale.integers(x[:, np.newaxis]))
    values, seen = scale.integers(stream[:, np.newaxis])
    return reference, count_windows(reference, values[:, 0], seen[:, 0], window)


def p_of(x: np.ndarray, stream: np.ndarray, window: int = WINDOW) -> np.ndarray:
    reference, counted = look(x, stream, window)
    return p_values(reference, counted, reference.calibration(window))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_a_thousandth_of_null_windows_has_a_p_value_below_a_thousandth(rho: float) -> None:
    p = np.concatenate(
        [p_of(normal(s, 8_000, rho=rho)[:, 0], normal(50 + s, 400_000, rho=rho)[:, 0]) for s in range(6)]
    )
    assert ((p < 1e-3).mean(axis=0) < 2.5e-3).all()
    if rho == 0:
        assert ((p < 1e-2).mean(axis=0) > 6e-3).all(), "independent windows lose no power"


@pytest.mark.parametrize(
    ("change", "test"),
    [
        (lambda v: v + 0.5, 0),
        (lambda v: v * 1.4, 1),
        (lambda v: np.sign(v) * (0.87 + 0.5 * np.abs(v - np.sign(v))), 2),
    ],
    ids=["level", "spread", "shape"],
)
def test_each_test_sees_what_it_is_for(change, test: int) -> None:
    p = p_of(normal(1, 10_000)[:, 0], change(normal(2, 40_000)[:, 0]))
    assert (p[:, test] < 1e-4).mean() > 0.9


def test_dependent_values_need_a_long_reference_and_it_is_said_how_long() -> None:
    with pytest.raises(DataError, match=r"windows of 1000 need 10000, since its values depend"):
        p_of(normal(1, 3_000, rho=0.9)[:, 0], normal(2, 3_000, rho=0.9)[:, 0], 1_000)
    with pytest.raises(DataError, match="at least 100 are needed"):
        p_of(normal(1, 50)[:, 0], normal(2, 400)[:, 0])


def test_a_constant_that_changes_is_evidence_and_one_that_does_not_is_none() -> None:
    p = weighed(p_of(np.full(500, 7.0), np.concatenate([np.full(200, 7.0), np.full(200, 8.0)])))
    assert p[0] == 1.0
    assert p[1] < 1e-12


def test_one_other_value_where_there_never_was_one_is_hardly_evidence() -> None:
    stream = np.full(200, 7.0)
    stream[17] = 8.0
    assert weighed(p_of(np.full(500, 7.0), stream))[0] > 0.05
    stream[17:27] = 8.0
    assert weighed(p_of(np.full(500, 7.0), stream))[0] < 1e-3


def test_an_empty_window_is_no_evidence() -> None:
    stream = np.full(400, np.nan)
    stream[200:] = normal(3, 200)[:, 0]
    assert weighed(p_of(normal(1, 2_000)[:, 0], stream))[0] == 1.0


def test_few_distinct_values_are_counted_in_as_many_cells() -> None:
    draw = np.random.default_rng(3)
    x = draw.integers(0, 3, 5_000).astype(float)
    same, other = (
        draw.integers(0, 3, 20_000).astype(float),
        draw.choice(3, 20_000, p=[0.6, 0.2, 0.2]).astype(float),
    )
    assert (weighed(p_of(x, same)) < 1e-4).mean() < 0.02
    assert (weighed(p_of(x, other)) < 1e-4).mean() > 0.9


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=20, max_size=200), st.integers(2, 10))
def test_windows_are_counted_as_one_would_by_hand_and_merge_as_longer_ones(
    values: list[float], size: int
) -> None:
    reference, counted = look(normal(1, 500)[:, 0], np.array(values), size)
    scale = scale_of(normal(1, 500))
    for window in range(len(values) // size):
        part = np.array(values[window * size : (window + 1) * size])
        known = scale.integers(part[~np.isnan(part)][:, np.newaxis])[0][:, 0]
        moved = steps(known, reference.plan.mean, reference.plan.deviation)
        assert counted.n[window] == len(known)
        assert (counted.sums[window], counted.squares[window]) == (moved.sum(), (moved**2).sum())
    _, twice = look(normal(1, 500)[:, 0], np.array(values), 2 * size)
    pairs = merged(counted, 2)
    for window in range(len(twice.n)):
        assert pairs.bins[2 * window + 1].tolist() == twice.bins[window].tolist()
        assert pairs.squares[2 * window + 1] == twice.squares[window]


@given(
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20),
    st.integers(-(2**40), 2**40),
    st.integers(0, 2**40),
)
def test_steps_stay_within_their_bounds(values: list[int], mean: int, deviation: int) -> None:
    found = steps(np.array(values), mean, deviation)
    assert np.abs(found).max() <= MAX_STEPS


class TestSize:
    def test_a_tenth_of_a_deviation_has_the_distance_that_the_limit_is_set_by(self) -> None:
        reference, counted = look(normal(1, 100_000)[:, 0], normal(2, 400_000)[:, 0] + 0.1, 400_000)
        apart = jensen_shannon(np.array(reference.plan.reference), counted.bins)[0]
        assert 0.02 < apart == pytest.approx(0.036, abs=0.01)

    @given(
        st.lists(st.integers(0, 1000), min_size=BINS, max_size=BINS),
        st.lists(st.integers(0, 1000), min_size=BINS, max_size=BINS),
    )
    def test_distances_are_symmetric_and_within_0_and_1(self, a: list[int], b: list[int]) -> None:
        one, two = np.array(a), np.array(b)
        if one.sum() and two.sum():
            forth, back = jensen_shannon(one, two[np.newaxis])[0], jensen_shannon(two, one[np.newaxis])[0]
            assert forth == pytest.approx(back, abs=1e-9)
            assert 0 <= forth <= 1
        assert jensen_shannon(one, one[np.newaxis])[0] == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("window", [50, 200])
@pytest.mark.parametrize("draw", ["student", "lognormal"])
def test_values_with_heavy_tails_are_quiet_too(draw: str, window: int) -> None:
    """An outlier in the reference made ordinary windows certain: its skewness cut the lower tail off."""

    def values(seed: int, rows: int) -> np.ndarray:
        made = np.random.default_rng(seed)
        return made.standard_t(3, rows) if draw == "student" else made.lognormal(0.0, 1.0, rows)

    p = np.concatenate(
        [p_of(values(seed, 900), values(100 + seed, 100 * window), window) for seed in range(30)]
    )
    assert (weighed(p) < 1e-3).mean() < 0.004
