"""Metrics and gates: plain arithmetic with its edges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import DataError
from edgeops.training.evaluate import Metrics, measure
from edgeops.training.gates import judge, judge_retrain
from edgeops.training.recipe import Recipe, find_recipe, load_recipe


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(find_recipe("digits"))


def at(hits: int, n: int) -> Metrics:
    return measure(np.array([0] * hits + [1] * (n - hits)), np.zeros(n, np.int64), 2)


def test_metrics_of_a_small_case() -> None:
    metrics = measure(np.array([0, 1, 1, 0]), np.array([0, 0, 1, 0]), 3)
    assert metrics.accuracy == 0.75
    assert metrics.recall == (2 / 3, 1.0, None)
    assert metrics.confusion == ((2, 1, 0), (0, 1, 0), (0, 0, 0))
    assert json.loads(json.dumps(metrics.to_dict()))["recall"][2] is None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_the_confusion_matrix_counts_every_item_once(pairs: list[tuple[int, int]]) -> None:
    predicted, targets = np.array(pairs).T
    metrics = measure(predicted, targets, 5)
    confusion = np.array(metrics.confusion)
    assert confusion.sum() == metrics.n == len(pairs)
    assert metrics.accuracy == (predicted == targets).mean() == confusion.trace() / len(pairs)
    assert (confusion.sum(axis=1) == np.bincount(targets, minlength=5)).all()


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to evaluate"):
        measure(np.zeros(0, np.int64), np.zeros(0, np.int64), 2)
    with pytest.raises(DataError, match="do not fit"):
        measure(np.zeros(1, np.int64), np.array([2]), 2)


def test_gates_at_their_limits(recipe: Recipe) -> None:
    limits = recipe.gates
    names = ["min_int8_accuracy", "max_quantization_loss", "max_artifact_bytes"]
    good = judge(recipe, at(99, 100), at(98, 100), limits.max_artifact_bytes)
    assert [gate.name for gate in good] == names
    assert all(gate.passed for gate in good)
    bad = judge(recipe, at(99, 100), at(90, 100), limits.max_artifact_bytes + 1)
    assert [gate.passed for gate in bad] == [False, False, False]
    assert bad[0].value == 0.9 and bad[0].limit == limits.min_int8_accuracy
    assert bad[2].value == limits.max_artifact_bytes + 1
    gains = judge(recipe, at(98, 100), at(99, 100), 1)
    assert gains[1].value == pytest.approx(-0.01) and gains[1].passed


def test_a_retrain_must_beat_the_old_strictly_and_keep_the_margin(recipe: Recipe) -> None:
    margin = round(recipe.retrain.margin_on_test * 1000)

    def verdicts(old_captured: int, new_captured: int, old_test: int, new_test: int) -> list[bool]:
        gates = judge_retrain(
            recipe,
            old_captured=at(old_captured, 40),
            new_captured=at(new_captured, 40),
            old_test=at(old_test, 1000),
            new_test=at(new_test, 1000),
        )
        assert [gate.name for gate in gates] == ["beats_old_on_captured", "no_worse_on_test"]
        return [gate.passed for gate in gates]

    assert verdicts(30, 31, 990, 990) == [True, True]
    assert verdicts(30, 30, 990, 999) == [False, True]
    assert verdicts(30, 31, 990, 990 - margin) == [True, True]
    assert verdicts(30, 31, 990, 990 - margin - 1) == [True, False]


def test_gates_do_not_need_tensorflow() -> None:
    import subprocess
    import sys

    code = (
        "import sys, edgeops.training.pipeline, edgeops.training.gates, edgeops.data.sources;"
        "print([m for m in ('tensorflow', 'keras', 'sklearn', 'scipy') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
