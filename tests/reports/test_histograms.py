"""Histograms of a table's features: what is counted, and how it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.data.dataset import Dataset
from edgeops.data.histograms import BINS, MOST_CLASSES, MOST_FEATURES, histograms
from edgeops.reports.histograms import Distribution, distribution


def table(values: np.ndarray, classes: int = 2, columns: tuple[str, ...] = ()) -> Dataset:
    count = len(values)
    return Dataset(
        "t", 1, values.astype(np.float32), np.arange(count) % classes, tuple(map(str, range(classes))),
        np.zeros(count, np.uint8), ("source",) * count, "table", columns=columns,
    )  # fmt: skip


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=40))
def test_every_item_is_in_one_bin_of_its_class(values: list[float]) -> None:
    (found,) = histograms(table(np.array(values)[:, np.newaxis]))
    assert found.counts.shape == (2, BINS)
    assert found.counts.sum(axis=1).tolist() == [(len(values) + 1) // 2, len(values) // 2]
    assert (found.low, found.high) == (min(values), max(values))


def test_features_have_their_names_and_classes_their_own_row() -> None:
    values = np.stack([np.arange(40) % 2, np.zeros(40)], axis=1)
    heat, wind = histograms(table(values, columns=("heat", "wind")))
    assert (heat.feature, wind.feature) == ("heat", "wind")
    assert np.flatnonzero(heat.counts[0]).tolist() == [0]
    assert np.flatnonzero(heat.counts[1]).tolist() == [BINS - 1]
    assert wind.counts.sum() == 40
    assert histograms(table(values))[1].feature == "column 1"


def test_of_many_the_first_features_and_the_largest_classes_are_shown() -> None:
    rng = np.random.default_rng(1)
    found = histograms(table(rng.normal(size=(60, MOST_FEATURES + 9)), MOST_CLASSES + 5))
    assert len(found) == MOST_FEATURES
    assert len(found[0].labels) == MOST_CLASSES


def test_images_have_none() -> None:
    pictures = Dataset(
        "p", 1, np.zeros((2, 3, 3), np.uint8), np.arange(2), ("a", "b"), np.zeros(2, np.uint8), ("source",) * 2,
        "image",
    )  # fmt: skip
    assert histograms(pictures) == []


def test_the_drawing_names_classes_and_range_and_escapes_them() -> None:
    counts = np.zeros((2, BINS), np.int64)
    counts[0, 0], counts[1, 3], counts[1, 4] = 5, 2, 1
    drawn = str(distribution(Distribution("<heat>", -1.5, 20.25, ["a&b", "long name of a class"], counts)))
    assert drawn.count("<rect") == 3
    assert "<title>&lt;heat&gt;: from -1.5 to 20.25, by class</title>" in drawn
    assert "a&amp;b" in drawn and "long name …" in drawn
    assert drawn.count("<text") == 4


@pytest.mark.parametrize("filled", [0, 7])
def test_a_class_without_items_is_an_empty_row(filled: int) -> None:
    counts = np.zeros((1, BINS), np.int64)
    counts[0, 0] = filled
    assert str(distribution(Distribution("x", 0, 1, ["a"], counts))).count("<rect") == bool(filled)
