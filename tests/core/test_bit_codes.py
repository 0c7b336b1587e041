"""The codes of counters: every value has one code, and every run of bits is refused or has one value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.counted import histograms

from edgeops.core.bit_codes import BitReader, BitWriter
from edgeops.core.errors import WireError

MOST = st.integers(0, 2**44)


def bits_of(raw: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in raw)


class TestBounded:
    @pytest.mark.parametrize(
        ("value", "most", "bits"),
        [(0, 0, ""), (0, 1, "0"), (0, 2, "0"), (1, 2, "10"), (2, 2, "11"), (4, 4, "111"), (7, 7, "111")],
    )
    def test_by_hand(self, value: int, most: int, bits: str) -> None:
        writer = BitWriter()
        writer.bounded(value, most)
        assert bits_of(writer.to_bytes())[: len(bits)] == bits
        assert len(writer.to_bytes()) == (len(bits) > 0)

    @given(most=MOST, data=st.data())
    def test_what_is_written_is_read(self, most: int, data: st.DataObject) -> None:
        value = data.draw(st.integers(0, most))
        writer = BitWriter()
        writer.bounded(value, most)
        reader = BitReader(writer.to_bytes())
        assert reader.bounded(most) == value
        reader.end()

    @given(most=MOST, raw=st.binary(min_size=6, max_size=6))
    def test_any_bits_are_one_value_within_the_bound_and_its_only_code(self, most: int, raw: bytes) -> None:
        value = BitReader(raw).bounded(most)
        assert 0 <= value <= most
        writer = BitWriter()
        writer.bounded(value, most)
        assert bits_of(raw).startswith(code_of(writer, most, value))

    @pytest.mark.parametrize("value", [-1, 6])
    def test_nothing_beyond_the_bound_is_written(self, value: int) -> None:
        with pytest.raises(WireError, match="at most 5"):
            BitWriter().bounded(value, 5)


def code_of(writer: BitWriter, most: int, value: int) -> str:
    """The bits without what fills up the last byte."""
    width = (most + 1).bit_length() - 1
    return bits_of(writer.to_bytes())[: width + (value >= (2 << width) - most - 1)]


class TestFree:
    @pytest.mark.parametrize(
        ("value", "order", "bits"),
        [(0, 0, "1"), (1, 0, "010"), (2, 0, "011"), (3, 0, "00100"), (5, 2, "01001"), (3, 2, "111")],
    )
    def test_by_hand(self, value: int, order: int, bits: str) -> None:
        writer = BitWriter()
        writer.free(value, order)
        assert bits_of(writer.to_bytes())[: len(bits)] == bits

    @given(value=st.integers(0, 2**64 - 1), order=st.integers(0, 16))
    def test_what_is_written_is_read(self, value: int, order: int) -> None:
        writer = BitWriter()
        writer.free(value, order)
        reader = BitReader(writer.to_bytes())
        assert reader.free(order) == value
        reader.end()

    @given(raw=st.binary(min_size=1, max_size=20), order=st.integers(0, 16))
    def test_any_bits_are_refused_or_the_only_code_of_a_value(self, raw: bytes, order: int) -> None:
        try:
            value = BitReader(raw).free(order)
        except WireError:
            return
        writer = BitWriter()
        writer.free(value, order)
        high = ((value >> order) + 1).bit_length()
        assert bits_of(raw).startswith(bits_of(writer.to_bytes())[: 2 * high - 1 + order])

    @pytest.mark.parametrize("value", [-1, 2**64])
    def test_what_64_bits_do_not_hold_is_not_written(self, value: int) -> None:
        with pytest.raises(WireError, match="not possible"):
            BitWriter().free(value)

    def test_what_64_bits_do_not_hold_is_not_read(self) -> None:
        for raw in (bytes(40), (1 << 65).to_bytes(17, "big")):
            with pytest.raises(WireError, match="64 bits"):
                BitReader(raw).free()


class TestHistogram:
    @given(size=st.integers(1, 20), total=st.integers(0, 70_000), data=st.data())
    def test_what_is_written_is_read(self, size: int, total: int, data: st.DataObject) -> None:
        counts = data.draw(histograms(size, total))
        writer = BitWriter()
        writer.histogram(counts, total)
        reader = BitReader(writer.to_bytes())
        assert reader.histogram(size, total) == counts
        reader.end()

    @given(size=st.integers(1, 20), total=st.integers(0, 70_000), raw=st.binary(min_size=45, max_size=45))
    def test_any_bits_are_counts_that_add_up(self, size: int, total: int, raw: bytes) -> None:
        counts = BitReader(raw).histogram(size, total)
        assert (len(counts), sum(counts), min(counts) >= 0) == (size, total, True)

    @pytest.mark.parametrize("counts", [(5, 4), (5, 6), (5, 0, 4), ()])
    def test_counts_that_do_not_add_up_cannot_be_written(self, counts: tuple[int, ...]) -> None:
        with pytest.raises(WireError, match="10 were counted"):
            BitWriter().histogram(counts, 10)

    @pytest.mark.parametrize("counts", [(11, -1), (-1, 11), (0, 0, -3, 13), (1, -1, 10)])
    def test_negative_counts_cannot_be_written(self, counts: tuple[int, ...]) -> None:
        with pytest.raises(WireError):
            BitWriter().histogram(counts, 10)

    def test_negative_counts_that_cancel_out_cannot_be_written(self) -> None:
        with pytest.raises(WireError, match="negative"):
            BitWriter().histogram((1, -1), 0)

    def test_nothing_is_counted_into_no_bins(self) -> None:
        assert BitReader(b"").histogram(0, 0) == ()
        with pytest.raises(WireError, match="into nothing"):
            BitReader(b"").histogram(0, 3)


class TestTheEnd:
    def test_bits_that_end_early_are_refused(self) -> None:
        for read in (lambda r: r.fixed(9), lambda r: r.bounded(2**20), lambda r: r.free(8)):
            with pytest.raises(WireError, match="early"):
                read(BitReader(b"\x80"))

    @pytest.mark.parametrize("raw", [b"\x80\x00", b"\x81", b"\xc0"])
    def test_more_than_zero_bits_to_the_end_of_the_byte_is_refused(self, raw: bytes) -> None:
        reader = BitReader(raw)
        reader.fixed(1)
        with pytest.raises(WireError, match="after the end"):
            reader.end()
