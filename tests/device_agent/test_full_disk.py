"""On a full disk the confirmed model runs on, updates wait for room, and a start finds a whole model."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from support.packages import TRIAL, Bench, build, enrol, image, poll_until_quiet
from support.updated_agent import FIRST, SECOND, confirmed, predict

from device_agent import chunk_file, slots
from edgeops import files
from edgeops.core.errors import StorageError

PUBLISHED = (FIRST, SECOND)
WRITERS = (files, slots)  # what writes whole files calls ``replace_file`` of these


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to fill the disk; ``monkeypatch.undo`` empties it again."""

    def full(path: Path, data: bytes, mode: int = 0o644, *, sync: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_too(handle: int, data: bytes, offset: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill() -> None:
        for module in WRITERS:
            monkeypatch.setattr(module, "replace_file", full)
        monkeypatch.setattr(chunk_file, "_write_all", full_too)

    return fill


def test_with_a_full_disk_the_confirmed_model_runs_on_and_reports_are_sent_but_not_kept(
    bench: Bench, full_disk: Callable[[], None]
) -> None:
    agent = confirmed(bench)
    bench.control.receipt(agent.boot, 1)
    full_disk()
    predict(agent, bench, 30)
    bench.wait(agent, 60)
    reports = bench.control.reports()
    assert [report.sequence for report in reports] == [2, 3, 4]
    assert reports[-1].dropped == 3
    assert any("is not kept" in line for line in bench.log)


def test_an_update_waits_for_room_and_then_goes_through(
    bench: Bench, full_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = confirmed(bench)
    full_disk()
    bench.control.desire(SECOND)
    for _ in range(100):
        bench.wait(agent, 2)
        assert agent.predict(image()).model_version == 1
    assert "CONFIRMED" not in bench.control.steps()
    monkeypatch.undo()
    bench.wait(agent, 5)
    predict(agent, bench, TRIAL.inferences)
    assert bench.control.steps()[-1] == "CONFIRMED"
    bench.cut()
    again = bench.start()
    assert again.predict(image()).model_version == 2


def test_a_disk_that_fills_up_at_any_write_of_an_update_leaves_a_whole_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first n writes succeed, then none: the device predicts on, and so does its next start."""
    longest = 0
    for allowed in range(0, 40, 2):
        bench = Bench(enrol(tmp_path / str(allowed)))
        other = build(2, tflite=FIRST.blobs[FIRST.manifest.artifacts[0].blob.hex] + bytes(2000))
        bench.control.publish(FIRST)
        bench.control.publish(other)
        agent = confirmed(bench)
        with monkeypatch.context() as patched:
            fill_after(allowed, patched)
            bench.control.desire(other)
            poll_until_quiet(agent, 10)
            bench.wait(agent, 20)
            longest = max(longest, agent.predict(image()).model_version)
            bench.cut()
            agent = bench.start()
            agent.predict(image())
            bench.cut()
        agent = bench.start()
        poll_until_quiet(agent)
        bench.wait(agent, 30)
        assert agent.predict(image()).model_version in (1, 2)
    assert longest == 2  # some of these had room for the whole update


def fill_after(allowed: int, patched: pytest.MonkeyPatch) -> None:
    left = [allowed]
    real, real_chunk = files.replace_file, chunk_file._write_all

    def write(path: Path, data: bytes, mode: int = 0o644, *, sync: bool) -> None:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        real(path, data, mode, sync=sync)

    def write_chunk(handle: int, data: bytes, offset: int) -> None:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        real_chunk(handle, data, offset)

    for module in WRITERS:
        patched.setattr(module, "replace_file", write)
    patched.setattr(chunk_file, "_write_all", write_chunk)


def test_a_device_with_a_full_disk_starts_and_counts_its_boots(
    bench: Bench, full_disk: Callable[[], None]
) -> None:
    agent = confirmed(bench)
    boot = agent.boot
    agent.close()
    full_disk()
    for more in (1, 2):
        agent = bench.start()
        assert agent.boot == boot + more
        assert agent.predict(image()).model_version == 1
        agent.close()


def test_a_disk_that_is_really_full_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeops.files import write_atomic

    def no_room(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "x").write_bytes(b"old")
    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(StorageError, match="No space left on device"):
        write_atomic(tmp_path / "x", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
