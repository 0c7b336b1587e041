"""Reports wait on disk until their receipt; what overflows is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.counted import empty

from device_agent import report_queue
from device_agent.report_queue import ReportQueue
from edgeops.core.errors import StorageError
from edgeops.core.messages import Receipt, Report


def report(sequence: int, boot: int = 1, model: str = "tiny") -> Report:
    return Report(model, bytes(8), boot, sequence, sequence - 1, 1, 0, 10, empty(), 1000)


def sequences(queue: ReportQueue) -> list[int]:
    return [waiting.sequence for waiting in queue.waiting()]


@pytest.fixture
def queue(tmp_path: Path) -> ReportQueue:
    return ReportQueue(tmp_path / "reports", limit=3)


def test_a_report_waits_until_its_receipt_comes(queue: ReportQueue) -> None:
    for sequence in (1, 2, 3):
        queue.put(report(sequence))
    assert sequences(queue) == [1, 2, 3]
    assert queue.acknowledge(Receipt(1, {"tiny": 2})) == 2
    assert sequences(queue) == [3]
    assert queue.oldest(1, "tiny") == 3


@pytest.mark.parametrize(
    "receipt", [Receipt(2, {"tiny": 9}), Receipt(1, {"other": 9}), Receipt(1, {"tiny": 0})]
)
def test_a_receipt_covers_its_own_boot_and_model_only(queue: ReportQueue, receipt: Receipt) -> None:
    queue.put(report(1))
    assert queue.acknowledge(receipt) == 0
    assert len(queue) == 1


def test_the_oldest_goes_when_it_is_full_and_is_counted(queue: ReportQueue) -> None:
    for sequence in range(1, 6):
        queue.put(report(sequence))
    assert sequences(queue) == [3, 4, 5]
    assert queue.dropped == 2


def test_what_waits_outlives_a_restart_oldest_boot_first(tmp_path: Path) -> None:
    first = ReportQueue(tmp_path, limit=9)
    first.put(report(10, boot=1))
    first.put(report(9, boot=1, model="dots.in.its.name"))
    first.put(report(1, boot=2))
    again = ReportQueue(tmp_path, limit=9)
    assert [(r.boot, r.sequence) for r in again.waiting()] == [(1, 9), (1, 10), (2, 1)]
    assert again.acknowledge(Receipt(1, {"dots.in.its.name": 9})) == 1


def test_a_damaged_report_is_dropped_and_counted(tmp_path: Path, queue: ReportQueue) -> None:
    queue.put(report(1))
    queue.put(report(2))
    (tmp_path / "reports" / "1.1.tiny").write_bytes(b"torn")
    assert sequences(queue) == [2]
    assert queue.dropped == 1
    assert len(queue) == 1


def test_a_full_disk_is_told_and_counted(queue: ReportQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(report_queue, "write_atomic", full)
    with pytest.raises(StorageError):
        queue.put(report(1))
    assert (len(queue), queue.dropped) == (0, 1)


def test_other_files_in_the_folder_are_left_alone_and_torn_ones_swept(tmp_path: Path) -> None:
    (tmp_path / "README").touch()
    (tmp_path / ".x.part").touch()
    queue = ReportQueue(tmp_path, limit=3)
    assert len(queue) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["README"]
