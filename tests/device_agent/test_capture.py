"""Inputs leave the device only under a policy, by content, with consent, and within budgets that a restart keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.packages import observe_plan

from device_agent import capture as capture_module
from device_agent.byte_budget import DAY_MS
from device_agent.capture import Capture
from edgeops.core.errors import StorageError
from edgeops.core.messages import Captured, CapturePolicy, ShiftedBins

PLAN = observe_plan()
RNG = np.random.default_rng(1)
INPUTS = list(RNG.integers(-128, 128, (2000, 8, 8, 1), dtype=np.int8))
DARK = np.full((8, 8, 1), -128, np.int8)
BRIGHT = np.full((8, 8, 1), 127, np.int8)
SURE, UNSURE = 15, 3
LEVEL = next(index for index, feature in enumerate(PLAN.features) if feature.name == "level")


def made(folder: Path, policy: CapturePolicy | None) -> Capture:
    capture = Capture(folder)
    capture.follow(policy)
    return capture


def asked(
    capture: Capture, values: NDArray[np.int8], confidence: int = SURE, consent: bool = True, now_ms: int = 0
) -> Captured | None:
    return capture.wants(PLAN, values, confidence, consent, now_ms)


def taken(folder: Path, policy: CapturePolicy | None, inputs: list[NDArray[np.int8]] = INPUTS) -> list[bytes]:
    capture = made(folder, policy)
    return [values.tobytes() for values in inputs if asked(capture, values) is not None]


class TestPermission:
    def test_without_a_policy_nothing_leaves(self, tmp_path: Path) -> None:
        assert taken(tmp_path, None) == []

    def test_without_consent_nothing_leaves_and_nothing_is_spent(self, tmp_path: Path) -> None:
        capture = made(tmp_path, CapturePolicy(1000, 1, 16))
        assert not any(asked(capture, values, UNSURE, consent=False) for values in INPUTS)
        assert asked(capture, INPUTS[0]) is Captured.UNIFORM

    def test_the_budget_ends_it_and_no_input_is_sent_twice(self, tmp_path: Path) -> None:
        assert len(taken(tmp_path / "a", CapturePolicy(1000, 7))) == 7
        assert len(taken(tmp_path / "b", CapturePolicy(1000, 100), INPUTS[:5] * 3)) == 5
        assert taken(tmp_path / "c", CapturePolicy(0, 100)) == []

    def test_another_policy_is_another_permission(self, tmp_path: Path) -> None:
        capture = made(tmp_path, CapturePolicy(1000, 2))
        assert [asked(capture, values) for values in INPUTS[:3]] == [Captured.UNIFORM, Captured.UNIFORM, None]
        capture.follow(CapturePolicy(1000, 2))
        assert asked(capture, INPUTS[3]) is None
        capture.follow(None)
        assert asked(capture, INPUTS[3]) is None
        capture.follow(CapturePolicy(1000, 2))
        assert asked(capture, INPUTS[3]) is Captured.UNIFORM


class TestWhatIsChosen:
    def test_the_share_is_met_and_the_choice_is_the_contents(self, tmp_path: Path) -> None:
        chosen = taken(tmp_path / "a", CapturePolicy(250, 10_000))
        assert 400 < len(chosen) < 600
        assert taken(tmp_path / "b", CapturePolicy(250, 10_000), INPUTS[::-1]) == chosen[::-1]
        assert set(chosen) < set(taken(tmp_path / "c", CapturePolicy(500, 10_000)))

    def test_uncertain_ones_are_taken_beside_the_share_and_say_so(self, tmp_path: Path) -> None:
        capture = made(tmp_path, CapturePolicy(250, 1000, uncertain_below=8))
        reasons = [asked(capture, values, confidence) for values in INPUTS[:400] for confidence in (SURE, 7)]
        assert set(reasons) == {None, Captured.UNIFORM, Captured.UNCERTAIN}
        assert reasons.count(Captured.UNIFORM) + reasons.count(Captured.UNCERTAIN) == 400
        uniform = {INPUTS[i // 2].tobytes() for i, r in enumerate(reasons) if r is Captured.UNIFORM}
        assert uniform == set(taken(tmp_path / "again", CapturePolicy(250, 1000), INPUTS[:400]))

    def test_inputs_of_shifted_bins_are_taken_beside_the_share(self, tmp_path: Path) -> None:
        below = CapturePolicy(0, 10, shifted=(ShiftedBins(LEVEL, 1),))
        capture = made(tmp_path, below)
        assert asked(capture, DARK) is Captured.SHIFTED
        assert asked(capture, BRIGHT) is None
        above = made(tmp_path / "above", CapturePolicy(0, 10, shifted=(ShiftedBins(LEVEL, 1 << 11),)))
        assert asked(above, DARK) is None

    def test_a_feature_that_the_plan_lacks_is_passed_by(self, tmp_path: Path) -> None:
        capture = made(tmp_path, CapturePolicy(0, 10, shifted=(ShiftedBins(200, 4095),)))
        assert asked(capture, DARK) is None

    def test_half_of_the_budget_is_kept_for_the_share(self, tmp_path: Path) -> None:
        capture = made(tmp_path, CapturePolicy(100, 40, uncertain_below=16))
        reasons = [asked(capture, values, UNSURE) for values in INPUTS]
        assert (reasons.count(Captured.UNIFORM), reasons.count(Captured.UNCERTAIN)) == (20, 20)
        alone = made(tmp_path / "alone", CapturePolicy(0, 40, uncertain_below=16))
        assert [asked(alone, values, UNSURE) for values in INPUTS].count(Captured.UNCERTAIN) == 40


class TestBytesADay:
    def test_they_end_a_day_and_the_next_begins_anew(self, tmp_path: Path) -> None:
        capture = made(tmp_path, CapturePolicy(1000, 100, daily_bytes=64 * 3))
        assert [asked(capture, values) is not None for values in INPUTS[:5]] == [True] * 3 + [False] * 2
        assert asked(capture, INPUTS[5], now_ms=DAY_MS - 1) is None
        assert asked(capture, INPUTS[5], now_ms=DAY_MS) is Captured.UNIFORM

    def test_a_restart_does_not_give_them_back(self, tmp_path: Path) -> None:
        policy = CapturePolicy(1000, 100, daily_bytes=64 * 3)
        first = made(tmp_path, policy)
        assert [asked(first, values) is not None for values in INPUTS[:2]] == [True] * 2
        again = made(tmp_path, policy)
        assert sum(asked(again, values) is not None for values in INPUTS[10:20]) <= 1


class TestRestarts:
    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(budget=st.integers(1, 300), cuts=st.lists(st.integers(1, 200), max_size=8), clean=st.booleans())
    def test_the_budget_survives_them_all(
        self, tmp_path_factory: pytest.TempPathFactory, budget: int, cuts: list[int], clean: bool
    ) -> None:
        """However often it is cut off: never more than the budget, and never much less where it ends on purpose."""
        folder, sent, offered = tmp_path_factory.mktemp("capture"), 0, iter(INPUTS)
        for count in cuts:
            capture = made(folder, CapturePolicy(1000, budget))
            sent += sum(asked(capture, next(offered)) is not None for _ in range(count))
            if clean:
                capture.close()
        assert sent <= budget
        if clean:
            assert sent == min(budget, sum(cuts))

    def test_an_input_that_was_sent_before_is_not_sent_again(self, tmp_path: Path) -> None:
        policy = CapturePolicy(1000, 100)
        assert len(taken(tmp_path, policy, INPUTS[:10])) == 10
        assert taken(tmp_path, policy, INPUTS[:10]) == []

    def test_writes_to_the_disk_are_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        writes: list[Path] = []
        real = capture_module.write_atomic
        monkeypatch.setattr(
            capture_module, "write_atomic", lambda path, data: (writes.append(path), real(path, data))
        )
        assert len(taken(tmp_path, CapturePolicy(1000, 1500))) == 1500
        assert len(writes) <= capture_module.STEPS + 2

    def test_memory_is_bounded_whatever_the_budget(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(capture_module, "REMEMBERED", 50)
        capture = made(tmp_path, CapturePolicy(1000, 10_000))
        assert sum(asked(capture, values) is not None for values in INPUTS) == len(INPUTS)
        assert len(capture._sent) == 50

    def test_a_full_disk_keeps_nothing_from_working(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(path: Path, data: bytes) -> None:
            raise StorageError("no space left")

        monkeypatch.setattr(capture_module, "write_atomic", full)
        assert len(taken(tmp_path, CapturePolicy(1000, 7))) == 7

    def test_a_damaged_file_costs_a_second_budget_at_most(self, tmp_path: Path) -> None:
        assert len(taken(tmp_path, CapturePolicy(1000, 7))) == 7
        (tmp_path / "spent.cbor").write_bytes(b"torn")
        assert len(taken(tmp_path, CapturePolicy(1000, 7))) == 7
