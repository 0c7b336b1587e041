"""Which inputs are observed, and what a prediction's id says."""

from __future__ import annotations

import numpy as np
import pytest
from support.packages import observe_plan

from device_agent.bench_subject import Subject
from device_agent.inference import open_interpreter
from device_agent.observing import Draws, Observing
from edgeops.core.messages import PredictionId, ReportPolicy


class TestDraws:
    @pytest.mark.parametrize("permille", [1, 50, 250, 500, 999])
    @pytest.mark.parametrize("boot", [0, 1, 2**32 - 1])
    def test_the_share_is_about_right(self, permille: int, boot: int) -> None:
        draws = Draws(boot)
        taken = sum(draws.below(permille) for _ in range(20_000))
        share, error = permille / 1000, (permille / 1000 * (1 - permille / 1000) / 20_000) ** 0.5
        assert abs(taken / 20_000 - share) < 5 * error

    @pytest.mark.parametrize("rhythm", [2, 3, 4, 5, 10, 24, 50, 60])
    def test_a_rhythm_of_the_world_is_never_observed_all_or_nothing(self, rhythm: int) -> None:
        for boot in range(1, 6):
            draws = Draws(boot)
            taken = [draws.below(500) for _ in range(200 * rhythm)]
            for beat in range(rhythm):
                assert 50 < sum(taken[beat::rhythm]) < 150

    def test_all_and_none(self) -> None:
        draws = Draws(7)
        assert all(draws.below(1000) for _ in range(100))
        assert not any(draws.below(0) for _ in range(1000))

    def test_another_boot_draws_others(self) -> None:
        first, second = Draws(1), Draws(2)
        assert [first.below(500) for _ in range(64)] != [second.below(500) for _ in range(64)]


def test_of_equal_scores_the_first_is_predicted_and_its_id_says_what_it_was() -> None:
    from support.packages import TFLITE

    subject = Subject(bytes(range(32)), observe_plan(), open_interpreter(TFLITE), [])
    observing = Observing("tiny", 9)
    observing.policy = ReportPolicy(0, 0, 0)
    observing.switch(subject, False, 0)
    scores = np.array([-128, 40, -7, 40, -128], np.int8)
    for index in range(2):
        counted = observing.count(np.zeros((8, 8, 1), np.int8), scores, 50)
        assert counted[:3] == (1, 40, 10)
        assert PredictionId.unpack(counted.id) == PredictionId(bytes(range(8)), 9, 1, index, 1, 10)
    report = observing.close(0)
    assert report is not None
    assert (report.counters.classes, report.counters.observed) == ((0, 2, 0, 0, 0), 0)
