"""On how many independent inputs a share rests: overlapping windows and groups count less than they are many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.data.splitting import Part
from edgeops.training.sampling import Sampling, parts_used, sampling_of
from edgeops.training.windows import cut


def whole(n: int) -> Sampling:
    return sampling_of(np.arange(n), (), 0, 0)


@given(right=st.lists(st.booleans(), min_size=1, max_size=60))
def test_items_of_their_own_are_as_many_as_they_are(right: list[bool]) -> None:
    assert whole(len(right)).effective_n(np.array(right)) == len(right)


@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    window=st.integers(1, 50),
    stride=st.integers(1, 80),
    seed=st.integers(0, 9),
)
def test_windows_count_no_more_than_those_that_share_no_sample_and_no_less_than_the_recordings(
    lengths: list[int], window: int, stride: int, seed: int
) -> None:
    windows = cut(lengths, window, stride)
    apart = 0
    for item in range(len(lengths)):  # greedily, from the first
        end = -(10**9)
        for start in windows.start[windows.item == item].tolist():
            if start >= end:
                apart, end = apart + 1, start + window
    sampling = sampling_of(windows.item, (), window, stride)
    right = np.random.default_rng(seed).random(len(windows)) < 0.7
    assert len(lengths) <= sampling.effective_n(right) <= max(apart, _fractional(windows, window, stride))
    assert sampling.effective_n(np.ones(len(windows), bool)) == _fractional(windows, window, stride)


def _fractional(windows: object, window: int, stride: int) -> float:
    """How often a window fits into what the windows of a recording cover."""
    counts = np.bincount(windows.item)  # type: ignore[attr-defined]
    covered = (counts - 1) * stride + window
    return float(counts.sum() if stride >= window else (covered // window).sum())


def test_errors_that_come_by_the_group_leave_as_many_items_as_groups() -> None:
    groups = tuple("abcdefgh"[i // 25] for i in range(200))
    sampling = sampling_of(np.arange(200), groups, 0, 0)
    right = np.repeat([True, False] * 4, 25)
    assert sampling.effective_n(right) == 8
    spread = np.tile([True, False], 100)  # every group has its half
    assert sampling.effective_n(spread) == 200


def test_the_design_effect_is_that_of_the_ratio_estimate() -> None:
    """Two groups of 50, right in 45 and 35: variance 2 * (2 * 5**2) / 100**2, against 0.8 * 0.2."""
    sampling = sampling_of(np.arange(100), ("a",) * 50 + ("b",) * 50, 0, 0)
    right = np.array([i % 50 < (45 if i < 50 else 35) for i in range(100)])
    assert sampling.effective_n(right) == pytest.approx(0.16 / (2 * 2 * 5**2 / 100**2))


def test_an_item_without_a_group_stands_for_itself() -> None:
    sampling = sampling_of(np.array([0, 0, 1, 2]), ("x", "", "x"), 0, 0)
    assert sampling.clusters[[0, 1, 3]].tolist() == [sampling.clusters[0]] * 3
    assert sampling.clusters[2] != sampling.clusters[0]
    assert len(sampling.take(np.array([False, False, True, True])).items) == 2


def test_the_parts_are_counted_as_they_are_used() -> None:
    items = np.array([0, 0, 1, 2, 3])
    parts = np.array([Part.TRAIN, Part.TEST, Part.TRAIN, Part.TEST, Part.TEST], np.uint8)
    files = ("set/train/a.wav", "set/Train/b.wav", "set/test/c.wav", "set/test/train.wav")
    assert parts_used(items, parts, ("x", "x", "y", ""), files) == {
        "train": {"inputs": 2, "items": 2, "groups": 1, "own_folder": 2},
        "test": {"inputs": 3, "items": 3, "groups": 3, "own_folder": 2},
    }
    assert parts_used(items, parts, (), ())["test"] == {"inputs": 3, "items": 3}
