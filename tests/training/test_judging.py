"""Metrics and gates: plain arithmetic with its edges."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import DataError
from edgeops.training.evaluate import Metrics, area_under_roc, measure, with_slices
from edgeops.training.gates import FitFinding, count_leaked, judge
from edgeops.training.recipe import Recipe, find_recipe, load_recipe
from edgeops.training.recipe.keys import MAX_BYTES
from edgeops.training.recipe.sections import Robustness
from edgeops.training.sampling import sampling_of


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
    names = ["min_int8_accuracy", "max_quantization_loss", "max_artifact_bytes", "no_leakage"]
    good = judge(recipe, at(99, 100), at(98, 100), limits.max_artifact_bytes)
    assert [gate.name for gate in good] == names
    assert all(gate.passed for gate in good)
    bad = judge(recipe, at(99, 100), at(90, 100), limits.max_artifact_bytes + 1)
    assert [gate.passed for gate in bad] == [False, False, False, True]
    assert bad[0].value == 0.9 and bad[0].limit == limits.min_int8_accuracy
    assert bad[2].value == limits.max_artifact_bytes + 1
    gains = judge(recipe, at(98, 100), at(99, 100), 1)
    assert gains[1].value == pytest.approx(-0.01) and gains[1].passed


def with_gates(recipe: Recipe, **limits: object) -> Recipe:
    return dataclasses.replace(recipe, gates=dataclasses.replace(recipe.gates, **limits))  # type: ignore[arg-type]


def test_the_worst_class_counts(recipe: Recipe) -> None:
    strict = with_gates(recipe, min_class_recall=0.9)
    metrics = measure(np.array([0] * 100 + [1] * 8 + [0] * 2), np.array([0] * 100 + [1] * 10), 3)
    (gate,) = [g for g in judge(strict, metrics, metrics, 1) if g.name == "min_class_recall"]
    assert (gate.passed, gate.value, gate.limit) == (False, 0.8, 0.9)


def test_a_size_without_a_limit_is_no_gate(recipe: Recipe) -> None:
    free = with_gates(recipe, max_artifact_bytes=MAX_BYTES)
    assert "max_artifact_bytes" not in [gate.name for gate in judge(free, at(9, 10), at(9, 10), 10**9)]


def test_false_alarms_are_the_normal_items_that_are_not_taken_for_normal() -> None:
    recipe = with_gates(load_recipe(find_recipe("anomaly")), max_false_alarms=0.1)
    predicted, targets = np.array([0] * 90 + [1] * 10 + [1] * 900), np.array([0] * 100 + [1] * 900)
    met = dataclasses.replace(measure(predicted, targets, 2), auc=0.99)
    assert met.false_alarms == pytest.approx(0.1)
    assert met.to_dict()["false_alarms"] == met.false_alarms
    worse = dataclasses.replace(measure(np.array([1] * 11 + [0] * 89), np.zeros(100, int), 2), auc=0.99)
    for metrics, passed in ((met, True), (worse, False)):
        (gate,) = [g for g in judge(recipe, metrics, metrics, 1) if g.name == "max_false_alarms"]
        assert (gate.passed, gate.value, gate.limit) == (passed, metrics.false_alarms, 0.1)
    unlimited = with_gates(recipe, max_false_alarms=1.0)
    assert "max_false_alarms" not in [gate.name for gate in judge(unlimited, met, met, 1)]
    assert measure(predicted, targets, 2).false_alarms is None


def test_metrics_say_on_how_many_independent_items_they_rest() -> None:
    targets, predicted = np.array([0] * 8 + [1] * 8), np.array([0] * 16)
    columns = {"load": ["1"] * 8 + ["2"] * 8}
    sampling = sampling_of(np.arange(16) // 4, (), 100, 50)  # four recordings of four windows, half shared
    metrics = with_slices(measure(predicted, targets, 3), predicted, targets, columns, sampling)
    assert metrics.class_effective_n == (4, 4, 0)
    assert metrics.effective_n == 4
    document = metrics.to_dict()
    assert document["slices"][1]["effective_n"] == document["class_effective_n"][1] == 4
    assert "effective_n" not in measure(predicted, targets, 3).to_dict()


def test_the_worst_slice_of_enough_items_counts_and_is_named(recipe: Recipe) -> None:
    strict = with_gates(recipe, min_slice_accuracy=0.9)
    targets = np.zeros(62, np.int64)
    predicted = np.array([0] * 40 + [0] * 15 + [1] * 5 + [1] * 2)
    columns = {"speaker": ["a"] * 40 + ["b"] * 20 + ["c"] * 2}
    metrics = with_slices(measure(predicted, targets, 2), predicted, targets, columns)
    assert [(s.value, s.n) for s in metrics.slices] == [("a", 40), ("b", 20), ("c", 2)]
    (gate,) = [g for g in judge(strict, metrics, metrics, 1) if g.name == "min_slice_accuracy"]
    assert (gate.passed, gate.value, gate.note) == (False, 0.75, "speaker=b")
    none = measure(predicted, targets, 2)
    (gate,) = [g for g in judge(strict, none, none, 1) if g.name == "min_slice_accuracy"]
    assert (gate.passed, gate.note) == (False, "no slice is known")


def test_robustness_fit_and_leakage_are_gates_of_their_own(recipe: Recipe) -> None:
    how = Robustness("noise", 0.5, 0.8)
    fits = [FitFinding("rp2040", False, 1.5, "needs 400 KB of 264 KB RAM")]
    gates = judge(recipe, at(99, 100), at(99, 100), 1, robustness=[(how, 0.7)], fits=fits, leaked=2)
    assert [(g.name, g.passed, g.value, g.limit) for g in gates[3:]] == [
        ("robustness_noise", False, 0.7, 0.8),
        ("fits_rp2040", False, 1.5, 1.0),
        ("no_leakage", False, 2, 0),
    ]


@given(
    learned=st.sets(st.integers(0, 9), max_size=5),
    tested=st.sets(st.integers(0, 9), max_size=5),
    groups=st.lists(st.sampled_from(["", "a", "b"]), min_size=10, max_size=10),
)
def test_leaks_are_shared_contents_and_shared_groups(
    learned: set[int], tested: set[int], groups: list[str]
) -> None:
    digests = [bytes([i // 2]) for i in range(10)]
    found = count_leaked(groups, digests, sorted(learned), sorted(tested))
    clean = not ({i // 2 for i in learned} & {i // 2 for i in tested}) and not (
        {groups[i] for i in learned} & {groups[i] for i in tested} - {""}
    )
    assert (found == 0) == clean


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_under_the_curve_counts_pairs(items: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in items])
    positive = np.array([label for _, label in items])
    if positive.all() or not positive.any():
        with pytest.raises(DataError, match="normal items and anomalies"):
            area_under_roc(scores, positive)
        return
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    assert area_under_roc(scores, positive) == pytest.approx(float(np.mean(pairs)))


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
