"""Patches: a blob made out of one that a device holds. Pure functions of bytes, the same on both sides.

They need the standard library and NumPy only: that is what every device has, also where no wheels are built.

``difference``
    Byte by byte, target minus base modulo 256, packed. For blobs of one layout: the same network with other weights.
``aligned``
    Parts of the base plus a byte difference, and bytes that are new, as bsdiff has them, but found by how small the
    differences are (``edgeops.core.alignment``). For blobs in which something was inserted or moved.

Packed is one byte for the method and what it made: raw deflate (0) or raw LZMA2 (1), whichever came out smaller.
Differences of weights are small numbers without repetition, on which deflate's entropy coding alone does as well as
Zstandard; parts that are equal are LZMA's.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgeops.core.alignment import align
from edgeops.core.errors import InputError, WireError

_DEFLATE, _LZMA = 0, 1
_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE)
# Raw LZMA2: no header, and a window of our choice, which bounds what applying takes (about 1 MiB and the result).
_FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 20, "lc": 0, "pb": 0}
]
_PIECE = 1 << 16
_COUNT = struct.Struct("<I")
_ENTRY_BYTES = 12  # a part of the result: bytes taken with a difference, new bytes, and a seek in the base


@dataclass(frozen=True, slots=True)
class Codec:
    """How patches of one form are made (base, target) and applied (base, patch, size of the target)."""

    make: Callable[[bytes, bytes], bytes]
    apply: Callable[[bytes, bytes, int], bytes]


def make_patch(codec: str, base: bytes, target: bytes) -> bytes:
    """The patch that makes ``target`` out of ``base``; it was applied once, so that it is known to work.

    Raises ``InputError`` for a codec that is not known or a pair that it cannot do.
    """
    patch = _codec(codec).make(base, target)
    try:
        made = apply_patch(codec, base, patch, len(target))
    except WireError as error:
        raise InputError(f"codec {codec!r} cannot do this pair: {error.message}", codec=codec) from error
    if made != target:
        raise InputError(f"codec {codec!r} cannot do this pair", codec=codec)
    return patch


def apply_patch(codec: str, base: bytes, patch: bytes, size: int) -> bytes:
    """``size`` bytes out of ``base`` and ``patch``; the caller verifies the digest of the result.

    Memory is bounded by about four times ``size`` whatever the patch says. Raises ``WireError`` for a patch that is
    damaged, makes another size, or reaches beyond its base, and ``InputError`` for a codec that is not known.
    """
    return _codec(codec).apply(base, patch, size)


def _codec(name: str) -> Codec:
    if name not in CODECS:
        raise InputError(f"no patch codec {name!r}; there are {', '.join(sorted(CODECS))}", codec=name)
    return CODECS[name]


def _pack(plain: bytes) -> bytes:
    ways = [bytes([_LZMA]) + lzma.compress(plain, lzma.FORMAT_RAW, filters=_FILTERS)]
    for strategy in _STRATEGIES:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
        ways.append(bytes([_DEFLATE]) + deflate.compress(plain) + deflate.flush())
    return min(ways, key=len)


class _Unpacked:
    """Reads what ``_pack`` made in exact pieces, and never more than was asked for."""

    def __init__(self, packed: bytes) -> None:
        if packed[:1] not in (bytes([_DEFLATE]), bytes([_LZMA])):
            raise WireError("the patch is packed in a way that is not known")
        self._next = (_inflated if packed[0] == _DEFLATE else _unlzma)(packed[1:])
        next(self._next)

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes; raises ``WireError`` where the stream is damaged or ends before."""
        parts, missing = [], count
        while missing:
            part = self._unpack(min(missing, _PIECE))
            if not part:
                raise WireError(f"the patch ends {missing} bytes too early")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        """Raises ``WireError`` when something follows."""
        if self._unpack(1):
            raise WireError("the patch makes more than it should")

    def _unpack(self, limit: int) -> bytes:
        try:
            return self._next.send(limit)
        except (lzma.LZMAError, zlib.error, MemoryError) as error:
            raise WireError(f"the patch does not unpack: {error}") from error


