"""A C agent as a process in a fleet: ended by its own handle, and seen as the registry sees it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sqlmodel import col, select
from support.packages import Package
from support.real_fleet import RealFleet

from edgeops.core.codec import decode
from edgeops.core.messages import Report
from edgeops.registry.tables import DeviceEvent, DeviceModel, ReportWindow


class FleetDevice:
    """An enrolled device whose agent is ``command``; ``config`` is the ``agent.toml`` of its enrolment."""

    def __init__(self, fleet: RealFleet, name: str, config: Path) -> None:
        self.name = name
        self.config = config
        self._fleet = fleet
        self._log = config.parent / "log.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str | Path]:
        """The command line of its agent."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the agent, or start it again."""
        assert self.process is None
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)

    def kill(self) -> None:
        """As a power cut."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """In order; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(how)
        code = self.process.wait(20)
        self.process = None
        return code

    @property
    def log(self) -> str:
        """What it said to a person."""
        return self._log.read_text()

    def said(self) -> DeviceModel | None:
        """Its state of the model, as the registry knows it."""
        with self._fleet.workspace.registry.reading() as session:
            return session.exec(select(DeviceModel).where(DeviceModel.device_id == self.name)).first()

    def runs(self, package: Package) -> bool:
        """Whether it confirmed a package, by its own word."""
        said = self.said()
        return said is not None and said.confirmed == package.digest.hex() and said.lifecycle == "CONFIRMED"

    def events(self) -> list[DeviceEvent]:
        """What it said of its updates, in order."""
        return self._fleet.events(self.name)

    def windows(self, package: Package | None = None) -> list[Report]:
        """What it counted (of a version), as the registry took it, in the order in which it counted."""
        return windows_of(self._fleet, self.name, package)

    def counted(self, package: Package | None = None) -> int:
        """Inferences (of a version) that the registry knows of."""
        return sum(window.counters.inferences for window in self.windows(package))


def windows_of(fleet: RealFleet, device: str, package: Package | None = None) -> list[Report]:
    """The windows of any device (of a version) that the registry has, by boot and sequence."""
    with fleet.workspace.registry.reading() as session:
        order = (col(ReportWindow.boot), col(ReportWindow.sequence))
        rows = session.exec(select(ReportWindow).where(ReportWindow.device_id == device).order_by(*order))
        found = [decode(Report, row.counters) for row in rows]
    return [w for w in found if package is None or w.manifest == package.digest[: len(w.manifest)]]
