"""``python -m device_agent bench``: what it measures, not how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.packages import TFLITE

from device_agent.__main__ import main
from device_agent.bench_subject import count_many, observing_of, subject_of

MODEL = Path(__file__).parents[1] / "vectors" / "inference" / "small_int8.tflite"


def test_it_prints_every_cost(capsys: pytest.CaptureFixture[str]) -> None:
    short = ["bench", "--model", str(MODEL), "--rounds", "3", "--inferences", "2000", "--json"]
    assert main(short) == 0
    costs = json.loads(capsys.readouterr().out)
    assert costs["features"] == 8
    assert costs["bare_us"] > 0
    assert costs["report_bytes"] <= 256
    assert costs["bare_rss_bytes"] > 0
    assert costs["growth_bytes"] <= 2**20


def test_what_it_counts_is_what_an_agent_counts() -> None:
    subject = subject_of(MODEL)
    observing = observing_of(subject, 1000)
    count_many(observing, subject, 200)
    report = observing.close(60_000)
    assert report is not None
    outputs = [subject.interpreter.invoke(subject.inputs[n % 32]).argmax() for n in range(200)]
    assert report.counters.classes == tuple(
        np.bincount(outputs, minlength=len(subject.plan.classes)).tolist()
    )
    assert (report.counters.inferences, report.counters.observed) == (200, 200)


def test_a_file_that_is_not_there_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "--model", str(tmp_path / "none.tflite")]) == 2
    assert "cannot read" in capsys.readouterr().err
    (tmp_path / "torn.tflite").write_bytes(TFLITE[:100])
    assert main(["bench", "--model", str(tmp_path / "torn.tflite")]) != 0
