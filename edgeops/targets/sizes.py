"""Sizes in bytes as a person reads them."""

from __future__ import annotations


def size(number: int) -> str:
    """``number`` bytes in the largest binary unit that leaves at least one: ``22.3 KiB``, ``2 MiB``."""
    value, unit = float(number), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    digits = f"{value:.1f}".removesuffix(".0")
    return f"{digits} {unit}"
