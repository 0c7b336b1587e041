"""What a column of time says of the sample rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.data.readers.clock import Clock, clock_of, is_time

KNOWN = Clock(50.0, True, False)


@pytest.mark.parametrize(
    "name",
    ["t", "time", "Time (s)", "time_ms", "TIMESTAMP", "timestamp [us]", "t_s", "datetime", "elapsed ms"],
)
def test_names_of_time(name: str) -> None:
    assert is_time(name)


@pytest.mark.parametrize("name", ["torque", "ts2", "timeout", "temperature", "runtime", "t2", "times_called"])
def test_names_of_anything_else(name: str) -> None:
    assert not is_time(name)


@pytest.mark.parametrize(
    ("name", "step", "start"),
    [
        ("time", 0.02, 0.0),
        ("time_ms", 20.0, 0.0),
        ("t_us", 20_000.0, 5.0),
        ("timestamp", 0.02, 1.7e9),
        ("timestamp", 20.0, 1.7e12),
        ("timestamp", 20_000.0, 1.7e15),
        ("timestamp", 2e7, 1.7e18),
    ],
)
def test_the_unit_is_that_of_the_name_or_of_a_time_since_1970(name: str, step: float, start: float) -> None:
    assert clock_of(name, start + step * np.arange(100)) == KNOWN


def test_dates_are_read() -> None:
    texts = [f"2024-03-01T12:00:0{n // 50}.{n % 50 * 20:03}{'Z' if n % 2 else '+00:00'}" for n in range(100)]
    assert clock_of("datetime", texts) == KNOWN
    assert clock_of("datetime", ["yesterday", "today", "now"]) == Clock(0.0, False, False)


def test_without_a_unit_milliseconds_are_a_guess() -> None:
    assert clock_of("time", 20.0 * np.arange(9)) == Clock(50.0, True, True)


@pytest.mark.parametrize("step", [1.0, 5000.0, 0.0, -0.02])
def test_what_may_count_samples_or_does_not_rise_says_nothing(step: float) -> None:
    assert clock_of("time", step * np.arange(9)).rate_hz == 0


def test_too_few_or_missing_times_say_nothing() -> None:
    assert clock_of("time", np.array([0.0, 0.02])).rate_hz == 0
    assert clock_of("time", np.zeros(0)).rate_hz == 0
    assert clock_of("time", np.array([0.0, np.nan, 0.04, 0.06])).rate_hz == 0


def test_uneven_steps_are_told() -> None:
    times = np.delete(0.02 * np.arange(100), 50)
    assert clock_of("time", times) == Clock(50.0, False, False)


@given(rate=st.integers(2, 40_000), count=st.integers(500, 900), start=st.floats(0, 100))
def test_a_regular_clock_gives_its_rate_whatever_it_begins_with(rate: int, count: int, start: float) -> None:
    found = clock_of("time_s", start + np.arange(count) / rate)
    assert found.regular
    assert found.rate_hz == pytest.approx(rate, rel=2e-3)


def test_times_that_were_rounded_to_milliseconds_give_the_rate_all_the_same() -> None:
    assert clock_of("time", np.round(np.arange(600) / 60, 3)) == Clock(60.0, True, False)
