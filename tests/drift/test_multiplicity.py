"""Of what is believed, few are false; and what false alarms a person allows is read as it is written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import UsageError
from edgeops.drift.budget import parse_false_alarms
from edgeops.drift.multiplicity import benjamini_hochberg, hierarchical, simes

P = st.lists(st.floats(0, 1), min_size=1, max_size=60).map(np.array)


def test_the_example_of_benjamini_and_hochberg() -> None:
    """Their table 1: fifteen p-values, of which four pass at 5 %."""
    p = np.array(
        [
            0.0001,
            0.0004,
            0.0019,
            0.0095,
            0.0201,
            0.0278,
            0.0298,
            0.0344,
            0.0459,
            0.324,
            0.4262,
            0.5719,
            0.6528,
            0.759,
            1.0,
        ]
    )
    assert benjamini_hochberg(p, 0.05).tolist() == [True] * 4 + [False] * 11


@given(P, st.floats(0.001, 0.5))
def test_smaller_p_values_pass_before_larger_ones_and_no_fewer_than_by_bonferroni(
    p: np.ndarray, rate: float
) -> None:
    passed = benjamini_hochberg(p, rate)
    if passed.any():
        assert p[passed].max() <= min([*p[~passed], 1.0]) or np.isclose(p[passed].max(), p[~passed].min())
    assert (passed >= (p <= rate / len(p))).all()


@given(P)
def test_simes_is_never_larger_than_bonferroni(p: np.ndarray) -> None:
    assert simes(p[np.newaxis])[0] <= min(1.0, p.min() * len(p)) + 1e-12


def test_few_discoveries_in_a_fleet_are_false() -> None:
    draw = np.random.default_rng(1)
    found = false = 0
    for _ in range(60):
        p = draw.uniform(size=(300, 32))
        p[:3, 0] = draw.uniform(0, 1e-8, 3)
        passed = hierarchical(p, 0.05)
        found, false = found + passed.sum(), false + passed.sum() - passed[:3, 0].sum()
    assert found >= 180
    assert false / found < 0.1


def test_nothing_at_all_is_rarely_believed() -> None:
    draw = np.random.default_rng(2)
    assert sum(hierarchical(draw.uniform(size=(300, 32)), 0.05).any() for _ in range(200)) < 25


@pytest.mark.parametrize(
    ("text", "interval", "rate"),
    [
        ("1 per 30 days per device", 60.0, 1 / 43_200),
        ("2 per day", 3_600.0, 2 / 24),
        ("1 per 3000 windows", None, 1 / 3_000),
        ("0.5 per week", 60.0, 0.5 / 10_080),
    ],
)
def test_an_allowance_in_time_becomes_one_for_each_window(
    text: str, interval: float | None, rate: float
) -> None:
    assert parse_false_alarms(text).per_window(interval) == pytest.approx(rate)


@pytest.mark.parametrize(
    "text", ["", "often", "1 per fortnight", "-1 per day", "0 per day", "1 per 0 windows", "1 day"]
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_false_alarms(text)
    assert "1 per 30 days" in (caught.value.fix or "")


def test_an_allowance_in_time_needs_to_know_how_long_a_window_lasts() -> None:
    with pytest.raises(UsageError, match="how long a window lasts"):
        parse_false_alarms("1 per day").per_window()
    with pytest.raises(UsageError, match="leave nothing"):
        parse_false_alarms("1 per day").per_window(86_400.0)
