"""Recordings: items of unequal length, without reading them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import DataError
from edgeops.data.items import item_digest, item_digests
from edgeops.data.recordings import Recordings

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=12)


def made(lengths: list[int], tail: tuple[int, ...] = (2,)) -> list[np.ndarray]:
    rng = np.random.default_rng(len(lengths))
    return [rng.normal(size=(length, *tail)).astype(np.float32) for length in lengths]


@given(LENGTHS, st.sampled_from([(), (2,)]))
def test_they_are_the_items_that_they_were_made_of(lengths: list[int], tail: tuple[int, ...]) -> None:
    items = made(lengths, tail)
    recordings = Recordings.of(items)
    assert len(recordings) == len(items)
    assert recordings.lengths.tolist() == lengths
    assert (recordings.dtype, recordings.tail) == (np.float32, tail)
    for given_item, item in zip(recordings, items, strict=True):
        assert given_item.shape == item.shape
        assert (given_item == item).all()
    assert item_digests(recordings) == [item_digest(item) for item in items]


@given(LENGTHS, st.data())
def test_choosing_rows_is_as_with_an_array(lengths: list[int], data: st.DataObject) -> None:
    items = made(lengths)
    recordings = Recordings.of(items)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items))))
    for rows in (mask, np.flatnonzero(mask), slice(1, None, 2)):
        chosen = recordings[rows]
        expected = [items[i] for i in np.arange(len(items))[rows]]
        assert [item.tolist() for item in chosen] == [item.tolist() for item in expected]
    assert (recordings[-1] == items[-1]).all()
    assert (recordings[np.int64(0)] == items[0]).all()


def test_they_are_views_that_cannot_be_changed() -> None:
    values = np.zeros((5, 1), np.float32)
    recordings = Recordings(values, np.array([0, 2]), np.array([2, 3]))
    assert np.shares_memory(recordings[1], values)
    with pytest.raises(ValueError, match="read-only"):
        recordings[0][0] = 1
    with pytest.raises(IndexError):
        recordings[2]


@pytest.mark.parametrize(("starts", "lengths"), [([0, 4], [2, 2]), ([-1], [2]), ([0], [-1]), ([0, 1], [1])])
def test_reaching_beyond_the_samples_is_refused(starts: list[int], lengths: list[int]) -> None:
    with pytest.raises(DataError, match="reach beyond the 5 samples"):
        Recordings(np.zeros((5, 1), np.float32), np.array(starts), np.array(lengths))


def test_items_that_differ_in_more_than_length_are_refused() -> None:
    for items in ([np.zeros(2), np.zeros((2, 2))], [np.zeros(2), np.zeros(2, np.int16)], [np.float32(1)], []):
        with pytest.raises(DataError, match="one dtype and one shape"):
            Recordings.of(items)  # type: ignore[arg-type]
