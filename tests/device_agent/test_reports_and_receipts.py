"""Every prediction is counted in one window, and every report is sent until its receipt comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.packages import LABELS, TRIAL, Bench, enrol, poll_until_quiet
from support.updated_agent import FIRST, SECOND, confirmed, predict

from edgeops.core.input_features import FEATURES
from edgeops.core.messages import ReportPolicy

PUBLISHED = (FIRST, SECOND)


def test_windows_close_when_full_and_count_every_prediction(bench: Bench) -> None:
    agent = confirmed(bench)
    found = predict(agent, bench, 25)
    agent.close()
    reports = bench.control.reports()
    assert [report.counters.inferences for report in reports] == [10, 10, 5]
    assert [report.sequence for report in reports] == [2, 3, 4]  # the trial's window was the first
    counted = [sum(column) for column in zip(*(report.counters.classes for report in reports), strict=True)]
    assert counted == [sum(p.index == index for p in found) for index in range(len(LABELS))]
    for report in reports:
        assert report.manifest == FIRST.digest[:8]
        assert not report.trial
        assert sum(report.counters.confidence) == sum(report.counters.latency) == report.counters.inferences
        assert [sum(feature) for feature in report.counters.features] == [report.counters.observed] * len(
            FEATURES
        )


def test_the_trial_has_a_window_of_its_own(bench: Bench) -> None:
    agent = bench.start()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences + 10)
    assert [(report.trial, report.counters.inferences) for report in bench.control.reports()] == [
        (True, 5),
        (False, 10),
    ]


def test_a_window_closes_by_time_too_and_an_empty_one_says_nothing(bench: Bench) -> None:
    bench.control.policy = ReportPolicy(0, 5_000, 500)
    agent = confirmed(bench)
    bench.control.receipt(agent.boot, 1)
    bench.wait(agent, 30)
    assert bench.control.reports() == []
    predict(agent, bench, 8)
    bench.wait(agent, 6)
    (report,) = bench.control.reports()
    assert (report.counters.inferences, report.observe_permille) == (8, 500)
    assert 0 < report.counters.observed < 8  # a random half
    assert report.duration_ms >= 5_000


def test_a_window_never_outgrows_a_prediction_id(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agent.observing.MAX_WINDOW", 12)
    bench.control.policy = ReportPolicy(0, 0, 0)
    agent = confirmed(bench)
    predict(agent, bench, 30)
    assert [report.counters.inferences for report in bench.control.reports()] == [12, 12]


def test_a_report_is_sent_until_its_receipt_comes(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.receipt(agent.boot, 1)
    predict(agent, bench, 20)
    assert [report.sequence for report in bench.control.reports()] == [2, 3]
    bench.wait(agent, 10)
    assert len(bench.control.reports()) == 2
    bench.wait(agent, 10)
    assert [report.sequence for report in bench.control.reports()] == [2, 3, 2, 3]
    bench.control.receipt(agent.boot, 2)
    bench.wait(agent, 20)
    assert [report.sequence for report in bench.control.reports()][4:] == [3]
    bench.control.receipt(agent.boot, 3)
    bench.wait(agent, 60)
    assert len(bench.control.reports()) == 5


def test_reports_outlive_a_power_cut_and_are_sent_by_the_next_start(bench: Bench) -> None:
    agent = confirmed(bench)
    predict(agent, bench, 20)
    boot = agent.boot
    bench.cut()
    bench.control.forget()
    again = bench.start()
    assert [(report.boot, report.sequence) for report in bench.control.reports()] == [
        (boot, 1),
        (boot, 2),
        (boot, 3),
    ]
    bench.control.receipt(boot, 3)
    again.poll()
    bench.wait(again, 60)
    assert len(bench.control.reports()) == 3


def test_what_overflows_is_counted_in_every_later_report(tmp_path: Path) -> None:
    bench = Bench(enrol(tmp_path, queue_reports=2))
    bench.control.publish(FIRST)
    agent = confirmed(bench)
    predict(agent, bench, 40)
    last = bench.control.reports()[-1]
    assert (last.sequence, last.dropped, last.oldest) == (5, 3, 4)


def test_reports_wait_for_the_broker_and_come_once_when_it_is_back(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.broker.set_online(False)
    agent.poll()
    predict(agent, bench, 35)
    assert bench.control.reports() == []
    bench.control.broker.set_online(True)
    agent.poll()
    agent.poll()
    sequences = [report.sequence for report in bench.control.reports()]
    assert sequences[-3:] == [2, 3, 4]
    assert len(set(sequences)) == len(sequences)


def test_closing_sends_what_was_counted_then_says_goodbye(bench: Bench) -> None:
    with confirmed(bench) as agent:
        predict(agent, bench, 3)
    assert [report.counters.inferences for report in bench.control.reports()] == [3]
    assert not bench.control.presence()[-1].online
