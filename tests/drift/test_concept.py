"""Errors that become more frequent are found in some hundred labels; a steady stream rarely alarms."""

from __future__ import annotations

import numpy as np
import pytest

from edgeops.drift.concept import RUN_LENGTH, ErrorStream, base_rate_of, first_alarms, labels_needed


def delay(seed: int, rate: float, before: int = 500) -> int:
    draw = np.random.default_rng(seed)
    wrong = np.concatenate([draw.random(before) < 0.1, draw.random(5_000) < rate])
    alarms = first_alarms(0.1, wrong.tolist())
    return alarms[0][0] + 1 - before if alarms else 5_000


@pytest.mark.parametrize(("rate", "within"), [(0.15, 450), (0.2, 135), (0.4, 45)])
def test_a_rise_is_found_in_few_labels(rate: float, within: int) -> None:
    assert np.median([delay(seed, rate) for seed in range(150)]) <= within


def test_the_statistic_grows_by_one_a_label_while_nothing_changes() -> None:
    """Its mean is the number of labels: that is why its threshold is a run length."""
    ends = []
    for seed in range(4_000):
        state = ErrorStream(0.1)
        for wrong in np.random.default_rng(seed).random(30) < 0.1:
            state = state.take(bool(wrong))
        ends.append(state.evidence)
    assert np.mean(ends) == pytest.approx(30, rel=0.12)


def test_a_steady_stream_is_quiet() -> None:
    draw = np.random.default_rng(9)
    alarms = first_alarms(0.1, (draw.random(60_000) < 0.1).tolist())
    assert len(alarms) <= 5


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_model_that_never_or_always_errs_is_watched_too(rate: float) -> None:
    assert first_alarms(rate, [True] * 20) if rate == 0 else not first_alarms(rate, [True] * 2_000)


def test_an_alarm_says_what_the_rate_became() -> None:
    draw = np.random.default_rng(4)
    wrong = np.concatenate([draw.random(2_000) < 0.1, draw.random(2_000) < 0.5])
    (_, state), *_ = first_alarms(0.1, wrong.tolist())
    assert state.evidence >= RUN_LENGTH
    assert 0.15 < state.rate <= 1.0


def test_how_many_labels_a_base_rate_needs() -> None:
    assert labels_needed(0.1) == 14_400
    assert base_rate_of(0, 0)[1] == 0.5
    assert base_rate_of(10, 100)[0] == pytest.approx(10.5 / 101)
