"""How a drift detector is judged beside its peers."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FIGURES = st.tuples(st.integers(0, 9), st.integers(1, 12))


def load(name: str) -> ModuleType:
    """A module of the benchmarks, which find each other in their own folder."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


judging = load("drift_judging")
peers_run = load("drift_peers_run")
bench_peers = load("bench_drift_peers")
bench_drift = load("bench_drift")
OURS, ALWAYS = judging.OURS, judging.ALWAYS


def score(delay: int, false: int = 0, windows: int = 20, change: int = 10) -> object:
    """One run with so many false alarms before the change and an alarm in the ``delay``-th window after it."""
    found = judging.Score()
    found.add(
        windows, change, [*range(false), change + delay - 1][: None if delay <= windows - change else -1]
    )
    return found


def test_a_delay_counts_from_the_changed_window_on_and_false_alarms_before_it() -> None:
    found = judging.Score()
    found.add(20, 10, [3, 4, 12, 13])
    assert (found.delays, found.false, found.null, found.missed) == ([3], 2, 10, 0)
    assert found.rate == 200


def test_a_miss_counts_one_window_more_than_was_watched() -> None:
    found = judging.Score()
    found.add(20, 10, [3])
    assert (found.delay, found.misses) == (11, 1.0)


def test_every_window_of_a_null_stream_is_one_without_drift() -> None:
    found = judging.Score()
    found.add(20, None, [19])
    assert (found.null, found.false, found.delays) == (20, 1, [])


def test_the_detector_that_always_fires_misses_nothing_and_is_wrong_throughout() -> None:
    found = judging.Score()
    found.add(20, 10, range(20))
    assert (found.delay, found.misses, found.rate) == (1, 0.0, 1000)


def test_the_bound_of_a_rate_without_false_alarms_is_three_in_so_many_windows() -> None:
    found = judging.Score()
    found.add(1000, None, [])
    assert found.bound == pytest.approx(-np.log(0.05), rel=1e-6)


def test_the_best_is_the_earliest_and_of_equally_early_ones_the_quietest() -> None:
    scores = {"late": score(2), "loud": score(1, false=5), "quiet": score(1, false=1)}
    assert judging.best_of(scores, list(scores)) == "quiet"


def test_the_detector_that_always_fires_is_no_peer() -> None:
    scores = {OURS: score(2), ALWAYS: score(1, false=10), "ADWIN": score(3)}
    assert judging.settings_of_peers(scores) == ["ADWIN"]


def test_a_peer_that_is_earlier_at_the_price_of_false_alarms_is_not_ahead() -> None:
    assert judging.ahead_of_us({OURS: score(2), "loud": score(1, false=1)}) == []


def test_a_peer_that_is_as_early_with_fewer_false_alarms_is_ahead() -> None:
    assert judging.ahead_of_us({OURS: score(2, false=3), "quiet": score(2, false=2)}) == ["quiet"]


@given(ours=FIGURES, theirs=FIGURES)
def test_of_two_at_most_one_is_ahead(ours: tuple[int, int], theirs: tuple[int, int]) -> None:
    (a_false, a_delay), (b_false, b_delay) = ours, theirs
    a, b = score(a_delay, a_false), score(b_delay, b_false)
    assert not (judging.ahead_of_us({OURS: a, "b": b}) and judging.ahead_of_us({OURS: b, "a": a}))


@given(ours=FIGURES, theirs=FIGURES)
def test_where_the_best_peer_is_neither_earlier_nor_quieter_nobody_is_ahead(
    ours: tuple[int, int], theirs: tuple[int, int]
) -> None:
    (a_false, a_delay), (b_false, b_delay) = ours, theirs
    scores = {OURS: score(a_delay, a_false), "b": score(b_delay, b_false)}
    later = scores[OURS].delay - scores["b"].delay
    over = scores[OURS].rate - scores["b"].rate
    if later < 0 and over < 0:
        assert judging.ahead_of_us(scores) == []
    if later >= 0 and over > 0 and scores["b"].misses <= scores[OURS].misses:
        assert judging.ahead_of_us(scores) == ["b"]


def test_the_comparison_says_how_much_later_and_louder_than_the_best_peer() -> None:
    measured = peers_run.Measured({}, [], {"river": "0.26"}, [])
    scores = {OURS: score(3, false=2), ALWAYS: score(1, false=10), "ADWIN tuned": score(1, false=1)}
    rows = {row["name"]: row for row in bench_peers.comparison("real_x", scores, measured)}
    assert [rows[f"real_x_{of}"]["value"] for of in ("later", "false_over", "ahead")] == [2, 100, 1]
    assert rows["real_x_later"]["peer"] == {"name": "ADWIN tuned", "version": "0.26", "value": 1}


def test_without_the_peers_environment_it_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peers_run, "PEERS", tmp_path / "missing")
    with pytest.raises(SystemExit, match="make bench-peers"):
        peers_run.measure({})


def test_the_table_has_misses_and_the_bound_of_false_alarms() -> None:
    table = bench_peers.table({"real_x": {OURS: score(11), ALWAYS: score(1, false=10)}})
    head, ours, always = table.splitlines()
    assert head.split() == ["STREAM", "DETECTOR", "FALSE/1k", "AT", "MOST", "OF", "DELAY", "MEAN", "MISSED"]
    assert ours.endswith("100%")
    assert always.split()[-1] == "0%"


def test_dependent_values_are_worth_as_many_independent_ones_as_their_information_says() -> None:
    assert bench_drift.effective_size(200, 0.0) == 200
    n, rho = 40, 0.9
    lags = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    information = np.linalg.inv(rho**lags).sum()
    assert bench_drift.effective_size(n, rho) == pytest.approx(information)


def test_no_shift_is_found_as_often_as_false_alarms_are_allowed() -> None:
    assert bench_drift.most_power(0.0, 100, 0.001) == pytest.approx(0.001)
