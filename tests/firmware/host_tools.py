"""The library, the tools and the C agent for this machine, built once however many tests ask."""

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


def build_host() -> Path:
    """The folder that ``make host`` fills; skips, or in CI fails, where it cannot be built for want of a package."""
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


def posix_agent() -> Path:
    """The C agent for Linux, which needs libmosquitto."""
    program = build_host() / "edgeops_agent"
    assert program.exists(), "edgeops_agent was not built. Fix: sudo apt-get install libmosquitto-dev"
    return program
