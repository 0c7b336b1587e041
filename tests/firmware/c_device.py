"""A C agent as a process, enrolled like any device, and versions of the tiny model that it can run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from firmware.fleet_device import FleetDevice
from support.packages import TFLITE, Package, build, self_test
from support.real_fleet import RealFleet, inputs
from support.registry import add_version

from edgeops.compile.compiler import compile_plan
from edgeops.control.devices import enroll_device
from edgeops.core.signing import Role

CHUNK_BYTES = 1024
PADDED_BYTES = 60_000


class CDevice(FleetDevice):
    """``edgeops_agent`` with the files that ``edgeops device enroll`` wrote."""

    def __init__(self, program: Path, fleet: RealFleet, name: str, broker: str | None = None) -> None:
        super().__init__(fleet, name, enroll_device(fleet.workspace, name, {}, None, 0))
        self._program = program
        if broker is not None:
            self.config.write_text(self.config.read_text().replace(fleet.url, broker))
        self.flash = self.config.parent / "data" / "flash.bin"
        self._inputs = self.config.parent / "inputs.bin"
        self._inputs.write_bytes(b"".join(np.asarray(raw, np.float32).tobytes() for raw, _ in inputs()))

    def command(self) -> Sequence[str | Path]:
        """Fed with ``inputs()``, one after the other."""
        files: list[str | Path] = ["--enrolment", self.config, "--inputs", self._inputs]
        return [self._program, *files, "--samples", "float32", "--every", "2", "--target", "cortex-m"]


def release(
    fleet: RealFleet,
    version: int,
    *,
    flip: bool = False,
    seed: int | None = None,
    compiled: bytes = TFLITE,
    **options: Any,
) -> Package:
    """Register a version for Linux and for microcontrollers; ``flip`` gives it a self-test that it fails.

    With ``seed`` the plan is padded, so that it has many chunks. The plan is ``compiled``; ``options`` are what
    ``build`` takes.
    """
    made_of = compile_plan(compiled)
    plan = made_of.plan
    if seed is not None:
        plan += np.random.default_rng(seed).bytes(PADDED_BYTES - len(plan))
    made = build(
        version,
        execution=(plan, made_of.arena_bytes),
        vectors=self_test(flip=flip),
        keys=[fleet.workspace.key(Role.RELEASE)],
        chunk_bytes=CHUNK_BYTES,
        **options,
    )
    for blob in [*made.blobs.values(), *made.chunks.values(), made.envelope]:
        fleet.workspace.blobs.put(blob)
    with fleet.workspace.registry.session() as session:
        add_version(session, made)
    fleet.packages[made.digest] = made
    return made
