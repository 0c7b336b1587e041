"""The laws of splitting and of content hashes."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeops.core.errors import DataError
from edgeops.data.dataset import Dataset, Part, new_dataset, split
from edgeops.data.items import Items, check_items, item_digests
from edgeops.data.splitting import (
    SHARES,
    assign,
    capture_parts,
    holdout_parts,
    parse_shares,
    part_named,
    quotas,
)

ARRAYS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 40), st.just(2), st.just(3)), elements=st.integers(0, 16)
)
SPLITS = st.sampled_from(
    [
        SHARES,
        {Part.TRAIN: 0.6, Part.VALIDATION: 0.1, Part.TEST: 0.3, Part.FIELD: 0.0},
        {Part.TRAIN: 0.8, Part.VALIDATION: 0.0, Part.TEST: 0.2, Part.FIELD: 0.0},
        {Part.TRAIN: 1.0},
    ]
)
TARGETS = st.lists(st.integers(0, 2), min_size=1, max_size=90)


def items_of(inputs: np.ndarray) -> Items:
    targets = inputs.reshape(len(inputs), -1).sum(axis=1).astype(np.int64) % 3
    return Items(inputs, targets, ("a", "b", "c"), (), "image")


def digests_of(count: int, salt: int = 0) -> list[bytes]:
    return [hashlib.sha256(f"{salt}/{number}".encode()).digest() for number in range(count)]


def shuffled(random: Any, count: int) -> list[int]:
    order = list(range(count))
    random.shuffle(order)
    return order


class TestByItem:
    @given(ARRAYS, st.randoms(use_true_random=False))
    def test_parts_do_not_know_the_order(self, inputs: np.ndarray, random: object) -> None:
        whole = split(items_of(inputs))
        order = shuffled(random, len(inputs))
        assert (split(items_of(inputs[order])) == whole[order]).all()

    @given(ARRAYS)
    def test_identical_items_share_a_part_whatever_their_dtype(self, inputs: np.ndarray) -> None:
        twice = np.concatenate([inputs, inputs])
        parts = split(items_of(twice))
        assert (parts[: len(inputs)] == parts[len(inputs) :]).all()
        assert (split(items_of(inputs.astype(np.float32))) == split(items_of(inputs))).all()

    @given(TARGETS, SPLITS)
    def test_every_class_meets_the_shares_to_within_one_item(
        self, targets: list[int], shares: dict[Part, float]
    ) -> None:
        classes = np.array(targets)
        parts = assign(digests_of(len(targets)), classes, shares)
        for target, total in Counter(targets).items():
            counts = Counter(parts[classes == target].tolist())
            positive = [part for part in shares if shares[part] > 0]
            if total >= len(positive):
                assert all(counts[part] >= 1 for part in positive)
            assert sum(counts[part] for part in positive) == total
            if total >= 10:
                assert all(abs(counts[part] - total * shares[part]) <= 1 for part in positive)

    def test_twenty_items_a_class_are_split_right(self) -> None:
        classes = np.arange(60) % 3
        parts = assign(digests_of(60), classes)
        for target in range(3):
            assert np.bincount(parts[classes == target]).tolist() == [10, 2, 4, 4]

    @given(TARGETS, TARGETS)
    def test_what_has_a_part_keeps_it_when_more_comes(self, old: list[int], new: list[int]) -> None:
        digests, classes = digests_of(len(old) + len(new)), np.array(old + new)
        before = assign(digests[: len(old)], classes[: len(old)])
        known = [*map(Part, before.tolist()), *[None] * len(new)]
        after = assign(digests, classes, known=known)
        assert (after[: len(old)] == before).all()
        for target in set(old + new):
            total = int((classes == target).sum())
            if total >= 40:
                counts = np.bincount(after[classes == target], minlength=4)
                assert np.abs(counts - total * np.array(list(SHARES.values()))).max() <= 3

    @given(TARGETS, st.data())
    def test_an_item_goes_only_where_it_may(self, targets: list[int], data: st.DataObject) -> None:
        ways = [(), (Part.TEST,), (Part.TRAIN, Part.FIELD)]
        among = [data.draw(st.sampled_from(ways)) for _ in targets]
        parts = assign(digests_of(len(targets)), np.array(targets), among=among)
        for part, allowed in zip(parts, among, strict=True):
            assert not allowed or part in allowed

    def test_shares_are_refused_when_they_do_not_add_up(self) -> None:
        inputs = np.random.default_rng(0).integers(0, 255, (40, 16)).astype(np.uint8)
        assert (split(items_of(inputs), {Part.FIELD: 1.0}) == Part.FIELD).all()
        for wrong in ({Part.TRAIN: 0.7}, {Part.TRAIN: 1.5, Part.TEST: -0.5}, {}):
            with pytest.raises(DataError, match="add up"):
                split(items_of(inputs), wrong)


class TestQuotas:
    @given(st.integers(0, 300), st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any))
    def test_they_add_up_and_leave_no_share_without(self, count: int, weights: list[int]) -> None:
        shares = [weight / sum(weights) for weight in weights]
        sizes = quotas(count, shares)
        assert sum(sizes) == count
        for size, share in zip(sizes, shares, strict=True):
            assert (size > 0) <= (share > 0)
            if count >= sum(map(bool, weights)):
                assert (size > 0) == (share > 0)

    @pytest.mark.parametrize(
        ("count", "sizes"), [(0, [0, 0, 0, 0]), (1, [1, 0, 0, 0]), (3, [1, 1, 1, 0]), (5, [2, 1, 1, 1])]
    )
    def test_small_numbers(self, count: int, sizes: list[int]) -> None:
        assert quotas(count, [0.5, 0.1, 0.2, 0.2]) == sizes


class TestByGroup:
    @given(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), min_size=40, max_size=120),
        st.randoms(use_true_random=False),
    )
    def test_no_group_stands_on_both_sides_in_any_order(
        self, items: list[tuple[int, int]], random: object
    ) -> None:
        targets = np.array([target for target, _ in items])
        groups = [f"g{group}" for _, group in items]
        if len(set(groups)) < 4:
            return
        digests = digests_of(len(items))
        parts = assign(digests, targets, groups=groups)
        assert len({(group, part) for group, part in zip(groups, parts, strict=True)}) == len(set(groups))
        assert set(parts) == set(SHARES)
        order = shuffled(random, len(items))
        again = assign([digests[i] for i in order], targets[order], groups=[groups[i] for i in order])
        assert (again == parts[order]).all()

    def test_the_shares_are_met_as_far_as_groups_allow(self) -> None:
        groups = [f"speaker {number % 20}" for number in range(2000)]
        parts = assign(digests_of(2000), np.arange(2000) // 20 % 10, groups=groups)
        assert np.bincount(parts).tolist() == [1000, 200, 400, 400]

    def test_groups_of_one_class_each_are_stratified(self) -> None:
        """A machine that has one fault only: each part still has every class."""
        groups = [f"machine {number % 24}" for number in range(480)]
        targets = np.arange(480) % 24 % 3
        parts = assign(digests_of(480), targets, groups=groups)
        for target in range(3):
            assert set(parts[targets == target]) == {0, 1, 2, 3}

    def test_too_few_groups_are_refused_with_the_way_out(self) -> None:
        groups = ["a", "b", "c"] * 20
        with pytest.raises(
            DataError, match="3 groups cannot fill 4 parts: nothing is left for validation"
        ) as caught:
            assign(digests_of(60), np.zeros(60, np.int64), groups=groups)
        assert "--split" in (caught.value.fix or "")
        three = {Part.TRAIN: 0.6, Part.VALIDATION: 0.2, Part.TEST: 0.2}
        assert set(assign(digests_of(60), np.zeros(60, np.int64), three, groups=groups)) == {0, 1, 2}

    def test_items_without_a_group_stand_for_themselves(self) -> None:
        parts = assign(digests_of(100), np.zeros(100, np.int64), groups=["", "a"] * 50)
        assert len(set(parts[1::2])) == 1
        assert len(set(parts[::2])) > 1

    def test_a_new_item_of_a_known_group_joins_it(self) -> None:
        groups = [f"g{number % 8}" for number in range(80)]
        digests, targets = digests_of(160), np.zeros(160, np.int64)
        before = assign(digests[:80], targets[:80], groups=groups)
        after = assign(digests, targets, groups=groups * 2, known=[*map(Part, before.tolist()), *[None] * 80])
        assert (after == np.concatenate([before, before])).all()

    def test_a_group_that_was_given_two_parts_is_refused(self) -> None:
        for given_parts in ({"known": [Part.TRAIN, Part.TEST]}, {"among": [(Part.TRAIN,), (Part.TEST,)]}):
            with pytest.raises(DataError, match="the group 'ann' stands on both sides"):
                assign(digests_of(2), np.zeros(2, np.int64), groups=["ann", "ann"], **given_parts)


def grouped(n: int = 120) -> Dataset:
    inputs = np.random.default_rng(5).integers(0, 255, (n, 9)).astype(np.uint8)
    inputs = inputs[np.argsort(item_digests(inputs), kind="stable")]
    return Dataset(
        "d", 1, inputs, np.arange(n) % 2, ("a", "b"), np.full(n, Part.FIELD, np.uint8), ("source",) * n, "table",
        groups=tuple(f"m{i % 12}" for i in range(n)),
        slices={"load": tuple(str(i % 3) for i in range(n)), "site": tuple("nord" for _ in range(n))},
    )  # fmt: skip


class TestHoldout:
    def test_all_that_matches_is_tested_and_nothing_else(self) -> None:
        dataset = grouped()
        parts = holdout_parts(dataset, {"load": ["2"]})
        held = np.array(dataset.slices["load"]) == "2"
        assert (parts[held] == Part.TEST).all()
        assert set(parts[~held]) == {Part.TRAIN, Part.VALIDATION}
        rest = {
            (group, part) for group, part, out in zip(dataset.groups, parts, held, strict=True) if not out
        }
        assert len({group for group, _ in rest}) == len(rest)
        for target in range(2):
            share = (parts[~held & (dataset.targets == target)] == Part.VALIDATION).mean()
            assert 0.05 < share < 0.35

    def test_by_group_and_by_several_values(self) -> None:
        dataset = grouped()
        parts = holdout_parts(dataset, {"group": ["m0", "m5"], "load": ["1"]})
        held = np.isin(dataset.groups, ["m0", "m5"]) | (np.array(dataset.slices["load"]) == "1")
        assert ((parts == Part.TEST) == held).all()

    def test_without_groups_the_rest_is_split_by_item(self) -> None:
        dataset = grouped()
        plain = Dataset(
            "d", 1, dataset.inputs, dataset.targets, dataset.labels, dataset.parts, dataset.origins, "table",
            slices=dataset.slices,
        )  # fmt: skip
        counts = np.bincount(holdout_parts(plain, {"load": ["0"]}), minlength=4)
        assert counts.tolist() == [66, 14, 40, 0]

    def test_captured_items_keep_their_parts(self) -> None:
        dataset = grouped()
        origins = ("captured:d1", "captured:d2", *dataset.origins[2:])
        own = dataset.parts.copy()
        own[:2] = (Part.CAPTURE_HOLDOUT, Part.TRAIN)
        captured = Dataset(
            "d", 2, dataset.inputs, dataset.targets, dataset.labels, own, origins, "table",
            groups=dataset.groups, slices=dataset.slices,
        )  # fmt: skip
        assert holdout_parts(captured, {"load": ["0", "1"]})[:2].tolist() == own[:2].tolist()

    @pytest.mark.parametrize(
        ("where", "message"),
        [
            ({"speaker": ["ann"]}, r"no slice 'speaker': it has load, site, group"),
            ({"load": ["7"]}, r"nothing with load '7': there are 0, 1, 2"),
            ({"site": ["nord"]}, "nothing is left to train on"),
        ],
    )
    def test_what_is_not_there_is_said(self, where: dict[str, list[str]], message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            holdout_parts(grouped(), where)
        assert caught.value.fix


class TestContentHash:
    @given(ARRAYS, st.randoms(use_true_random=False))
    def test_does_not_know_the_order(self, inputs: np.ndarray, random: object) -> None:
        items = items_of(np.unique(inputs, axis=0))
        order = shuffled(random, len(items))
        other = Items(items.inputs[order], items.targets[order], items.labels, (), items.kind)
        first, second = new_dataset("d", items), new_dataset("d", other)
        assert first.sha256 == second.sha256
        assert (first.inputs == second.inputs).all()

    @given(ARRAYS, st.integers(0, 10**6))
    def test_knows_every_value(self, inputs: np.ndarray, pick: int) -> None:
        items = items_of(np.unique(inputs, axis=0))
        before = new_dataset("d", items)
        changed = items.inputs.copy()
        changed.reshape(-1)[pick % changed.size] += 17
        other = Items(changed, items.targets, items.labels, (), items.kind)
        assert new_dataset("d", other).sha256 != before.sha256
        targets = items.targets.copy()
        targets[pick % len(targets)] = (targets[pick % len(targets)] + 1) % 3
        for wrong in (
            Items(items.inputs, targets, items.labels, (), items.kind),
            Items(items.inputs, items.targets, ("a", "b", "z"), (), "image"),
        ):
            assert new_dataset("d", wrong).sha256 != before.sha256

    def test_digests_stay_what_they_are_across_releases(self) -> None:
        """Datasets on disk are named by these: a change here orphans them."""
        image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) % 17
        digest = "435169e139e40d57debeb39673e862393d65c2f233f436b2d4fb9a6b456ab0dd"
        assert item_digests(image)[0].hex() == digest
        assert item_digests(image[..., np.newaxis]) == item_digests(image)
        assert item_digests(-0.0 * image.astype(np.float32)) == item_digests(0 * image)

    @given(st.integers(1, 50))
    def test_digests_do_not_know_how_many_are_read_at_a_time(self, count: int) -> None:
        large = np.random.default_rng(count).random((count, 300, 300)).astype(np.float32)[:3]
        assert item_digests(large) == [item_digests(large[i : i + 1])[0] for i in range(len(large))]


def test_captured_field_items_still_divide() -> None:
    """By a digest of their own: the hold-out must not be all or nothing, whatever part they came from."""
    inputs = np.random.default_rng(1).integers(0, 255, (4000, 16)).astype(np.uint8)
    field = inputs[split(items_of(inputs)) == Part.FIELD]
    parts = capture_parts(field, 0.25)
    assert set(parts) == {Part.TRAIN, Part.CAPTURE_HOLDOUT}
    assert (parts == Part.CAPTURE_HOLDOUT).mean() == pytest.approx(0.25, abs=0.06)


def test_shares_as_people_write_them() -> None:
    assert parse_shares("60,10,30,0") == {
        Part.TRAIN: 0.6, Part.VALIDATION: 0.1, Part.TEST: 0.3, Part.FIELD: 0.0
    }  # fmt: skip
    for wrong in ("", "50", "50,50", "a,b,c,d", "60,10,30,10", "110,-10,0,0", "nan,10,30,60", "50;10;20;20"):
        with pytest.raises(DataError, match="four percentages that add up to 100") as caught:
            parse_shares(wrong)
        assert "--split" in (caught.value.fix or "")
    with pytest.raises(DataError, match="nothing to train on"):
        parse_shares("0,50,25,25")


def test_an_unknown_part_names_the_known_ones() -> None:
    assert part_named("capture_holdout") is Part.CAPTURE_HOLDOUT
    with pytest.raises(DataError, match="no part") as caught:
        part_named("tests")
    assert "test" in (caught.value.fix or "")


def test_checked_items_are_the_same_set_in_any_order() -> None:
    inputs = np.array(
        [[0, 1], [2, 3], [0, 1], [4, 5], [4, 5], [6, 7], *([i, 9] for i in range(20))], np.float32
    )
    targets = np.array([0, 1, 0, 0, 1, 1, *[0] * 20], np.int64)
    items = check_items(inputs, targets, ("a", "b"), "here")
    assert [(bad.index, bad.reason) for bad in items.quarantined] == [
        (2, "duplicate"),
        (3, "same input, different targets"),
        (4, "same input, different targets"),
    ]
    back = check_items(inputs[::-1], targets[::-1], ("a", "b"), "here")
    assert sorted(item_digests(back.inputs)) == sorted(item_digests(items.inputs))
