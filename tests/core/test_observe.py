"""Counters: integer functions of the quantized input, that merge by addition in any order."""

from __future__ import annotations

import itertools
from dataclasses import astuple, replace
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.counted import counters as any_counters
from support.counted import empty
from support.packages import observe_plan

from edgeops.core.counters import Counters, empty_counters
from edgeops.core.errors import WireError
from edgeops.core.fourier import COMPONENTS
from edgeops.core.input_features import FEATURES, extract
from edgeops.core.observe import (
    BINS,
    LATENCY_BINS,
    bin_of,
    confidence_bin,
    latency_bin,
    plan_feature,
)
from edgeops.core.window import Window

PLAN = observe_plan()
INT8 = hnp.arrays(np.int8, st.sampled_from([(1, 4), (3, 5, 4), (2, 3, 3, 2), (1, 1), (1, 1, 1)]))
NOTHING = replace(
    empty(2, 3),
    moments=((0, 0),) * 2,
    margin=(0,) * BINS,
    margin_moments=(0, 0),
    fourier=(0,) * COMPONENTS,
)
SCORES = [-90, 100, -128, -128, -10]


def counters() -> st.SearchStrategy[Counters]:
    """Any that windows of one plan can make."""
    return any_counters(2, 3, (True, True, True))


class TestMerging:
    @given(a=counters(), b=counters(), c=counters())
    @settings(max_examples=30)
    def test_any_order_and_any_grouping_gives_the_same(self, a: Counters, b: Counters, c: Counters) -> None:
        assert a + b == b + a
        assert (a + b) + c == a + (b + c)

    @given(parts=st.lists(counters(), min_size=1, max_size=6), data=st.data())
    @settings(max_examples=30)
    def test_window_to_device_to_fleet_any_number_of_times(
        self, parts: list[Counters], data: st.DataObject
    ) -> None:
        cut = data.draw(st.integers(0, len(parts)))
        nothing = NOTHING
        shuffled = data.draw(st.permutations(parts))
        halves = reduce(add, shuffled[:cut], nothing) + reduce(add, shuffled[cut:], nothing)
        assert halves == reduce(add, parts)

    @given(a=counters())
    @settings(max_examples=20)
    def test_empty_counters_change_nothing(self, a: Counters) -> None:
        assert a + NOTHING == a

    def test_other_bins_never_merge(self) -> None:
        mine = empty_counters(PLAN)
        others = (
            replace(mine, bins=bytes(4)),
            replace(mine, classes=(0,)),
            replace(mine, features=()),
            replace(mine, features=((0,) * 3,) * len(PLAN.features)),
            replace(mine, moments=()),
            replace(mine, margin=(0,) * BINS),
            replace(mine, fourier=(0,) * COMPONENTS),
        )
        for other in others:
            with pytest.raises(WireError, match="do not merge"):
                mine + other

    def test_counting_apart_or_together_is_the_same(self) -> None:
        rng = np.random.default_rng(3)
        inputs = rng.integers(-128, 128, (50, 8, 8, 1)).astype(np.int8)
        whole, first, second = Window(PLAN), Window(PLAN), Window(PLAN)
        for number, image in enumerate(inputs):
            part = first if number < 17 else second
            for window in (whole, part):
                window.count_prediction(number % 5, number % 16, number * 100, SCORES)
                window.count_input(image)
        assert first.counters() + second.counters() == whole.counters()


class TestTheBinsDigest:
    def test_names_edges_and_classes_count_the_reference_does_not(self) -> None:
        feature = PLAN.features[0]
        learned = replace(PLAN, features=(replace(feature, reference=(9,) * BINS), *PLAN.features[1:]))
        assert learned.digest() == PLAN.digest()
        moved = replace(feature, edges=(feature.edges[0] - 1, *feature.edges[1:]))
        assert replace(PLAN, features=(moved, *PLAN.features[1:])).digest() != PLAN.digest()
        assert replace(PLAN, classes=(*PLAN.classes, 1)).digest() != PLAN.digest()
        assert replace(PLAN, margin=PLAN.features[0]).digest() != PLAN.digest()
        assert replace(PLAN, fourier=b"other").digest() != PLAN.digest()


