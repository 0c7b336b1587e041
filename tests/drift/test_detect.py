"""Evidence and size of shifts in merged counters."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import WireError
from edgeops.core.observe import BINS, CONFIDENCE_BINS, Counters, FeaturePlan, ObservePlan, empty_counters
from edgeops.drift.detect import Limits, alarming, compare, merge_cells, shifts

DECILES = (0, *(100,) * 10, 0)
PLAN = ObservePlan(
    (FeaturePlan("level", tuple(range(11)), DECILES, 5, 3),),
    (0,) * 12 + (20, 30, 100, 850),
    (500, 500),
    ((0, 0),) * CONFIDENCE_BINS,
)
COUNTS = st.lists(st.integers(0, 300), min_size=BINS, max_size=BINS).map(tuple)


def window(feature: tuple[int, ...], classes: tuple[int, int] = (25, 25)) -> Counters:
    n = sum(feature)
    confidence = tuple(n * c // 1000 for c in PLAN.confidence)
    empty = empty_counters(PLAN)
    return replace(
        empty, inferences=n, observed=n, features=(feature,), confidence=confidence, classes=classes
    )


@given(st.lists(COUNTS, min_size=1, max_size=5), st.randoms())
def test_the_order_of_merging_is_irrelevant(counts: list[tuple[int, ...]], random) -> None:
    windows = [window(c) for c in counts]
    shuffled = random.sample(windows, len(windows))
    assert shifts(PLAN, reduce(add, windows)) == shifts(PLAN, reduce(add, shuffled))


@given(st.lists(st.integers(0, 200), min_size=BINS, max_size=BINS).filter(any), st.integers(1, 20))
def test_identical_proportions_have_distance_zero(reference: list[int], times: int) -> None:
    shift = compare("level", reference, [times * c for c in reference])
    assert shift is not None
    assert shift.distance == pytest.approx(0, abs=1e-6)
    assert shift.p_value == pytest.approx(1, abs=1e-6)


@given(COUNTS.filter(any), COUNTS.filter(any))
def test_every_shift_is_a_probability_and_a_distance_and_loses_no_count(reference, seen) -> None:
    shift = compare("level", reference, seen)
    assert shift is not None
    assert 0 <= shift.p_value <= 1
    assert 0 <= shift.distance <= 1
    assert shift.n == sum(seen)
    cells = merge_cells(reference, seen)
    assert (sum(r for r, _ in cells), sum(s for _, s in cells)) == (sum(reference), sum(seen))


@given(st.integers(1, 9))
def test_the_more_mass_moves_the_larger_the_distance_and_the_evidence(moved: int) -> None:
    def at(k: int):
        return compare("level", DECILES, (0, *(10 - k,) * 5, *(10 + k,) * 5, 0))

    less, more = at(moved), at(moved + 1)
    assert more.distance > less.distance
    assert more.p_value < less.p_value
    assert more.direction == "up"


def test_a_fair_sample_of_the_reference_has_a_high_p_value() -> None:
    rng = np.random.default_rng(1)
    p = [
        compare("level", DECILES, (0, *rng.multinomial(n, [0.1] * 10).tolist(), 0)).p_value
        for n in (50, 200)
        for _ in range(2000)
    ]
    assert min(p) > 1e-5
    assert 0.3 < float(np.median(p)) < 0.6


@pytest.mark.parametrize("n", [40, 50, 200])
@pytest.mark.parametrize("reference", [100, 1000, 100_000])
@pytest.mark.parametrize("overflow", [0, BINS - 1])
def test_a_single_count_beyond_the_reference_never_alarms(n: int, reference: int, overflow: int) -> None:
    seen = [0, *(n // 10,) * 10, 0]
    seen[overflow] += 1
    shift = compare("level", (0, *(reference // 10,) * 10, 0), seen)
    assert shift.p_value > 0.3
    assert not shift.passes(Limits(distance=0))


@pytest.mark.parametrize("reference", [200, 1000, 1_000_000])
def test_a_window_wholly_beyond_the_reference_is_seen_even_where_the_reference_is_one_value(
    reference: int,
) -> None:
    only_one_bin = (0,) * 10 + (reference, 0)
    shift = compare("contrast", only_one_bin, (50, *(0,) * 11))
    assert shift.passes(Limits())
    assert shift.direction == "down"


@pytest.mark.parametrize(
    ("seen", "direction"),
    [
        ((0, 0, 0, 0, 0, 0, 10, 10, 10, 10, 10, 0), "up"),
        ((0, 10, 10, 10, 10, 10, 0, 0, 0, 0, 0, 0), "down"),
        ((0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0), "both"),
        ((0, 0, 0, 0, 0, 25, 25, 0, 0, 0, 0, 0), "both"),
    ],
)
def test_the_direction_is_where_the_mass_went(seen: tuple[int, ...], direction: str) -> None:
    assert compare("level", DECILES, seen).direction == direction


def test_other_classes_inform_and_do_not_alarm() -> None:
    counters = window((0, *(5,) * 10, 0), classes=(50, 0))
    classes = next(s for s in shifts(PLAN, counters) if s.signal == "classes")
    assert classes.p_value < 1e-6
    assert classes.distance > 0.15
    assert not classes.passes(Limits())
    assert alarming(PLAN, counters) == ()


def test_both_evidence_and_size_must_pass() -> None:
    huge_but_small = compare("level", tuple(1000 * c for c in DECILES), (0, *(9500,) * 5, *(10500,) * 5, 0))
    assert huge_but_small.p_value < 1e-6
    assert not huge_but_small.passes(Limits())
    few = compare("level", DECILES, (0, *(0,) * 9, 30, 0))
    assert few.distance > 0.5
    assert not few.passes(Limits())


def test_counters_of_other_bins_are_refused_and_do_not_merge() -> None:
    other = replace(window((0, *(5,) * 10, 0)), bins=b"another!")
    with pytest.raises(WireError, match="other bins"):
        shifts(PLAN, other)
    with pytest.raises(WireError, match="do not merge"):
        window((0, *(5,) * 10, 0)) + other
    with pytest.raises(WireError, match="do not fit"):
        compare("level", (1, 2), (1, 2, 3))


def test_no_counts_no_shift() -> None:
    assert shifts(PLAN, empty_counters(PLAN)) == ()


@pytest.mark.parametrize(
    "bad", [{"alpha": 0}, {"distance": 2}, {"min_inputs": 0}, {"spans": ()}, {"spans": (0,)}]
)
def test_limits_without_meaning_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="drift limits"):
        Limits(**bad)


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, edgeops.drift.watch, edgeops.drift.policy, edgeops.drift.estimate; "
        "print([m for m in ('scipy', 'sqlalchemy', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
