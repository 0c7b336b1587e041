"""Reports on their way: kept on disk, sent, and sent again until a receipt covers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from device_agent.config import AgentConfig
from device_agent.report_queue import ReportQueue
from device_agent.resend import Resend
from device_agent.uplink import Uplink
from edgeops.core.errors import StorageError
from edgeops.core.messages import Receipt, Report
from edgeops.core.topics import Kind


class Reporting:
    """The reports of all models of a device. Times are milliseconds of uptime."""

    def __init__(self, config: AgentConfig, uplink: Uplink, log: Callable[[str], None]) -> None:
        self._uplink = uplink
        self._log = log
        self._queue = ReportQueue(config.data / "reports", config.queue_reports)
        self._resend = Resend()

    def take(self, report: Report | None, now_ms: int) -> None:
        """Keep a report and send it; None is none."""
        if report is None:
            return
        report = replace(report, behind=self._behind(report))
        if not len(self._queue):
            self._resend.progressed(now_ms)
        try:
            self._queue.put(report)
        except StorageError as error:
            self._log(f"report {report.sequence} of {report.model} is not kept: {error.message}")
        self._send(report)

    def acknowledge(self, receipt: Receipt, now_ms: int) -> None:
        """Forget what the registry has committed."""
        if self._queue.acknowledge(receipt):
            self._resend.progressed(now_ms)

    def reconnected(self, now_ms: int) -> None:
        """The link came up: what waits may never have been sent."""
        self._resend.reconnected(now_ms, self._queue.keys)

    def tick(self, now_ms: int) -> None:
        """Send again what is due."""
        if self._uplink.online:
            for key in self._resend.take(now_ms, self._queue.keys):
                report = self._queue.load(key)
                if report is not None:
                    self._send(report)

    def _send(self, report: Report) -> None:
        if self._uplink.online:  # else it waits on disk, and all that waits is sent at the next connection
            behind = self._behind(report)
            self._uplink.send(Kind.REPORT, replace(report, behind=behind, dropped=self._queue.dropped))

    def _behind(self, report: Report) -> int:
        oldest = self._queue.oldest(report.boot, report.model)
        return 0 if oldest is None else max(0, report.sequence - oldest)
