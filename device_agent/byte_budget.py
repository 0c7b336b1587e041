"""How much a device may fetch in a day of its uptime: shared by its models, kept over reboots.

There is no wall clock: a day is 24 h in which the agent ran. What is on disk is never less than what was fetched, so
that a device that crashes again and again does not fetch for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgeops.core.codec import Message, UInt, decode, encode, wire
from edgeops.core.errors import StorageError, WireError
from edgeops.files import read_or_none, write_atomic

DAY_MS = 24 * 3600 * 1000
SAVE_EVERY_MS = 600_000
SPENT_SAVE_EVERY_MS = (
    60_000  # while something waits for the next day, which would never come by short uptimes
)
NO_LIMIT = 2**63
STEPS = 64  # a day's budget is written down in so many steps


@dataclass(frozen=True, slots=True)
class _Saved(Message):
    MAX_BYTES = 64
    spent: int = wire(1, UInt(64))
    elapsed_ms: int = wire(2, UInt(64))


class ByteBudget:
    """Bytes fetched in the present day of uptime; ``limit`` 0 does not bound them. Times are ms of uptime."""

    def __init__(self, path: Path) -> None:
        self.limit = 0
        self.spent = 0
        self._path = path
        self._elapsed = 0  # of the present day
        self._last = 0
        self._promised: dict[str, int] = {}
        self._refused = False  # a piece, for want of room, in the present day
        self._saved = _Saved(0, 0)
        raw = read_or_none(path)
        if raw is not None:
            try:
                self._saved = decode(_Saved, raw)
            except WireError:
                # It costs a day's budget at most; a device that does not start would cost more.
                self._saved = _Saved(0, 0)
        self.spent, self._elapsed = self._saved.spent, self._saved.elapsed_ms

    def tick(self, now_ms: int) -> None:
        """Let time pass: after a day all is free again."""
        self._elapsed += max(0, now_ms - self._last)
        self._last = now_ms
        if self._elapsed >= DAY_MS:
            self._elapsed %= DAY_MS
            self.spent, self._refused = 0, False
            self._save(0)
        elif self.spent and self._elapsed - self._saved.elapsed_ms >= self._save_every():
            self._save(max(self.spent, self._saved.spent))

    def charge(self, count: int) -> None:
        """Count bytes that came."""
        self.spent += count
        if self.limit and self.spent > self._saved.spent:
            self._save(min(self.spent + self.limit // STEPS, max(self.limit, self.spent)))

    def admit(self, owner: str, sizes: Iterable[int]) -> int:
        """How many of these pieces, from the first on, ``owner`` may ask for; they are promised to it."""
        room = self.room(owner)
        count = promised = 0
        for size in sizes:
            if promised + size > room:
                self._refused = True
                break
            promised += size
            count += 1
        self._promised[owner] = promised
        return count

    def room(self, owner: str) -> int:
        """How many bytes ``owner`` may still fetch today, without what was promised to others."""
        if not self.limit:
            return NO_LIMIT
        others = sum(count for name, count in self._promised.items() if name != owner)
        return max(0, self.limit - self.spent - others)

    def words(self) -> str:
        """What to say where the budget keeps a transfer from going on."""
        return f"byte budget of the day is spent: {self.spent} of {self.limit}"

    def close(self) -> None:
        """The agent stops on purpose: write down exactly what was spent."""
        if (self.spent, self._elapsed) != (self._saved.spent, self._saved.elapsed_ms):
            self._save(self.spent)

    def _save_every(self) -> int:
        waits = self._refused or (self.limit and self.spent >= self.limit)
        return SPENT_SAVE_EVERY_MS if waits else SAVE_EVERY_MS

    def _save(self, spent: int) -> None:
        saved = _Saved(spent, self._elapsed)
        try:
            write_atomic(self._path, encode(saved))
        except StorageError:
            return  # a full disk must not keep the device from working; the count in memory holds
        self._saved = saved
