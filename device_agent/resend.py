"""When reports that no receipt covers are sent again: pure, with time handed in as milliseconds of uptime.

The broker's delivery is sure while both sides are connected, so a report is sent again only after a
reconnection, or when receipts have stopped coming: then a few, the oldest first, with growing pauses. Sending
everything again while the control side is merely slow would make it slower still, until nothing else gets through.
"""

from __future__ import annotations

from collections.abc import Sequence

from device_agent.report_queue import ReportKey

BATCH = 16
BATCH_EVERY_MS = 1_000
FIRST_PAUSE_MS = 15_000
LAST_PAUSE_MS = 600_000


class Resend:
    """One schedule for all reports of a device."""

    def __init__(self) -> None:
        self._backlog: list[ReportKey] = []
        self._batch_at = 0
        self._pause = FIRST_PAUSE_MS
        self._due = FIRST_PAUSE_MS

    def progressed(self, now_ms: int) -> None:
        """A receipt covered something, or the first report began to wait: the other side is alive."""
        self._pause = FIRST_PAUSE_MS
        self._due = now_ms + FIRST_PAUSE_MS

    def reconnected(self, now_ms: int, waiting: Sequence[ReportKey]) -> None:
        """The link came up: what waits may never have been sent."""
        self.progressed(now_ms)
        self._backlog = list(waiting)
        self._batch_at = now_ms

    def take(self, now_ms: int, waiting: Sequence[ReportKey]) -> list[ReportKey]:
        """The reports to send now: at most ``BATCH``, of those that wait, oldest first."""
        if not self._backlog and waiting and now_ms >= self._due:
            self._backlog = list(waiting[:BATCH])
            self._due = now_ms + self._pause
            self._pause = min(2 * self._pause, LAST_PAUSE_MS)
        if not self._backlog or now_ms < self._batch_at:
            return []
        still = set(waiting)
        self._backlog = [key for key in self._backlog if key in still]
        batch, self._backlog = self._backlog[:BATCH], self._backlog[BATCH:]
        self._batch_at = now_ms + BATCH_EVERY_MS
        return batch
