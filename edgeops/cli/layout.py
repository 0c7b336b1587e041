"""Fitting text into a terminal: cells that wrap, columns that are left out, names that stay whole."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

GAP = 2
# a cell of up to so many characters is never wrapped
_WHOLE = 20
_NARROWEST = 20
_USUAL = 80


def terminal_width(stream: TextIO | None = None) -> int | None:
    """How many columns stdout, or ``stream``, has; ``None`` where it is no terminal: nothing is wrapped there."""
    stream = stream or sys.stdout
    if not stream.isatty():
        return None
    return max(_NARROWEST, os.get_terminal_size(stream.fileno()).columns or _USUAL)


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """``text`` in lines of at most ``width``; at least one line. Only a word that is wider itself is broken.

    All lines but the first begin with ``indent``.
    """
    return textwrap.wrap(text, max(1, width), subsequent_indent=indent, break_on_hyphens=False) or [""]


def fitted(table: Sequence[Sequence[str]], width: int, keep: int) -> list[int]:
    """The widths of the columns of ``table`` that are shown in ``width``, the first at first.

    Long texts are wrapped between words. Where that is not enough, columns are left out from the last, but
    never one of the first ``keep``: these are then wrapped within words too.
    """
    natural = [max(map(len, column)) for column in zip(*table, strict=True)]
    least = [_least(column, size) for column, size in zip(zip(*table, strict=True), natural, strict=True)]
    count = len(natural)
    while count > min(keep, len(natural)) and _total(least[:count]) > width:
        count -= 1
    widths, least = natural[:count], least[:count]
    if _total(least) > width:
        least = [1] * count
    while _total(widths) > width:
        wide = [index for index in range(count) if widths[index] > least[index]]
        if not wide:
            break
        widths[max(wide, key=lambda index: widths[index])] -= 1
    return widths


def lines_of(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """One row of a table as the lines that it takes."""
    cells = [wrapped(text, width) for text, width in zip(row, widths, strict=False)]
    height = max(map(len, cells))
    return [
        (" " * GAP)
        .join(
            (cell[line] if line < len(cell) else "").ljust(width)
            for cell, width in zip(cells, widths, strict=True)
        )
        .rstrip()
        for line in range(height)
    ]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _least(column: Sequence[str], natural: int) -> int:
    """How narrow a column can be with no word of it broken."""
    if natural <= _WHOLE:
        return natural
    return max(_WHOLE, *(len(word) for text in column for word in text.split() or [""]))
