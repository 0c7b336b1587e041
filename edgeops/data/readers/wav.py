"""What the header of a WAV file promises, against what is there; libsndfile reads a cut file without a word."""

from __future__ import annotations

import struct

_STREAMED = (0, 0xFFFFFFFF)  # written by programs that could not go back to the header


def shortfall(content: bytes) -> str:
    """Why a RIFF file is not whole, or ``""``; other formats, such as RF64, are left to the decoder."""
    if len(content) == 0:
        return "empty file"
    if content[:4] != b"RIFF":
        return "" if content[:4] in (b"RIFX", b"RF64") else "not a WAV file by its content"
    if content[8:12] != b"WAVE":
        return "truncated: no header" if len(content) < 12 else "not a WAV file by its content"
    at, formatted = 12, False
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        if name == b"data":
            there = len(content) - at - 8
            if not formatted:
                return "not a WAV file by its content"
            if size > there and size not in _STREAMED:
                return f"truncated: {there:,} of {size:,} bytes of samples"
            return ""
        formatted |= name == b"fmt "
        at += 8 + size + size % 2
    return "truncated: no samples"
