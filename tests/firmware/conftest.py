"""What the firmware's tests share: the host build of the library and its tools."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_stubs"
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
NEEDED = ("cc", "make")


@pytest.fixture(scope="session")
def host_build() -> Path:
    """The folder with the tools and C tests for this machine, built once however many workers ask."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        reason = f"{', '.join(missing)} is missing. Fix: sudo apt-get install build-essential"
        (pytest.fail if IN_CI else pytest.skip)(reason)
    (FIRMWARE / "build").mkdir(exist_ok=True)
    with (FIRMWARE / "build" / ".host.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(["make", "-C", FIRMWARE, "host"], check=False, capture_output=True, text=True)
    if made.returncode != 0 and not (FIRMWARE / "deps" / ".complete").exists() and not IN_CI:
        pytest.skip(f"the firmware's dependencies could not be had: {made.stderr.strip().splitlines()[-1]}")
    assert made.returncode == 0, made.stdout + made.stderr
    return FIRMWARE / "build" / "host"
