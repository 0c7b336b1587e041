"""The byte budget: never above its limit, over reboots and crashes too."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent import byte_budget
from device_agent.byte_budget import DAY_MS, SAVE_EVERY_MS, ByteBudget
from edgeops.core.errors import StorageError


def budget(path: Path, limit: int = 1000) -> ByteBudget:
    made = ByteBudget(path / "byte-budget.cbor")
    made.limit = limit
    return made


def test_pieces_are_admitted_as_long_as_there_is_room(tmp_path: Path) -> None:
    own = budget(tmp_path)
    assert own.admit("a", [400, 400, 400]) == 2
    own.charge(400)
    own.charge(400)
    assert own.admit("a", [400]) == 0
    assert own.admit("a", [200]) == 1
    assert own.words() == "byte budget of the day is spent: 800 of 1000"


def test_what_was_promised_to_one_model_another_does_not_get(tmp_path: Path) -> None:
    own = budget(tmp_path)
    assert own.admit("a", [600]) == 1
    assert own.admit("b", [600]) == 0
    own.admit("a", [])
    assert own.admit("b", [600]) == 1


def test_without_a_limit_all_is_admitted_and_counted(tmp_path: Path) -> None:
    own = budget(tmp_path, 0)
    assert own.admit("a", [10**9] * 16) == 16
    own.charge(5)
    assert own.spent == 5


def test_after_a_day_of_uptime_all_is_free_again(tmp_path: Path) -> None:
    own = budget(tmp_path)
    own.charge(1000)
    own.tick(DAY_MS - 1)
    assert own.room("a") == 0
    own.tick(DAY_MS)
    assert own.room("a") == 1000
    assert own.spent == 0


@pytest.mark.parametrize("spent", [1000, 990])
def test_a_spent_day_ends_for_a_device_that_reboots_every_nine_minutes_too(
    tmp_path: Path, spent: int
) -> None:
    own = budget(tmp_path)
    own.admit("a", [spent])
    own.charge(spent)
    boots = 0
    while own.admit("a", [100]) == 0:
        boots += 1
        assert boots < 200
        own = budget(tmp_path)
        for uptime in range(0, 9 * 60_000, 30_000):
            own.admit("a", [100])
            own.tick(uptime)
    assert boots >= 24 * 60 / 9


def test_a_reboot_resets_nothing_and_uptime_adds_up(tmp_path: Path) -> None:
    own = budget(tmp_path)
    own.charge(700)
    own.tick(DAY_MS // 2)
    own.close()
    again = budget(tmp_path)
    assert again.spent == 700
    again.tick(DAY_MS // 2 - 1)
    assert again.spent == 700
    again.tick(DAY_MS // 2)
    assert again.spent == 0


@given(st.lists(st.lists(st.integers(1, 300), max_size=8), max_size=30), st.integers(1, 5000))
def test_however_often_it_crashes_a_device_fetches_no_more_than_its_budget(
    tmp_path_factory: pytest.TempPathFactory, boots: list[list[int]], limit: int
) -> None:
    path = tmp_path_factory.mktemp("budget")
    fetched = 0
    for pieces in boots:
        own = budget(path, limit)  # the last one just vanished
        assert own.spent >= fetched
        for size in pieces:
            if own.admit("a", [size]):
                own.charge(size)
                fetched += size
    assert fetched <= limit


def test_a_crash_costs_a_small_share_of_the_budget_at_most(tmp_path: Path) -> None:
    own = budget(tmp_path, 64_000)
    own.charge(100)
    assert budget(tmp_path, 64_000).spent <= 100 + 1000


def test_a_day_is_written_down_in_few_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(byte_budget, "write_atomic", lambda path, data: written.append(data))
    own = budget(tmp_path, 1_000_000)
    for step in range(10_000):
        own.charge(100)
        own.tick(step * DAY_MS // 10_001)
    assert len(written) <= 64 + DAY_MS // SAVE_EVERY_MS + 2


def test_uptime_is_written_down_now_and_then_so_that_a_device_that_crashes_every_hour_gets_its_day(
    tmp_path: Path,
) -> None:
    own = budget(tmp_path)
    own.charge(1000)
    for _ in range(40):
        own = budget(tmp_path)
        for minute in range(60):
            own.tick(minute * 60_000)
    assert own.spent == 0


def test_a_damaged_file_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "byte-budget.cbor").write_bytes(b"\xff")
    assert budget(tmp_path).spent == 0


def test_a_full_disk_keeps_nobody_from_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise StorageError("cannot write")

    monkeypatch.setattr(byte_budget, "write_atomic", full)
    own = budget(tmp_path)
    own.charge(1000)
    own.close()
    assert own.admit("a", [1]) == 0
