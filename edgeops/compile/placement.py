"""Where each piece of memory lies in the arena: pieces that live at the same time do not overlap.

The least possible size is the largest sum of what lives at once. Placing one piece after the other at the lowest
free offset reaches it in most orders for most models; where none of the usual orders does, the pieces at the top are
placed earlier and earlier, a bounded number of times. Nothing is random: the same model gives the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeops.compile.schedule import Lifetime

ALIGNMENT = 4
_ROUNDS = 400


@dataclass(frozen=True)
class Placement:
    """Offsets in the order of the lifetimes that were placed, and the bytes from 0 to the end of the last."""

    offsets: tuple[int, ...]
    bytes: int


def place(lives: Sequence[Lifetime]) -> Placement:
    """A placement, as small as was found."""
    if not lives:
        return Placement((), 0)
    sizes = [aligned(life.bytes) for life in lives]
    together = [
        [
            other
            for other, o in enumerate(lives)
            if other != at and o.first <= life.last and life.first <= o.last
        ]
        for at, life in enumerate(lives)
    ]
    bound = max(
        sum(sizes[o] for o, other in enumerate(lives) if other.first <= life.first <= other.last)
        for life in lives
    )
    best: tuple[int, list[int]] | None = None
    best_order: list[int] = []
    for key in (
        lambda at: (-sizes[at], lives[at].first, at),
        lambda at: (-sizes[at] * (lives[at].last - lives[at].first + 1), at),
        lambda at: (-(lives[at].last - lives[at].first), -sizes[at], at),
        lambda at: (lives[at].first, -sizes[at], at),
        lambda at: (-lives[at].last, -sizes[at], at),
    ):
        order = sorted(range(len(lives)), key=key)
        found = _lowest(order, sizes, together)
        if best is None or found[0] < best[0]:
            best, best_order = found, order
    assert best is not None
    order = list(best_order)
    current = best
    for round_ in range(_ROUNDS):
        if best[0] <= bound:
            break
        total, offsets = current
        top = [at for at in range(len(lives)) if offsets[at] + sizes[at] == total]
        chosen = top[round_ % len(top)]
        place_in_order = order.index(chosen)
        # further to the front the longer nothing has helped
        target = max(0, place_in_order - 1 - round_ % 7 * (1 + round_ // 40))
        order.insert(target, order.pop(place_in_order))
        current = _lowest(order, sizes, together)
        if current[0] < best[0]:
            best = current
    return Placement(tuple(best[1]), best[0])


def _lowest(
    order: Sequence[int], sizes: Sequence[int], together: Sequence[Sequence[int]]
) -> tuple[int, list[int]]:
    """Each piece at the lowest offset that is free for all of its life."""
    offsets = [-1] * len(sizes)
    total = 0
    for at in order:
        taken = sorted((offsets[other], sizes[other]) for other in together[at] if offsets[other] >= 0)
        offset = 0
        for start, size in taken:
            if start - offset >= sizes[at]:
                break
            offset = max(offset, start + size)
        offsets[at] = offset
        total = max(total, offset + sizes[at])
    return total, offsets


def aligned(size: int) -> int:
    """``size`` rounded up to whole words."""
    return -(-size // ALIGNMENT) * ALIGNMENT
