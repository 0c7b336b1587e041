"""Cutting recordings into windows, and splitting a recording by time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeops.data.splitting import Part
from edgeops.training.windows import cut, parts_by_time, values_of

LENGTHS = st.lists(st.integers(0, 500), min_size=1, max_size=8)
EDGES = ((0.6, Part.TRAIN), (0.7, Part.VALIDATION), (1.0, Part.TEST))


def test_without_a_window_every_item_is_one() -> None:
    windows = cut([3, 0, 7], 0, 0)
    assert windows.item.tolist() == [0, 1, 2]
    assert windows.length == 0


def test_without_a_stride_an_item_is_cut_or_padded_in_its_middle() -> None:
    windows = cut([10, 4], 6, 0)
    assert windows.start.tolist() == [2, -1]
    assert values_of(np.arange(10), 2, 6).tolist() == [2, 3, 4, 5, 6, 7]
    assert values_of(np.arange(1, 5), -1, 6).tolist() == [0, 1, 2, 3, 4, 0]


@given(lengths=LENGTHS, window=st.integers(1, 60), stride=st.integers(1, 60))
def test_windows_lie_inside_their_recording_and_leave_no_more_than_a_stride(
    lengths: list[int], window: int, stride: int
) -> None:
    windows = cut(lengths, window, stride)
    assert sorted(set(windows.item.tolist())) == list(range(len(lengths)))
    for index, length in enumerate(lengths):
        starts = windows.start[windows.item == index]
        if length < window:
            assert len(starts) == 1
        else:
            assert starts.tolist() == list(range(0, length - window + 1, stride))


@given(
    recording=st.lists(st.integers(-9, 9), min_size=0, max_size=20),
    start=st.integers(-30, 30),
    length=st.integers(1, 30),
)
def test_a_window_has_its_length_and_zeros_outside(recording: list[int], start: int, length: int) -> None:
    values = values_of(np.array(recording, dtype=np.int16), start, length)
    expected = [recording[i] if 0 <= i < len(recording) else 0 for i in range(start, start + length)]
    assert values.tolist() == expected
    assert values.dtype == np.float32


def test_channels_stay_together() -> None:
    recording = np.arange(12, dtype=np.float32).reshape(6, 2)
    assert values_of(recording, 4, 4).tolist() == [[8, 9], [10, 11], [0, 0], [0, 0]]


@given(length=st.integers(50, 500), window=st.integers(1, 40), stride=st.integers(1, 40))
def test_no_sample_stands_on_both_sides_of_a_split_by_time(length: int, window: int, stride: int) -> None:
    windows = cut([length], window, stride)
    parts = parts_by_time(windows, [length], EDGES)
    seen: dict[int, int] = {}
    for start, part in zip(windows.start.tolist(), parts.tolist(), strict=True):
        if part < 0:
            continue
        for sample in range(start, start + window):
            assert seen.setdefault(sample, part) == part
