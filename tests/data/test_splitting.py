"""The laws of splitting and of content hashes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeops.core.errors import DataError
from edgeops.data.dataset import Part, new_dataset, split
from edgeops.data.items import Items, check_items, item_digests
from edgeops.data.splitting import capture_parts, part_named

ARRAYS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 40), st.just(2), st.just(3)), elements=st.integers(0, 16)
)


def items_of(inputs: np.ndarray) -> Items:
    targets = inputs.reshape(len(inputs), -1).sum(axis=1).astype(np.int64) % 3
    return Items(inputs, targets, ("a", "b", "c"), (), "image")


@given(ARRAYS, st.randoms(use_true_random=False))
def test_an_items_part_depends_on_its_content_alone(inputs: np.ndarray, random: object) -> None:
    whole = split(items_of(inputs))
    order = list(range(len(inputs)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert (split(items_of(inputs[order])) == whole[order]).all()
    for index in range(len(inputs)):
        assert split(items_of(inputs[index : index + 1]))[0] == whole[index]


@given(ARRAYS)
def test_identical_items_share_a_part_whatever_their_dtype(inputs: np.ndarray) -> None:
    twice = np.concatenate([inputs, inputs])
    parts = split(items_of(twice))
    assert (parts[: len(inputs)] == parts[len(inputs) :]).all()
    assert (split(items_of(inputs.astype(np.float32))) == split(items_of(inputs))).all()


@given(ARRAYS, st.randoms(use_true_random=False))
def test_the_content_hash_does_not_know_the_order(inputs: np.ndarray, random: object) -> None:
    items = items_of(np.unique(inputs, axis=0))
    order = list(range(len(items)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = Items(items.inputs[order], items.targets[order], items.labels, (), items.kind)
    first, second = new_dataset("d", items), new_dataset("d", shuffled)
    assert first.sha256 == second.sha256
    assert (first.inputs == second.inputs).all()


@given(ARRAYS, st.integers(0, 10**6))
def test_the_content_hash_knows_every_value(inputs: np.ndarray, pick: int) -> None:
    items = items_of(np.unique(inputs, axis=0))
    before = new_dataset("d", items)
    changed = items.inputs.copy()
    changed.reshape(-1)[pick % changed.size] += 17
    other = Items(changed, items.targets, items.labels, (), items.kind)
    assert new_dataset("d", other).sha256 != before.sha256
    targets = items.targets.copy()
    targets[pick % len(targets)] = (targets[pick % len(targets)] + 1) % 3
    assert (
        new_dataset("d", Items(items.inputs, targets, items.labels, (), items.kind)).sha256 != before.sha256
    )
    assert (
        new_dataset("d", Items(items.inputs, items.targets, ("a", "b", "z"), (), "image")).sha256
        != before.sha256
    )


def test_digests_stay_what_they_are_across_releases() -> None:
    """Datasets on disk are named by these: a change here orphans them."""
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) % 17
    assert item_digests(image)[0].hex() == "435169e139e40d57debeb39673e862393d65c2f233f436b2d4fb9a6b456ab0dd"
    assert item_digests(image[..., np.newaxis]) == item_digests(image)
    assert item_digests(-0.0 * image.astype(np.float32)) == item_digests(0 * image)


def test_shares_are_met_and_refused_when_they_do_not_add_up() -> None:
    inputs = np.random.default_rng(0).integers(0, 255, (4000, 16)).astype(np.uint8)
    shares = np.bincount(split(items_of(inputs)), minlength=5) / len(inputs)
    assert shares == pytest.approx([0.5, 0.1, 0.2, 0.2, 0], abs=0.03)
    everything = split(items_of(inputs), {Part.FIELD: 1.0})
    assert (everything == Part.FIELD).all()
    for wrong in ({Part.TRAIN: 0.7}, {Part.TRAIN: 1.5, Part.TEST: -0.5}, {}):
        with pytest.raises(DataError, match="add up"):
            split(items_of(inputs), wrong)


def test_captured_field_items_still_divide() -> None:
    """All field items have digests in one fifth of the range: the hold-out must not be all or nothing."""
    inputs = np.random.default_rng(1).integers(0, 255, (4000, 16)).astype(np.uint8)
    field = inputs[split(items_of(inputs)) == Part.FIELD]
    parts = capture_parts(field, 0.25)
    assert set(parts) == {Part.TRAIN, Part.CAPTURE_HOLDOUT}
    assert (parts == Part.CAPTURE_HOLDOUT).mean() == pytest.approx(0.25, abs=0.06)


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
