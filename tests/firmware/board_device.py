"""The agent's image on the emulated Cortex-M3 as a device of a fleet, started with what its enrolment says."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from firmware import emulator
from firmware.fleet_device import FleetDevice
from numpy.typing import NDArray
from support.real_fleet import RealFleet

BOARD = emulator.BOARDS[0]
HOST = "10.0.2.2"
"""This machine, as QEMU's user network shows it to the board."""
INTERVAL_MS = 5


class BoardDevice(FleetDevice):
    """QEMU with the flash in a file; ``broker`` is where it connects, if not where its enrolment says."""

    def __init__(self, fleet: RealFleet, name: str, config: Path, broker: str | None = None) -> None:
        super().__init__(fleet, name, config)
        self._elf = emulator.image(BOARD, "edgeops_agent")
        self._broker = broker
        self.flash = config.parent / "flash"
        self._inputs = config.parent / "inputs"

    def sees(self, images: NDArray[np.float32]) -> None:
        """Replays these from its next start on, the first after the last."""
        self._inputs.write_bytes(images.astype(np.float32).tobytes())

    def command(self) -> Sequence[str | Path]:
        """What the image needs of its enrolment goes on its command line."""
        enrolment = tomllib.loads(self.config.read_text())
        arguments = {
            "fleet": enrolment["fleet"],
            "device": enrolment["device"],
            "broker": f"{HOST}:{urlsplit(self._broker or enrolment['broker']).port}",
            "trust": self.config.parent / enrolment["trust"],
            "target": "cortex-m3",
            "flash": self.flash,
            "inputs": self._inputs,
            "samples": "float32",
            "interval": INTERVAL_MS,
        }
        return emulator.command(BOARD, self._elf, arguments, counted=False, network=True)