class TestBins:
    @given(
        edges=st.lists(st.integers(-1000, 1000), min_size=11, max_size=11).map(sorted),
        values=st.lists(st.integers(-1100, 1100), min_size=1, max_size=20),
    )
    def test_below_is_0_above_is_11_and_the_maximum_is_inside(
        self, edges: list[int], values: list[int]
    ) -> None:
        for value, found in zip(values, bin_of(edges, np.array(values, np.int64)), strict=True):
            if value < edges[0]:
                assert found == 0
            elif value > edges[-1]:
                assert found == BINS - 1
            elif value == edges[-1]:
                assert found == BINS - 2
            else:
                assert found == sum(edge <= value for edge in edges)

    @given(hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 65280)))
    def test_no_reference_value_falls_outside_its_own_bins(self, values: np.ndarray) -> None:
        plan = plan_feature("level", values)
        assert (plan.reference[0], plan.reference[-1]) == (0, 0)
        assert sum(plan.reference) == len(values)
        assert list(plan.edges) == sorted(plan.edges)
        assert (plan.edges[0], plan.edges[-1]) == (values.min(), values.max())

    def test_confidence_has_16_equal_bins_of_the_int8_range(self) -> None:
        assert [confidence_bin(score) for score in (-128, -113, -112, 0, 111, 112, 127)] == [
            0,
            0,
            1,
            8,
            14,
            15,
            15,
        ]

    @given(st.integers(0, 2**40))
    def test_latency_buckets_double(self, microseconds: int) -> None:
        bucket = latency_bin(microseconds)
        assert 0 <= bucket < LATENCY_BINS
        assert bucket == LATENCY_BINS - 1 or microseconds < 2 ** (bucket + 4)
        assert bucket == 0 or microseconds >= 2 ** (bucket + 3)


class TestFeatures:
    @given(INT8)
    def test_are_what_the_slow_definition_says(self, batch: np.ndarray) -> None:
        found = extract(FEATURES, batch)
        assert found.dtype == np.int64
        assert found.tolist() == [[slowly(name, image) for name in FEATURES] for image in batch]

    @given(INT8)
    def test_one_at_a_time_or_together_is_the_same(self, batch: np.ndarray) -> None:
        single = [extract(FEATURES, image[np.newaxis])[0].tolist() for image in batch]
        assert extract(FEATURES, batch).tolist() == single

    def test_an_unknown_feature_is_refused_by_name(self) -> None:
        with pytest.raises(WireError, match="sparkle"):
            extract(["sparkle"], np.zeros((1, 4), np.int8))

    def test_no_feature_is_no_column(self) -> None:
        assert extract([], np.zeros((3, 4), np.int8)).shape == (3, 0)

    def test_everything_that_is_counted_is_an_int(self) -> None:
        window = Window(PLAN)
        window.count_input(np.full((8, 8, 1), 127, np.int8))
        window.count_prediction(0, 15, 50, SCORES)
        assert all(isinstance(leaf, int | bytes) for leaf in leaves(astuple(window.counters())))


def leaves(value: object) -> list[object]:
    """The parts of nested tuples. NumPy integers are no ``int``."""
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else [value]


def slowly(name: str, image: np.ndarray) -> int:
    """A feature in plain Python, word for word from the documentation."""
    u = image.astype(int).tolist()
    flat = [int(v) + 128 for v in image.reshape(-1)]
    n, total = len(flat), sum(flat)
    if name == "level":
        return 256 * total // n
    if name == "spread":
        return 256 * sum(abs(n * v - total) for v in flat) // n**2
    if name == "contrast":
        return max(flat) - min(flat)
    if name == "clipped":
        return 65_536 * sum(v in (0, 255) for v in flat) // n
    if name.startswith("band_"):
        return slow_band(image, int(name[-1]) - 1)
    if name.startswith("detail_"):
        return slow_detail(image, int(name.removeprefix("detail_")))
    differences = [abs(a - b) for row, later in itertools.pairwise(u) for a, b in _pairs(row, later)]
    if image.ndim >= 2:
        differences += [abs(a - b) for row in u for x, y in itertools.pairwise(row) for a, b in _pairs(x, y)]
    return 256 * sum(differences) // max(len(differences), 1)


def slow_band(image: np.ndarray, quarter: int) -> int:
    rows = image.astype(int) + 128
    columns = np.moveaxis(rows, 1, 0).tolist() if image.ndim > 1 else rows.tolist()
    part = columns[len(columns) * quarter // 4 : len(columns) * (quarter + 1) // 4]
    values = np.array(part).reshape(-1).tolist()
    return 256 * sum(values) // max(len(values), 1)


def slow_detail(image: np.ndarray, scale: int) -> int:
    series = (image.astype(int) + 128).reshape(len(image), -1)
    blocks = len(series) // scale
    if not blocks:
        return 0
    total = 0
    for block in range(blocks):
        rows = series[block * scale : (block + 1) * scale].tolist()
        for column in zip(*rows, strict=True):
            total += abs(sum(column[: scale // 2]) - sum(column[scale // 2 :]))
    return 256 * total // (scale * blocks * series.shape[1])


def _pairs(a: object, b: object) -> list[tuple[int, int]]:
    if isinstance(a, list) and isinstance(b, list):
        return [pair for x, y in zip(a, b, strict=True) for pair in _pairs(x, y)]
    return [(int(a), int(b))]  # type: ignore[call-overload]
