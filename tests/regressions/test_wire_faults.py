"""Bytes from the network that once ended a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgeops.core.codec import load
from edgeops.core.errors import WireError

DEADLY = {
    "a shared reference to the tag that holds it": "d81cd5d81d00",
    "a shared list that holds itself": "d81c81d81d00",
    "a regular expression": "d823622828",
    "a bignum": "c249ffffffffffffffffff",
    "a tag behind a long text": "82781e" + "61" * 30 + "c100",
}


@pytest.mark.parametrize("payload", DEADLY.values(), ids=DEADLY)
def test_tags_never_reach_the_decoder(payload: str) -> None:
    """In a process of its own: the first of them was a segmentation fault in cbor2 6.2."""
    script = (
        "from edgeops.core.codec import load\nfrom edgeops.core.errors import WireError\n"
        f"try:\n    load(bytes.fromhex('{payload}'), 4096)\nexcept WireError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "a tag is not allowed on the wire")


@pytest.mark.parametrize(
    "payload", [b"\xff", b"\x82\xff\xc1", b"\x9f\xff", b"\x5f\xff", b"\x1c", b"\x9b" + b"\xff" * 8]
)
def test_what_is_malformed_is_a_wire_error(payload: bytes) -> None:
    with pytest.raises(WireError):
        load(payload, 4096)


def test_bytes_that_look_like_a_tag_inside_a_string_are_none() -> None:
    assert load(b"\x82\x43\xc1\xd8\x1c\x01", 4096) == [b"\xc1\xd8\x1c", 1]
