"""Integers in as few bits as their bounds allow, most significant bit first; the same in every language.

``bounded``: a value in 0..most, in the truncated binary code: with r = most + 1 values, k = floor(log2(r)) and
u = 2**(k+1) - r, the first u values take k bits and the others, u higher, k + 1. Nothing for most = 0.
``free``: any value, in the exponential Golomb code of order k: with v = (value >> k) + 1 as many zeros as v has bits
after its first, v, and the k low bits of the value.
``histogram``: counts whose total both sides know, in binary interpolative code (Moffat & Stuiver, "Binary Interpolative
Coding for Effective Index Compression", Information Retrieval 2000): the sum of the first half of the counts as
``bounded`` by the total, then each half in the same way. Twelve counts of a thousand take 95 bits at the most, and a
list that does not add up cannot be written.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeops.core.errors import WireError

_LONGEST = 64


class BitWriter:
    """Collects bits."""

    def __init__(self) -> None:
        self._bits = 0
        self.size = 0  # in bits

    def fixed(self, value: int, width: int) -> None:
        """``width`` bits of an unsigned value."""
        self._bits = self._bits << width | value
        self.size += width

    def bounded(self, value: int, most: int) -> None:
        """A value in 0..most; raises ``WireError`` where it is not."""
        if not 0 <= value <= most:
            raise WireError(f"a count of {value} where at most {most} is possible")
        width = (most + 1).bit_length() - 1
        short = (2 << width) - most - 1
        if value < short:
            self.fixed(value, width)
        else:
            self.fixed(value + short, width + 1)

    def free(self, value: int, order: int = 0) -> None:
        """Any value from 0 on that has at most 64 bits."""
        if value < 0 or value.bit_length() > _LONGEST:
            raise WireError(f"a count of {value} is not possible")
        high = (value >> order) + 1
        self.fixed(0, high.bit_length() - 1)
        self.fixed(high, high.bit_length())
        self.fixed(value & (1 << order) - 1, order)

    def histogram(self, counts: Sequence[int], total: int) -> None:
        """Counts that add up to ``total``; raises ``WireError`` where they do not."""
        if sum(counts) != total:
            raise WireError(f"counts of {sum(counts)} where {total} were counted")
        self._halves(counts, total)

    def _halves(self, counts: Sequence[int], total: int) -> None:
        if len(counts) < 2 or not total:
            if any(count != (total if len(counts) == 1 else 0) for count in counts):
                raise WireError("a negative count")
            return
        half = len(counts) // 2
        below = sum(counts[:half])
        self.bounded(below, total)
        self._halves(counts[:half], below)
        self._halves(counts[half:], total - below)

    def to_bytes(self) -> bytes:
        """What was written, filled up with zero bits."""
        size = -(-self.size // 8)
        return (self._bits << 8 * size - self.size).to_bytes(size, "big")


class BitReader:
    """Reads what ``BitWriter`` wrote; every method raises ``WireError`` where the bits end early."""

    def __init__(self, raw: bytes) -> None:
        self._bits = int.from_bytes(raw, "big")
        self._left = 8 * len(raw)

    def fixed(self, width: int) -> int:
        """See ``BitWriter.fixed``."""
        if width > self._left:
            raise WireError("counters that end early")
        self._left -= width
        return self._bits >> self._left & (1 << width) - 1

    def bounded(self, most: int) -> int:
        """See ``BitWriter.bounded``."""
        width = (most + 1).bit_length() - 1
        short = (2 << width) - most - 1
        value = self.fixed(width)
        return value if value < short else (value << 1 | self.fixed(1)) - short

    def free(self, order: int = 0) -> int:
        """See ``BitWriter.free``."""
        zeros = 0
        while not self.fixed(1):
            zeros += 1
            if zeros > _LONGEST:
                raise WireError("a count of more than 64 bits")
        value = ((1 << zeros | self.fixed(zeros)) - 1 << order) | self.fixed(order)
        if value.bit_length() > _LONGEST:
            raise WireError("a count of more than 64 bits")
        return value

    def histogram(self, size: int, total: int) -> tuple[int, ...]:
        """``size`` counts that add up to ``total``."""
        counts: list[int] = []
        self._halves(size, total, counts)
        return tuple(counts)

    def _halves(self, size: int, total: int, counts: list[int]) -> None:
        if size < 2 or not total:
            if total and not size:
                raise WireError(f"{total} were counted into nothing")
            counts += [total] if size == 1 else [0] * size
            return
        half = size // 2
        below = self.bounded(total)
        self._halves(half, below, counts)
        self._halves(size - half, total - below, counts)

    def end(self) -> None:
        """Raises ``WireError`` where more is left than zero bits to the end of a byte."""
        if self._left > 7 or self.fixed(self._left):
            raise WireError("bytes after the end of the counters")
