"""Patches: what they make is exact, what is damaged is refused, and memory is bounded whatever they say."""

from __future__ import annotations

import lzma
import random
import resource
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.core import patches
from edgeops.core.errors import InputError, WireError
from edgeops.core.patches import CODECS, apply_patch, make_patch

BLOBS = st.one_of(st.binary(max_size=300), st.integers(0, 5000).map(bytes))


def weights(seed: int, size: int = 20_000) -> bytes:
    return random.Random(seed).randbytes(size)


def retrained(base: bytes, share: float, seed: int = 5) -> bytes:
    """The same layout, with a share of the bytes moved by one or two."""
    draw = random.Random(seed)
    return bytes(
        (value + draw.choice((-2, -1, 1, 2))) % 256 if draw.random() < share else value for value in base
    )


@pytest.mark.parametrize("codec", sorted(CODECS))
@settings(max_examples=60, deadline=None)
@given(base=BLOBS, target=BLOBS)
def test_applying_what_was_made_gives_the_target(codec: str, base: bytes, target: bytes) -> None:
    assert apply_patch(codec, base, make_patch(codec, base, target), len(target)) == target


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_a_patch_of_a_retrained_head_is_much_smaller_than_the_blob(codec: str) -> None:
    base = weights(1)
    target = base[:18_000] + retrained(base[18_000:], 0.9)
    assert len(make_patch(codec, base, target)) < 2_500


def test_weights_that_all_moved_a_little_make_a_small_difference() -> None:
    base = weights(2)
    assert len(make_patch("difference", base, retrained(base, 0.95))) < 0.4 * len(base)


@pytest.mark.parametrize("codec", sorted(CODECS))
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_patch_is_refused_or_makes_exactly_the_size_asked_for(
    codec: str, data: st.DataObject
) -> None:
    base = weights(6, 2_000)
    target = retrained(base, 0.3)
    patch = bytearray(make_patch(codec, base, target))
    at = data.draw(st.integers(0, len(patch) - 1))
    patch[at : at + 3] = data.draw(st.binary(max_size=6))
    try:
        made = apply_patch(codec, base, bytes(patch), len(target))
    except WireError:
        return
    assert len(made) == len(target)  # whether it is the target is for its digest to say


@pytest.mark.parametrize("codec", sorted(CODECS))
@given(junk=st.binary(max_size=200), size=st.integers(0, 1000))
def test_junk_is_refused(codec: str, junk: bytes, size: int) -> None:
    try:
        assert len(apply_patch(codec, b"base", junk, size)) == size
    except WireError:
        pass


@pytest.mark.parametrize("codec", sorted(CODECS))
@pytest.mark.parametrize("size", [0, 1, 1999, 2001, 10_000])
def test_another_size_than_the_target_has_is_refused(codec: str, size: int) -> None:
    base = weights(6, 2_000)
    patch = make_patch(codec, base, retrained(base, 0.3))
    with pytest.raises(WireError):
        apply_patch(codec, base, patch, size)


@pytest.mark.parametrize("codec", sorted(CODECS))
@pytest.mark.parametrize("way", ["deflate", "lzma"])
def test_a_bomb_is_refused_with_bounded_memory(codec: str, way: str) -> None:
    """200 MB of zeros in some hundred kilobytes, applied for a target of 10 KB."""
    zeros = bytes(1_000_000)
    if way == "deflate":
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = b"\x00" + b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
    else:
        stream = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=patches._FILTERS)
        bomb = b"\x01" + b"".join(stream.compress(zeros) for _ in range(20)) + stream.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            apply_patch(codec, b"base", bomb, 10_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000 + 2 * len(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_a_codec_that_is_not_known_is_named() -> None:
    with pytest.raises(InputError, match="no patch codec 'xdelta'; there are difference"):
        apply_patch("xdelta", b"", b"", 0)
    with pytest.raises(InputError, match="xdelta"):
        make_patch("xdelta", b"", b"")
