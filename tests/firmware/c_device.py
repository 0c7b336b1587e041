"""A C agent as a process, enrolled like any device, and versions of the tiny model that it can run."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import numpy as np
from sqlmodel import select
from support.packages import TFLITE, Package, build, self_test
from support.real_fleet import RealFleet, inputs
from support.registry import add_version

from edgeops.compile.compiler import compile_plan
from edgeops.control.devices import enroll_device
from edgeops.core.codec import decode
from edgeops.core.messages import Report
from edgeops.core.signing import Role
from edgeops.registry.tables import DeviceEvent, DeviceModel, ReportWindow

CHUNK_BYTES = 1024
PADDED_BYTES = 60_000


class CDevice:
    """``edgeops_agent`` with the files that ``edgeops device enroll`` wrote."""

    def __init__(self, program: Path, fleet: RealFleet, name: str, broker: str | None = None) -> None:
        self.name = name
        self._fleet = fleet
        self._program = program
        self.config = enroll_device(fleet.workspace, name, {}, None, 0)
        if broker is not None:
            self.config.write_text(self.config.read_text().replace(fleet.url, broker))
        self.flash = self.config.parent / "data" / "flash.bin"
        self._inputs = self.config.parent / "inputs.bin"
        self._inputs.write_bytes(b"".join(np.asarray(raw, np.float32).tobytes() for raw, _ in inputs()))
        self._log = self.config.parent / "log.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the agent, or start it again."""
        command = [self._program, "--enrolment", self.config, "--inputs", self._inputs]
        command += ["--samples", "float32", "--every", "2", "--target", "cortex-m"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        """As a power cut, for the process."""
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

    def windows(self) -> list[Report]:
        """What it counted, as the registry took it."""
        with self._fleet.workspace.registry.reading() as session:
            found = session.exec(select(ReportWindow).where(ReportWindow.device_id == self.name))
            return [decode(Report, window.counters) for window in found]

    def counted(self) -> int:
        """Inferences that the registry knows of."""
        return sum(window.counters.inferences for window in self.windows())


def release(fleet: RealFleet, version: int, *, flip: bool = False, seed: int | None = None) -> Package:
    """Register a version for Linux and for microcontrollers; ``flip`` gives it a self-test that it fails.

    With ``seed`` the plan is padded, so that it has many chunks.
    """
    compiled = compile_plan(TFLITE)
    plan = compiled.plan
    if seed is not None:
        plan += np.random.default_rng(seed).bytes(PADDED_BYTES - len(plan))
    made = build(
        version,
        execution=(plan, compiled.arena_bytes),
        vectors=self_test(flip=flip),
        keys=[fleet.workspace.key(Role.RELEASE)],
        chunk_bytes=CHUNK_BYTES,
    )
    for blob in [*made.blobs.values(), *made.chunks.values(), made.envelope]:
        fleet.workspace.blobs.put(blob)
    with fleet.workspace.registry.session() as session:
        add_version(session, made)
    fleet.packages[made.digest] = made
    return made
