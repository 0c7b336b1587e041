"""Truths that cannot be sent wait on disk: bounded, in order, over power cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agent import label_queue
from device_agent.label_queue import LabelQueue
from edgeops.core.errors import StorageError
from edgeops.core.messages import Labels, Truth


def batch(number: int, truths: int = 1) -> Labels:
    return Labels("tiny", tuple(Truth(bytes([number, index]) + bytes(18), 1) for index in range(truths)))


def drained(queue: LabelQueue) -> list[Labels]:
    found = []
    while (first := queue.first()) is not None:
        found.append(first)
        queue.remove_first()
    return found


def test_they_come_out_in_order_also_after_a_power_cut(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path)
    for number in range(12):
        queue.put(batch(number))
    (tmp_path / ".13.x.part").write_bytes(b"torn")
    again = LabelQueue(tmp_path)
    assert len(again) == 12
    assert drained(again) == [batch(number) for number in range(12)]
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_go_when_it_is_full_and_their_truths_are_counted(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path, limit=3)
    for number in range(5):
        queue.put(batch(number, truths=4))
    assert queue.dropped == 8
    assert drained(queue) == [batch(number, 4) for number in (2, 3, 4)]


def test_a_damaged_batch_is_dropped_and_the_others_are_not(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path)
    queue.put(batch(1))
    queue.put(batch(2))
    (tmp_path / "1").write_bytes(b"torn")
    again = LabelQueue(tmp_path)
    assert drained(again) == [batch(2)]
    assert again.dropped == 1


def test_what_a_full_disk_does_not_take_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise StorageError("no space left")

    queue = LabelQueue(tmp_path)
    monkeypatch.setattr(label_queue, "write_atomic", full)
    queue.put(batch(1, truths=3))
    assert (len(queue), queue.dropped) == (0, 3)
