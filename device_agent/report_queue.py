"""Reports wait here, on disk, until a receipt says that the registry has them; bounded, overflow counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeops.core.codec import decode, encode
from edgeops.core.errors import StorageError, WireError
from edgeops.core.messages import Receipt, Report
from edgeops.files import write_atomic


@dataclass(frozen=True, slots=True, order=True)
class ReportKey:
    """Which report: the file name is ``<boot>.<sequence>.<model>``."""

    boot: int
    sequence: int
    model: str

    @classmethod
    def of(cls, report: Report) -> ReportKey:
        """The key of a report."""
        return cls(report.boot, report.sequence, report.model)

    @property
    def name(self) -> str:
        """The file's name; a model's name may hold dots, so it stands last."""
        return f"{self.boot}.{self.sequence}.{self.model}"

    @classmethod
    def parse(cls, name: str) -> ReportKey | None:
        """The inverse of ``name``; None for anything else in the folder."""
        parts = name.split(".", 2)
        if len(parts) == 3 and parts[0].isdecimal() and parts[1].isdecimal():
            return cls(int(parts[0]), int(parts[1]), parts[2])
        return None


class ReportQueue:
    """At most ``limit`` reports below ``folder``; the oldest goes first when it is full."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self.dropped = 0
        found = [ReportKey.parse(path.name) for path in folder.iterdir()] if folder.is_dir() else []
        self._keys = sorted(key for key in found if key is not None)
        for torn in folder.glob(".*.part"):  # left by a power cut
            torn.unlink(missing_ok=True)

    def __len__(self) -> int:
        """How many reports wait."""
        return len(self._keys)

    def oldest(self, boot: int, model: str) -> int | None:
        """The lowest sequence that still waits for this boot and model."""
        return min(
            (key.sequence for key in self._keys if key.boot == boot and key.model == model), default=None
        )

    def put(self, report: Report) -> None:
        """Keep a report; raises ``StorageError`` when the disk is full: it is counted, and not kept."""
        key = ReportKey.of(report)
        while len(self._keys) >= self._limit:
            self._remove(self._keys[0])
            self.dropped += 1
        try:
            write_atomic(self._folder / key.name, encode(report))
        except StorageError:
            self.dropped += 1
            raise
        self._keys.append(key)

    @property
    def keys(self) -> Sequence[ReportKey]:
        """The reports that wait, oldest first."""
        return self._keys

    def load(self, key: ReportKey) -> Report | None:
        """A report that waits; None when it is damaged on disk: it is then dropped and counted."""
        try:
            return decode(Report, (self._folder / key.name).read_bytes())
        except (OSError, WireError):
            self._remove(key)
            self.dropped += 1
            return None

    def waiting(self) -> list[Report]:
        """All reports that wait, oldest first."""
        return [report for key in list(self._keys) if (report := self.load(key)) is not None]

    def acknowledge(self, receipt: Receipt) -> int:
        """Drop what the receipt covers; returns how many."""
        covered = [
            key
            for key in self._keys
            if key.boot == receipt.boot and key.sequence <= receipt.committed.get(key.model, 0)
        ]
        for key in covered:
            self._remove(key)
        return len(covered)

    def _remove(self, key: ReportKey) -> None:
        self._keys.remove(key)
        try:
            (self._folder / key.name).unlink(missing_ok=True)
        except OSError:
            pass  # a disk that went read-only: the report comes up again at the next start, and is sent again
