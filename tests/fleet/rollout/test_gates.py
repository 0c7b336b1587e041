"""Gates: how they are written, and that a verdict that may be looked at at any time stays an honest one."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.core.errors import UsageError
from edgeops.fleet.rollout.betting import Capital, capital_from_dict
from edgeops.fleet.rollout.evidence import ALPHA, Evidence, Observation, evidence_from_dict
from edgeops.fleet.rollout.gates import DEFAULT_GATES, GATES, GateRule, gate_from_dict, parse_gates
from edgeops.fleet.rollout.single import Single


class TestWriting:
    def test_all_stand_with_their_defaults(self) -> None:
        assert parse_gates([]) == DEFAULT_GATES
        assert [rule.name for rule in DEFAULT_GATES] == list(GATES)

    def test_limit_answer_and_evidence_can_be_said(self) -> None:
        (changed,) = [g for g in parse_gates(["accuracy=0.02:roll-stage-back:20"]) if g.name == "accuracy"]
        assert changed == GateRule("accuracy", 0.02, 20, "roll_stage_back")

    def test_a_gate_can_be_off(self) -> None:
        assert "latency" not in {g.name for g in parse_gates(["latency=off"])}

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("accuracy", "not understood"),
            ("speed=0.1", "no gate 'speed'; there are install"),
            ("accuracy=1.5", "not from 0 to 1"),
            ("latency=0.5", "not from 1 to 100"),
            ("accuracy=0.1:explode", "no answer 'explode'; there are hold"),
            ("accuracy=0.1:hold:many", "not understood"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, text: str, says: str) -> None:
        with pytest.raises(UsageError, match=says):
            parse_gates([text])

    def test_they_read_back(self) -> None:
        for rule in DEFAULT_GATES:
            assert gate_from_dict(rule.to_dict()) == rule


class TestBetting:
    def test_without_evidence_nothing_is_won(self) -> None:
        assert Capital().log_capital == 0.0
        assert not Capital().rejects(0.5)

    @given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.01, 0.99))
    def test_capital_stays_a_positive_number_and_reads_back(self, values: list[float], null: float) -> None:
        capital = Capital()
        for value in values:
            capital = capital.bet(value, null)
            assert -1e6 < capital.log_capital < 1e6
            assert capital.highest >= capital.log_capital
        assert capital_from_dict(capital.to_dict()) == capital

    def test_looking_at_any_time_inflates_no_alarms(self) -> None:
        """A thousand fair runs of 300 looks each: at most alpha of them may ever refuse (Ville)."""
        draw, refused = random.Random(7), 0
        for _ in range(1000):
            capital = Capital()
            for _ in range(300):
                capital = capital.bet(float(draw.random() < 0.5), 0.5)
                if capital.rejects(0.05):
                    refused += 1
                    break
        assert refused <= 70  # 50 expected at the very most; 3 sigma above that

    def test_a_mean_above_the_null_is_found(self) -> None:
        draw, capital = random.Random(1), Capital()
        for _ in range(200):
            capital = capital.bet(float(draw.random() < 0.7), 0.5)
        assert capital.rejects(0.01)

    def test_once_refused_it_stays_refused(self) -> None:
        capital = Capital()
        for _ in range(40):
            capital = capital.bet(1.0, 0.5)
        assert capital.rejects(0.01)
        for _ in range(200):
            capital = capital.bet(0.0, 0.5)
        assert capital.rejects(0.01)


ACCURACY = GATES["accuracy"].default
CONFIDENCE = GATES["confidence"].default


def cohort(
    treated: float, control: float, windows: int, spread: float = 0.05, seed: int = 3
) -> list[Observation]:
    draw, seen = random.Random(seed), []
    for index in range(windows):
        seen += [
            Observation(f"control-{index % 5}", False, draw.gauss(control, spread), 0.9),
            Observation("canary", True, draw.gauss(treated, spread), 0.9),
        ]
    return seen


class TestComparison:
    def test_a_worse_version_is_refused_within_some_windows(self) -> None:
        assert Evidence().take(ACCURACY, cohort(0.4, 0.9, 30), True).refuses(ACCURACY)

    def test_an_equal_one_is_not(self) -> None:
        assert not Evidence().take(ACCURACY, cohort(0.9, 0.9, 300), True).refuses(ACCURACY)

    def test_a_world_that_gets_worse_for_all_is_no_fault_of_the_version(self) -> None:
        assert not Evidence().take(ACCURACY, cohort(0.5, 0.5, 300), True).refuses(ACCURACY)

    def test_a_better_one_is_not_refused(self) -> None:
        assert not Evidence().take(ACCURACY, cohort(0.99, 0.6, 300), True).refuses(ACCURACY)

    def test_confidence_that_falls_is_refused(self) -> None:
        assert Evidence().take(CONFIDENCE, cohort(0.3, 0.62, 120), True).refuses(CONFIDENCE)

    def test_confidence_that_a_retrained_version_gains_is_not(self) -> None:
        assert not Evidence().take(CONFIDENCE, cohort(0.95, 0.5, 300), True).refuses(CONFIDENCE)

    def test_a_device_that_was_always_bad_is_no_evidence(self) -> None:
        bad = [
            o if not o.treated else Observation("canary", True, o.value - 0.5, 0.4)
            for o in cohort(0.9, 0.9, 200)
        ]
        assert not Evidence().take(ACCURACY, bad, True).refuses(ACCURACY)

    def test_without_control_it_waits_for_one_where_one_is_left(self) -> None:
        alone = [o for o in cohort(0.1, 0.9, 100) if o.treated]
        waiting = Evidence().take(ACCURACY, alone, True)
        assert (waiting.worse.count, waiting.treated_count) == (0, 100)
        assert Evidence().take(ACCURACY, alone, False).refuses(ACCURACY)

    def test_what_waited_for_a_control_cohort_that_went_is_still_used(self) -> None:
        alone = [o for o in cohort(0.1, 0.9, 40) if o.treated]
        stuck = Evidence()
        for seen in alone:  # the control cohort is taken for present, and says nothing
            stuck = stuck.take(ACCURACY, [seen], True)
        assert stuck.worse.count == 0
        freed = stuck.take(ACCURACY, [], False)
        assert (freed.worse.count, freed.changes.treated_count) == (1, 0)

    def test_one_that_leans_is_neither_refused_nor_passed(self) -> None:
        seen = cohort(0.6, 0.9, 30)
        states = [Evidence().take(ACCURACY, seen[:cut], True) for cut in range(len(seen))]
        leaning = [state.leans(ACCURACY) for state in states]
        refused = [state.refuses(ACCURACY) for state in states]
        assert any(leaning)
        assert any(refused)
        assert not any(both for both in zip(leaning, refused, strict=True) if all(both))

    def test_too_little_evidence_refuses_nothing(self) -> None:
        rule = GateRule("accuracy", 0.0, 1000, "hold")
        assert not Evidence().take(rule, cohort(0.0, 1.0, 100), True).refuses(rule)

    @settings(max_examples=25)
    @given(st.integers(0, 1000), st.integers(1, 40))
    def test_folding_in_pieces_is_folding_at_once_and_it_reads_back(self, seed: int, cut: int) -> None:
        seen = cohort(0.7, 0.9, 25, seed=seed)
        at_once = Evidence().take(ACCURACY, seen, True)
        stored = Evidence().take(ACCURACY, seen[:cut], True).to_dict()
        assert evidence_from_dict(stored).take(ACCURACY, seen[cut:], True) == at_once

    def test_null_rollouts_are_rarely_refused(self) -> None:
        """200 rollouts of an equal version, watched at each of 60 windows: no more than alpha of them refused."""
        refused = sum(
            Evidence().take(ACCURACY, cohort(0.9, 0.9, 60, spread=0.15, seed=seed), True).refuses(ACCURACY)
            for seed in range(200)
        )
        assert refused <= 200 * ALPHA + 4


def rollout_of_unequal_devices(seed: int, effect: float, past: int, canaries: int = 4) -> Evidence:
    """12 devices of unequal accuracy that wanders from window to window (correlation 0.9), 10 labels a window."""
    draw = random.Random(seed)
    base = [draw.gauss(2.2, 0.5) for _ in range(12)]
    wander = [draw.gauss(0, 0.3) for _ in base]

    def accuracy(device: int, less: float = 0.0) -> float:
        wander[device] = 0.9 * wander[device] + draw.gauss(0, 0.13)
        right = 1 / (1 + math.exp(-base[device] - wander[device])) - less
        return sum(draw.random() < right for _ in range(10)) / 10

    befores = []
    for device in range(len(base)):
        seen = [accuracy(device) for _ in range(past)]
        mean = fmean(seen) if seen else None
        befores.append((mean, math.sqrt(mean * (1 - mean) / (10 * past)) if mean is not None else 0.0))
    evidence = Evidence()
    for _ in range(120):
        for device, (mean, spread) in enumerate(befores):
            treated = device < canaries
            value = accuracy(device, effect if treated else 0.0)
            evidence = evidence.take(ACCURACY, [Observation(str(device), treated, value, mean, spread)], True)
    return evidence


class TestUnequalDevices:
    @pytest.mark.parametrize(("past", "canaries"), [(20, 1), (20, 4), (4, 1), (0, 1)])
    def test_null_rollouts_are_rarely_refused(self, past: int, canaries: int) -> None:
        runs = [rollout_of_unequal_devices(seed, 0.0, past, canaries) for seed in range(60)]
        assert sum(run.refuses(ACCURACY) for run in runs) <= 2  # 0.6 expected at most

    def test_a_drop_of_ten_points_is_mostly_found(self) -> None:
        runs = [rollout_of_unequal_devices(seed, 0.1, 20) for seed in range(30)]
        assert sum(run.refuses(ACCURACY) for run in runs) >= 15

    def test_a_wrong_version_is_found_without_any_past(self) -> None:
        runs = [rollout_of_unequal_devices(seed, 0.6, 0) for seed in range(10)]
        assert all(run.refuses(ACCURACY) for run in runs)

    def test_control_that_comes_after_is_compared_too(self) -> None:
        """All treated first, then all control: nothing that was reported is lost."""
        ordered = sorted(cohort(0.4, 0.9, 30), key=lambda o: not o.treated)
        evidence = Evidence().take(ACCURACY, ordered[:30], True)
        assert (evidence.worse.count, evidence.changes.treated_count) == (0, 30)
        assert evidence.take(ACCURACY, ordered[30:31], True).worse.count == 1


class TestSingle:
    def test_a_mean_above_the_limit_is_refused(self) -> None:
        state = Single()
        for _ in range(12):
            state = state.take(0.9, 0.25)
        assert state.refuses(1)

    def test_one_at_the_limit_is_not(self) -> None:
        draw, state = random.Random(5), Single()
        for _ in range(500):
            state = state.take(float(draw.random() < 0.25), 0.25)
        assert not state.refuses(1)

    def test_a_limit_of_one_cannot_be_passed(self) -> None:
        assert not Single().take(1.0, 1.0).refuses(0)
