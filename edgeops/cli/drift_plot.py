"""How a feature lies in its bins, now and in the reference, as bars of text."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH = 24


def bin_lines(reference: Sequence[float], current: Sequence[float]) -> list[str]:
    """A line a bin, 76 columns at most: its number, and both shares with a bar each."""
    longest = max([*reference, *current, 1e-9])
    lines = [f"{'bin':>3}  {'reference':<{_WIDTH + 8}}  {'when it alarmed':<{_WIDTH + 8}}".rstrip()]
    for index, (before, now) in enumerate(zip(reference, current, strict=True)):
        bars = (
            f"{share:>6.1%} {'#' * round(_WIDTH * share / longest):<{_WIDTH + 1}}" for share in (before, now)
        )
        lines.append(f"{index:>3}  {'  '.join(bars)}".rstrip())
    return lines
