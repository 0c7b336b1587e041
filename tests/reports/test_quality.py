"""Figures with their intervals: the fewer independent items, the wider."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.drift.estimate import measured_accuracy
from edgeops.reports.quality import accuracy, area, false_alarms, inputs_of, recall, scarce, share

FOUND: dict[str, Any] = {"accuracy": 0.9, "n": 300, "confusion": [[90, 10], [20, 180]], "auc": 0.97}


@given(correct=st.integers(0, 500), more=st.integers(0, 500))
def test_independent_items_have_wilsons_interval(correct: int, more: int) -> None:
    n = correct + more
    if n:
        figure, known = accuracy({"accuracy": correct / n, "n": n}), measured_accuracy(correct, n)
        assert (figure.value, figure.low, figure.high) == (known.value, known.low, known.high)


@given(share_right=st.floats(0, 1), few=st.floats(1, 400), more=st.floats(0, 400))
def test_the_fewer_are_independent_the_wider_is_the_interval(
    share_right: float, few: float, more: float
) -> None:
    wide, narrow = (
        accuracy({"accuracy": share_right, "n": 1000, "effective_n": n}) for n in (few, few + more)
    )
    assert wide.low is not None and wide.high is not None
    assert narrow.low is not None and narrow.high is not None
    assert wide.low <= narrow.low + 1e-12 and narrow.high <= wide.high + 1e-12
    assert wide.value == narrow.value == share_right


def test_three_items_that_were_right_say_little() -> None:
    assert share(accuracy({"accuracy": 1.0, "n": 3})) == "1.000 (0.439..1.000)"


def test_false_alarms_are_what_normal_items_miss() -> None:
    alarms, normal = false_alarms(FOUND), recall(FOUND, 0)
    assert alarms.value == pytest.approx(0.1)
    assert alarms.low == pytest.approx(1 - (normal.high or 0))
    assert share(false_alarms({**FOUND, "confusion": [[0, 0], [20, 180]]})) == "-"


def test_each_class_has_its_own_number() -> None:
    fewer = {**FOUND, "effective_n": 30.0, "class_effective_n": [10.0, 20.0]}
    for figure in (area, lambda m: recall(m, 1), false_alarms):
        narrow, wide = figure(FOUND), figure(fewer)
        assert (wide.high or 0) - (wide.low or 0) > (narrow.high or 0) - (narrow.low or 0)
        assert wide.value == narrow.value


@pytest.mark.parametrize(
    ("counts", "kind", "words", "few"),
    [
        ({"inputs": 2000, "items": 2000}, "image", "2,000 images", ""),
        ({"inputs": 1, "items": 1}, "table", "1 row", "1 row"),
        ({"inputs": 9763, "items": 17}, "series", "9,763 windows of 17 recordings", "17 recordings"),
        ({"inputs": 500, "items": 500, "groups": 1}, "audio", "500 recordings of 1 group", "1 group"),
        ({"inputs": 50, "items": 40, "groups": 4}, "audio", "50 windows of 40 recordings, of 4 groups", ""),
        ({"inputs": 50, "items": 50, "groups": 50}, "image", "50 images", ""),
    ],
)
def test_the_units_of_a_part_are_named(counts: dict[str, int], kind: str, words: str, few: str) -> None:
    assert inputs_of(counts, kind) == words
    assert scarce(counts, kind) == few
