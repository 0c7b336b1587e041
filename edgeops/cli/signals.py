"""Signals: SIGTERM ends a command as Ctrl-C does, cleanly."""

from __future__ import annotations

import signal
from types import FrameType


def terminate_as_interrupt() -> None:
    """From now on SIGTERM raises ``KeyboardInterrupt``."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
