"""Patches: a blob made out of one that a device holds. Pure functions of bytes, the same on both sides.

They need the standard library and NumPy only: that is what every device has, also where no wheels are built.

``difference``
    Byte by byte, target minus base modulo 256, packed. For blobs of one layout: the same network with other weights.
Packed is one byte for the method and what it made: raw deflate (0) or raw LZMA2 (1), whichever came out smaller.
Differences of weights are small numbers without repetition, on which deflate's entropy coding alone does as well as
Zstandard; parts that are equal are LZMA's.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError, WireError

_DEFLATE, _LZMA = 0, 1
_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE)
# Raw LZMA2: no header, and a window of our choice, which bounds what applying takes (about 1 MiB and the result).
_FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 20, "lc": 0, "pb": 0}
]
_PIECE = 1 << 16


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


CODECS: Mapping[str, Codec] = MappingProxyType({"difference": Codec(_make_difference, _apply_difference)})
