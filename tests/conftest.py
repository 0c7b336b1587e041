"""What all tests share: hypothesis profiles, and what happens where a system package is missing."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from hypothesis import settings

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
SYSTEM_PATHS = ("/usr/sbin", "/usr/local/sbin")
INSTALL_LINE = "sudo apt-get install mosquitto"

# Read when TensorFlow is first loaded, by whichever test comes first: its start is not what is tested.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A shell starts what runs behind "&" with SIGINT ignored, and that is inherited: what the tests start must be
# interruptible all the same.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "default")


def find_mosquitto() -> str | None:
    """The Mosquitto binary; Debian puts it in a folder that is on root's PATH only."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_PATHS]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Mosquitto where there is none: one reason a test, so that pytest lists each by name."""
    if IN_CI or find_mosquitto():
        return
    for item in items:
        if item.get_closest_marker("needs_mosquitto"):
            reason = f"{item.nodeid} needs Mosquitto. Fix: {INSTALL_LINE}"
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """In CI a test that would be skipped for a missing package is a failure."""
    if IN_CI and item.get_closest_marker("needs_mosquitto") and not find_mosquitto():
        pytest.fail(
            f"Mosquitto is not installed, and CI must not skip this test. Fix: {INSTALL_LINE}", pytrace=False
        )
