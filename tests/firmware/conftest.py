"""What the firmware's tests share: the host build of the library and its tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from firmware.host_tools import build_host


@pytest.fixture(scope="session")
def host_build() -> Path:
    """The folder with the tools and C tests for this machine."""
    return build_host()
