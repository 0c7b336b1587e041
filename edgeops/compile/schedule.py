"""The order in which the operators of a plan run: where branches leave a choice, the one that needs least memory.

A buffer lives from the first step that writes it to the last that reads it. The search is exact where the graph
leaves few choices and bounded otherwise; the file's own order is the answer where nothing better is found.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from edgeops.compile.steps import Buffer, Group, Step

_MOST_STATES = 4000
_MOST_GROUPS = 300


@dataclass(frozen=True)
class Lifetime:
    """A piece of memory and the steps, first and last, between which it must not be written by others.

    ``buffers`` share it one after the other: operators that write at the place of what they read.
    """

    buffers: tuple[Buffer, ...]
    first: int
    last: int

    @property
    def bytes(self) -> int:
        """What it takes."""
        return max(buffer.bytes for buffer in self.buffers)


def lifetimes(steps: Sequence[Step], first: Buffer, last: Buffer) -> list[Lifetime]:
    """The lifetimes of all buffers but those that keep their values; ``first`` and ``last`` are the plan's ends."""
    born: dict[Buffer, int] = {first: 0}
    dies: dict[Buffer, int] = {first: 0}
    shares: dict[Buffer, Buffer] = {}
    for at, step in enumerate(steps):
        for buffer in (*step.reads, step.output):
            dies[buffer] = at
        born.setdefault(step.output, at)
    dies[last] = len(steps)
    for at, step in enumerate(steps):
        for buffer in step.in_place:
            free = dies[buffer] == at and buffer.reset is None and buffer.bytes == step.output.bytes
            if free and born[step.output] == at and step.output is not buffer and step.output.reset is None:
                shares[step.output] = buffer
                break
    members: dict[Buffer, list[Buffer]] = {}
    for buffer in born:
        owner = buffer
        while owner in shares:
            owner = shares[owner]
        if buffer.reset is None:
            members.setdefault(owner, []).append(buffer)
    return [
        Lifetime(tuple(sharing), min(born[one] for one in sharing), max(dies[one] for one in sharing))
        for sharing in members.values()
    ]


def peak(found: Sequence[Lifetime]) -> int:
    """The most bytes that live at once: no placement can do with fewer."""
    events = sorted({life.first for life in found})
    return max((sum(o.bytes for o in found if o.first <= at <= o.last) for at in events), default=0)


def best_order(groups: Sequence[Group], first: Buffer, last: Buffer) -> list[Group]:
    """The groups in an order that needs least memory at its peak."""
    given = list(groups)
    if not 3 <= len(groups) <= _MOST_GROUPS:
        return given
    before = _dependencies(groups)
    if all(at == 0 or at - 1 in needed for at, needed in enumerate(before)):
        return given
    found = _search(given, before, first, last)

    def needs(order: list[Group]) -> int:
        return peak(lifetimes([step for group in order for step in group], first, last))

    return found if found and needs(found) < needs(given) else given


def _dependencies(groups: Sequence[Group]) -> list[set[int]]:
    """For each group those that must have run: they write what it reads, or touch a kept buffer before it."""
    writers: dict[Buffer, int] = {}
    touched: dict[Buffer, int] = {}
    needed: list[set[int]] = []
    for at, group in enumerate(groups):
        needs: set[int] = set()
        for step in group:
            needs |= {writers[buffer] for buffer in step.reads if buffer in writers}
            for buffer in (*step.reads, step.output):
                if buffer.reset is not None:
                    needs |= {touched[buffer]} if buffer in touched else set()
                    touched[buffer] = at
            writers[step.output] = at
        needed.append(needs - {at})
    return needed


def _search(groups: list[Group], before: list[set[int]], first: Buffer, last: Buffer) -> list[Group] | None:
    """The cheapest order by its peak, over sets of groups that have run; None where there are too many."""
    readers: dict[Buffer, set[int]] = {}
    for at, group in enumerate(groups):
        for step in group:
            for buffer in step.reads:
                readers.setdefault(buffer, set()).add(at)
    masks = [sum(1 << other for other in needed) for needed in before]
    dying = {buffer: sum(1 << at for at in found) for buffer, found in readers.items()}
    whole = (1 << len(groups)) - 1
    queue: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]
    best: dict[int, int] = {0: 0}
    while queue:
        highest, done, order = heapq.heappop(queue)
        if done == whole:
            return [groups[at] for at in order]
        if best[done] < highest:
            continue
        live = _live(groups, done, order, dying, first, last)
        for at in range(len(groups)):
            if done >> at & 1 or masks[at] & ~done:
                continue
            reached = max(highest, _during(groups[at], live, dying, done | 1 << at, last))
            after = done | 1 << at
            if reached < best.get(after, 1 << 62):
                if len(best) >= _MOST_STATES:
                    return None
                best[after] = reached
                heapq.heappush(queue, (reached, after, (*order, at)))
    return None


def _live(
    groups: list[Group],
    done: int,
    order: tuple[int, ...],
    dying: dict[Buffer, int],
    first: Buffer,
    last: Buffer,
) -> dict[Buffer, int]:
    """What has been written and is still to be read."""
    made = {first: first.bytes}
    made |= {step.output: step.output.bytes for at in order for step in groups[at]}
    return {
        buffer: size
        for buffer, size in made.items()
        if buffer.reset is None and (buffer is last or dying.get(buffer, 0) & ~done)
    }


def _during(group: Group, live: dict[Buffer, int], dying: dict[Buffer, int], after: int, last: Buffer) -> int:
    """The bytes that live while the group runs."""
    total = sum(live.values()) + sum(
        buffer.bytes
        for buffer in {step.output for step in group}
        if buffer not in live and buffer.reset is None
    )
    for step in group:
        shared = [
            one
            for one in step.in_place
            if one in live
            and one is not last
            and not dying.get(one, 0) & ~after
            and one.bytes == step.output.bytes
        ]
        total -= shared[0].bytes if shared else 0
    return total
