"""Keeping the native libraries' chatter off stdout and stderr."""

from __future__ import annotations

import importlib
import os
import sys
import threading

import pytest

from edgeops.core.errors import MissingExtra
from edgeops.training import backend
from edgeops.training.backend import load_tensorflow, quiet


def test_nothing_gets_out(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        print("python")
        print("python", file=sys.stderr)
        os.write(1, b"native")
        os.write(2, b"native")
    assert capfd.readouterr() == ("", "")
    print("after")
    os.write(2, b"after")
    assert capfd.readouterr() == ("after\n", "after")


def test_an_exception_brings_the_chatter_out_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), quiet():
        print("the reason")
        raise ValueError("broken")
    assert capfd.readouterr() == ("", "the reason\n")


def test_or_not_where_the_caller_says_it_better(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), quiet(tell=False):
        print("the reason")
        raise ValueError("broken")
    assert capfd.readouterr() == ("", "")


def test_tensorflows_log_goes_to_a_stream_that_is_open() -> None:
    load_tensorflow()
    assert not importlib.import_module("absl.logging").get_absl_handler().python_handler.stream.closed


def test_two_threads_leave_stdout_where_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    def chatter() -> None:
        for _ in range(50):
            with quiet():
                os.write(1, b"native")

    threads = [threading.Thread(target=chatter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(1, b"after")
    assert capfd.readouterr() == ("after", "")


def test_file_descriptors_do_not_leak() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with quiet():
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_tensorflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    backend._modules.cache_clear()
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtra) as caught:
        load_tensorflow()
    assert caught.value.fix == 'pip install "edgeops[train]"'
