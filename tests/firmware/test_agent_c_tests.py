"""The agent's C tests: updates, refusals and reports against a broker in memory, and power that fails at any moment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_stubs"


@pytest.mark.parametrize("name", ["store", "update", "agent", "agent_faults", "power_cut"])
def test_the_c_tests_pass(host_build: Path, name: str) -> None:
    """Each is one program that prints what failed."""
    program = host_build / "tests" / f"{name}_test"
    done = subprocess.run([program], cwd=FIRMWARE, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
