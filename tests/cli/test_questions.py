"""A question that is not answered with yes: exit codes, and that nothing was done."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys

import pytest
from support.scripted_fleet import ScriptedFleet

DEADLINE_S = 60
TRIES = 20
# whoever runs the tests may have told its children to ignore Ctrl-C
RUN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from edgeops.cli.main import run; run()"
)


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        (b"n\n", 1, "nothing was changed"),
        (b"\x04", 1, "nothing was changed"),
        (b"", 130, "interrupted"),
    ],
    ids=["no", "end of input", "Ctrl-C"],
)
def test_a_question_that_is_not_answered_with_yes(
    fleet: ScriptedFleet, typed: bytes, code: int, says: str
) -> None:
    path = fleet.workspace.root / "fleet.toml"
    path.write_text('[device.cam-00]\nsite = "berlin"\n')
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "apply", str(path), "-w", str(fleet.workspace.root)],
        stdin=side,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    shown = b""
    try:
        while b"[y/N]: " not in shown and select.select([main], [], [], DEADLINE_S)[0]:
            shown += os.read(main, 4096)
        for _ in range(TRIES):
            if typed:
                os.write(main, typed)
            else:
                process.send_signal(signal.SIGINT)
            while select.select([main], [], [], DEADLINE_S / TRIES)[0]:
                try:
                    shown += os.read(main, 4096)
                except OSError:  # it has ended
                    break
            else:
                continue  # Python loses a signal that comes just before it begins to read
            break
        assert process.wait(DEADLINE_S) == code
    finally:
        process.kill()
        os.close(main)
    assert says in shown.decode()
    assert b"error" not in shown and b"Traceback" not in shown
    assert fleet.audit() == []