def _inflated(packed: bytes) -> Generator[bytes, int, None]:
    """Send how many bytes to make at most; an empty answer is the end."""
    stream, part = zlib.decompressobj(-zlib.MAX_WBITS), b""
    while True:
        limit = yield part
        part = stream.decompress(packed, limit)
        packed = stream.unconsumed_tail


def _unlzma(packed: bytes) -> Generator[bytes, int, None]:
    """Send how many bytes to make at most; an empty answer is the end."""
    stream, part = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS), b""
    while True:
        limit = yield part
        part = b"" if stream.eof else stream.decompress(packed, max_length=limit)
        packed = b""


def _make_difference(base: bytes, target: bytes) -> bytes:
    difference = np.frombuffer(target, np.uint8) - _padded(base, len(target))
    return _pack(difference.tobytes())


def _apply_difference(base: bytes, patch: bytes, size: int) -> bytes:
    unpacked = _Unpacked(patch)
    difference = np.frombuffer(unpacked.read(size), np.uint8)
    unpacked.end()
    return (difference + _padded(base, size)).tobytes()


def _padded(base: bytes, size: int) -> NDArray[np.uint8]:
    """The first ``size`` bytes of the base, zeros where it is shorter."""
    values = np.zeros(size, np.uint8)
    values[: len(base)] = np.frombuffer(base, np.uint8)[:size]
    return values


def _make_aligned(base: bytes, target: bytes) -> bytes:
    old, wanted = np.frombuffer(base, np.uint8), np.frombuffer(target, np.uint8)
    rows = [[0, 0, 0]]  # bytes taken with a difference, new bytes after them, and then a seek in the base
    differences, new = [], []
    at = 0  # in the base
    for part in align(old, wanted):
        piece = wanted[part.start : part.end]
        if part.offset is None:
            rows[-1][1] += piece.size
            new.append(piece)
            continue
        source = part.start + part.offset
        rows[-1][2] = source - at
        rows.append([piece.size, 0, 0])
        differences.append(piece - old[source : source + piece.size])
        at = source + piece.size
    # Three columns of alike numbers pack better than rows.
    columns = np.array(rows, "<i4").T.tobytes()
    streams = [values.tobytes() for values in differences + new]
    return _pack(b"".join([_COUNT.pack(len(rows)), columns, *streams]))


def _apply_aligned(base: bytes, patch: bytes, size: int) -> bytes:
    unpacked = _Unpacked(patch)
    (count,) = _COUNT.unpack(unpacked.read(_COUNT.size))
    if count > size // 4 + 16:
        raise WireError(f"the patch has {count} parts for {size} bytes")
    columns = np.frombuffer(unpacked.read(count * _ENTRY_BYTES), "<i4").reshape(3, -1).astype(np.int64)
    taken, new = columns[0], columns[1]
    starts = np.concatenate([[0], np.cumsum(taken + columns[2])[:-1]]) if count else np.zeros(0, np.int64)
    if count and (min(taken.min(), new.min(), starts.min()) < 0 or (starts + taken).max() > len(base)):
        raise WireError("the patch reaches beyond its base")
    if int(taken.sum() + new.sum()) != size:
        raise WireError(f"the patch makes {int(taken.sum() + new.sum())} bytes, not {size}")
    differences = np.frombuffer(unpacked.read(int(taken.sum())), np.uint8)
    added = np.frombuffer(unpacked.read(int(new.sum())), np.uint8)
    unpacked.end()
    source = np.frombuffer(base, np.uint8)
    result = np.empty(size, np.uint8)
    at = read = written = 0
    for start, old, fresh in zip(starts.tolist(), taken.tolist(), new.tolist(), strict=True):
        result[at : at + old] = differences[read : read + old] + source[start : start + old]
        result[at + old : at + old + fresh] = added[written : written + fresh]
        at, read, written = at + old + fresh, read + old, written + fresh
    return result.tobytes()


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "difference": Codec(_make_difference, _apply_difference),
        "aligned": Codec(_make_aligned, _apply_aligned),
    }
)
