"""A private Mosquitto that writes down what it sends to whom: who asked for which chunk is read from its log."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import find_mosquitto
from firmware import emulator

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class LoggedBroker:
    """Its port on this machine, and its log."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        """As settings name it."""
        return f"mqtt://127.0.0.1:{self.port}"

    def chunks_sent(self, fleet: str, device: str) -> list[str]:
        """The topics of all chunks that it has sent to a device, in their order."""
        sent = rf"Sending PUBLISH to edgeops-{fleet}-{device} [^'\n]*'([^'\n]*/blob/[^'\n]*)'"
        return re.findall(sent, self.log.read_text())


@contextmanager
def logged_broker(folder: Path) -> Iterator[LoggedBroker]:
    """One that answers, and is ended with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    binary = find_mosquitto()
    assert binary is not None
    config, log = folder / "mosquitto.conf", folder / "mosquitto.log"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type all\n")
    with emulator.running([binary, "-c", str(config)], log):
        deadline = time.monotonic() + PATIENCE_S
        while not accepts(port):
            assert time.monotonic() < deadline, f"Mosquitto does not start:\n{log.read_text()[-3000:]}"
            time.sleep(0.02)
        yield LoggedBroker(port, log)


def accepts(port: int) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False
