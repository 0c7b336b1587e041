"""Truths that cannot be sent now wait here, on disk; bounded, overflow counted."""

from __future__ import annotations

from pathlib import Path

from edgeops.core.codec import decode, encode
from edgeops.core.errors import StorageError, WireError
from edgeops.core.messages import Labels
from edgeops.files import write_atomic

MAX_BATCHES = 256


class LabelQueue:
    """At most ``limit`` batches of truths of one model below ``folder``; the oldest goes first when it is full."""

    def __init__(self, folder: Path, limit: int = MAX_BATCHES) -> None:
        self._folder = folder
        self._limit = limit
        self.dropped = 0  # truths
        found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        self._numbers = sorted(int(name) for name in found if name.isdecimal())
        for torn in folder.glob(".*.part"):  # left by a power cut
            torn.unlink(missing_ok=True)

    def __len__(self) -> int:
        """How many batches wait."""
        return len(self._numbers)

    def put(self, labels: Labels) -> None:
        """Keep a batch; where the disk is full its truths are counted as dropped."""
        while len(self._numbers) >= self._limit:
            oldest = self.first()
            self.dropped += len(oldest.truths) if oldest is not None else 0
            if oldest is not None:
                self.remove_first()
        number = self._numbers[-1] + 1 if self._numbers else 1
        try:
            write_atomic(self._folder / str(number), encode(labels))
        except StorageError:
            self.dropped += len(labels.truths)
        else:
            self._numbers.append(number)

    def first(self) -> Labels | None:
        """The oldest batch; None where none waits. One that is damaged on disk is dropped, and counted as one truth."""
        while self._numbers:
            try:
                return decode(Labels, (self._folder / str(self._numbers[0])).read_bytes())
            except (OSError, WireError):
                self.dropped += 1
                self.remove_first()
        return None

    def remove_first(self) -> None:
        """Forget the oldest batch: it was sent."""
        number = self._numbers.pop(0)
        try:
            (self._folder / str(number)).unlink(missing_ok=True)
        except OSError:
            pass  # a disk that went read-only: it comes up again at the next start, and is known as a duplicate
