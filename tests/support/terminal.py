"""Running the command line in a terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

DEADLINE_S = 60
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(*arguments: str, columns: int = 80, folder: Path | None = None, **environment: str) -> str:
    """What a terminal of so many columns shows, escape sequences and all; run in ``folder``."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeops", *arguments],
        stdin=side,
        stdout=side,
        stderr=side,
        cwd=folder,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(side)
    shown = b""
    while select.select([main], [], [], DEADLINE_S)[0]:
        try:
            piece = os.read(main, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    process.wait(DEADLINE_S)
    os.close(main)
    return shown.decode()


def lines_on_screen(shown: str) -> list[str]:
    """The lines that a person reads: no escape sequences, and of a line drawn over itself the last."""
    return [_CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in shown.split("\n")]
