"""Counters on the wire: what a window can make comes back as it went, and nothing else can be sent or is believed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.counted import counters, empty

from edgeops.core.bit_codes import BitWriter
from edgeops.core.counter_block import MAX_BLOCK, pack_counters, unpack_counters
from edgeops.core.counters import Counters
from edgeops.core.errors import WireError
from edgeops.core.observe import BINS, BINS_DIGEST, MAX_CLASSES, MAX_FEATURES

FIVE = replace(
    empty(),
    inferences=5,
    observed=5,
    classes=(5,),
    confidence=(5, *(0,) * 15),
    latency=(5, *(0,) * 15),
    features=((5, *(0,) * (BINS - 1)),),
    moments=((10, 20),),
)


class TestRoundTrip:
    @given(counted=counters())
    @settings(max_examples=60)
    def test_what_a_window_can_make_comes_back(self, counted: Counters) -> None:
        assert unpack_counters(pack_counters(counted)) == counted

    @given(counted=counters(features=1, classes=2), data=st.data())
    @settings(max_examples=60)
    def test_cut_or_extended_it_is_refused(self, counted: Counters, data: st.DataObject) -> None:
        block = pack_counters(counted)
        with pytest.raises(WireError):
            unpack_counters(block[: data.draw(st.integers(0, len(block) - 1))])
        with pytest.raises(WireError):
            unpack_counters(block + data.draw(st.binary(min_size=1, max_size=5)))

    @given(counted=counters(features=1, classes=2), data=st.data())
    @settings(max_examples=100)
    def test_a_changed_block_is_refused_or_the_only_one_of_other_counters(
        self, counted: Counters, data: st.DataObject
    ) -> None:
        block = bytearray(pack_counters(counted))
        block[data.draw(st.integers(BINS_DIGEST, len(block) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        reads_one_way(bytes(block))

    @given(block=st.binary(max_size=300))
    def test_any_bytes_are_refused_or_the_only_block_of_some_counters(self, block: bytes) -> None:
        reads_one_way(block)


def reads_one_way(block: bytes) -> None:
    try:
        counted = unpack_counters(block)
    except WireError:
        return
    assert pack_counters(counted) == block


def with_head(flags: int, features: int = 0, classes: int = 0) -> bytes:
    bits = BitWriter()
    bits.fixed(flags, 4)
    bits.bounded(features, MAX_FEATURES)
    bits.bounded(classes, MAX_CLASSES)
    bits.fixed(0, 64)
    return bytes(BINS_DIGEST) + bits.to_bytes()


class TestTheWorkedExample:
    """What docs/protocol.md takes apart bit by bit."""

    TEXT = (Path(__file__).parents[2] / "docs" / "protocol.in.md").read_text()

    def test_its_bytes_are_the_counters_that_it_says(self) -> None:
        said = re.search(r"one feature and two classes: `([0-9a-f]+)`", self.TEXT)
        assert said is not None
        assert unpack_counters(bytes.fromhex(said[1])) == Counters(
            bins=bytes.fromhex("0a0b0c0d"),
            inferences=10,
            errors=1,
            rejected_inputs=2,
            classes=(7, 3),
            confidence=(0,) * 14 + (4, 6),
            latency=(0, 10, *(0,) * 14),
            observed=5,
            features=((0, 0, 0, 0, 2, 3, *(0,) * 6),),
            moments=((-3, 7),),
            missing=1,
        )

    def test_its_bits_are_its_bytes(self) -> None:
        said = re.search(r"one feature and two classes: `([0-9a-f]+)`", self.TEXT)
        lines = self.TEXT.split("```text\n")[1].split("```")[0].splitlines()
        assert said is not None
        bits = "".join("".join(re.match(r"[01 ]+", line)[0].split()) for line in lines)  # type: ignore[index]
        assert int(bits, 2).to_bytes(len(bits) // 8, "big").hex() == said[1][8:]


class TestBadInput:
    @pytest.mark.parametrize(
        "lie",
        [
            {"inferences": 6},
            {"observed": 6},
            {"observed": 4},
            {"classes": (4,)},
            {"confidence": (4, *(0,) * 15)},
            {"latency": (6, -1, *(0,) * 14)},
            {"features": ((5, *(0,) * (BINS - 2)),)},
            {"features": ((4, *(0,) * (BINS - 1)),)},
            {"stuck": 6},
            {"missing": 1},
            {"errors": -1},
            {"errors": 65_536},
            {"rejected_inputs": 65_536},
        ],
        ids=str,
    )
    def test_counts_that_do_not_add_up_cannot_be_written(self, lie: dict[str, object]) -> None:
        with pytest.raises(WireError):
            pack_counters(replace(FIVE, **lie))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "moments",
        [
            (12, 20),  # five steps whose squares add up to 20 add up to 10 at the most
            (-12, 20),
            (9, 20),  # odd sums have odd squares
            (0, 5 * 64**2 + 2),
            (0, -2),
        ],
        ids=str,
    )
    def test_impossible_moments_cannot_be_written(self, moments: tuple[int, int]) -> None:
        pack_counters(FIVE)
        with pytest.raises(WireError):
            pack_counters(replace(FIVE, moments=(moments,)))

    def test_nothing_counted_has_no_moments(self) -> None:
        with pytest.raises(WireError):
            pack_counters(replace(empty(), moments=((1, 1),)))

    @pytest.mark.parametrize(
        "lie",
        [
            {"bins": b"short"},
            {"features": ((0,) * BINS,) * (MAX_FEATURES + 1)},
            {"classes": (0,) * (MAX_CLASSES + 1)},
            {"moments": ((0, 0),) * 2},
            {"moments": ((0, 0, 0),)},
            {"margin": (0,) * 3},
            {"margin": (0,) * BINS, "margin_moments": ()},
            {"fourier": (0,) * 63},
            {"fourier": (1,) * 64},
        ],
        ids=lambda lie: " ".join(lie),
    )
    def test_another_shape_cannot_be_written(self, lie: dict[str, object]) -> None:
        with pytest.raises(WireError):
            pack_counters(replace(empty(), **lie))  # type: ignore[arg-type]

    @pytest.mark.parametrize("flags", [8, 9, 15])
    def test_flags_that_nobody_knows_are_refused(self, flags: int) -> None:
        with pytest.raises(WireError, match="flags"):
            unpack_counters(with_head(flags))

    def test_moments_of_no_feature_are_no_second_way_to_say_nothing(self) -> None:
        with pytest.raises(WireError, match="flags"):
            unpack_counters(with_head(2))

    @pytest.mark.parametrize("place", range(3))
    def test_more_than_a_window_holds_is_refused_before_anything_is_made_of_it(self, place: int) -> None:
        bits = BitWriter()
        bits.fixed(0, 4)
        bits.bounded(MAX_FEATURES, MAX_FEATURES)
        bits.bounded(MAX_CLASSES, MAX_CLASSES)
        bits.free(65_536 if place == 0 else 0, 10)
        bits.free(65_536 if place else 0, 4)
        bits.bounded(0 if place < 2 else 65_536, 65_536 if place else 0)
        with pytest.raises(WireError, match="at most 65535"):
            unpack_counters(bytes(BINS_DIGEST) + bits.to_bytes())

    def test_the_largest_counters_that_there_can_be_fit_the_block(self) -> None:
        from support.counted import longest_counters

        counted = longest_counters(MAX_FEATURES, MAX_CLASSES, 1000)
        fourier = tuple(127 * counted.observed for _ in range(64))
        assert len(pack_counters(replace(counted, fourier=fourier))) <= MAX_BLOCK
        assert bound_in_bits(65_535) <= 8 * MAX_BLOCK


def bound_in_bits(n: int) -> int:
    """Every code of the largest block at its longest, were each as long as its first."""
    count, square, total = n.bit_length(), (64**2 * n).bit_length(), (64 * n).bit_length() + 1
    histograms = (MAX_FEATURES + 1) * (BINS - 1) + 2 * 15 + MAX_CLASSES - 1
    moments = (MAX_FEATURES + 1) * (square + total)
    return (
        8 * BINS_DIGEST + 17 + 4 * 33 + 2 * count + histograms * count + moments + 64 * (254 * n).bit_length()
    )
