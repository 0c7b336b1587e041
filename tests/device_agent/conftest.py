"""The bench that a device stands on in these tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.packages import Bench, enrol


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """A device that never ran; its broker holds the packages that the test's module names as ``PUBLISHED``."""
    bench = Bench(enrol(tmp_path))
    for package in getattr(request.module, "PUBLISHED", ()):
        bench.control.publish(package)
    return bench
