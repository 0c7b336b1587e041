"""Choosing the int8 model: which examples it is quantized with, and whether it is trained further."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_models import blobs, random_model, small_recipe

from edgeops.training import sweep
from edgeops.training.fit import Fitted
from edgeops.training.quantize import representative_rows
from edgeops.training.scoring import Int8Scorer, Scored
from edgeops.training.sweep import quantize_best

TARGETS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)


class TestRepresentativeRows:
    @given(TARGETS, st.integers(1, 80), st.integers(0, 99))
    def test_are_as_many_as_asked_for_each_once_and_in_order(
        self, targets: Any, count: int, seed: int
    ) -> None:
        rows = representative_rows(targets, count, seed)
        assert len(rows) == min(count, len(targets))
        assert (np.diff(rows) > 0).all()
        assert set(rows) <= set(range(len(targets)))

    @given(TARGETS, st.integers(1, 80), st.integers(0, 99))
    def test_no_class_is_shown_twice_more_than_another_that_has_items_left(
        self, targets: Any, count: int, seed: int
    ) -> None:
        shown = np.bincount(targets[representative_rows(targets, count, seed)], minlength=5)
        there = np.bincount(targets, minlength=5)
        left = shown[(there > 0) & (shown < there)]
        if len(left):
            assert shown.max() - left.min() <= 1

    @given(TARGETS, st.integers(1, 80), st.integers(0, 99))
    def test_a_larger_set_holds_the_smaller_one(self, targets: Any, count: int, seed: int) -> None:
        smaller = representative_rows(targets, count, seed)
        assert set(smaller) <= set(representative_rows(targets, count + 1, seed))

    def test_the_seed_decides_which(self) -> None:
        targets = np.arange(300) % 3
        first = representative_rows(targets, 30, 1)
        assert (first == representative_rows(targets, 30, 1)).all()
        assert set(first) != set(representative_rows(targets, 30, 2))


QUALITY = {"3": 0.90, "5": 0.95, "7": 0.95}


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``chosen(aware, float_quality, further)``: the sweep with qualities that are given, and what it trained."""
    recipe = small_recipe(tmp_path, "dense", "[quantization]\nrepresentative = [3, 5, 7]\n")
    data = blobs((6,))
    model = random_model(recipe, (6,))
    trained: list[Any] = []

    def run(aware: str, float_quality: float, further: float = 0.0) -> tuple[Any, list[Any]]:
        trained.clear()
        how = dataclasses.replace(recipe.quantization, aware=aware)
        sizes: list[int] = []

        def convert(model: Any, scheme: str, examples: Any, per_channel: bool) -> bytes:
            assert (scheme, per_channel) == ("int8", True)
            sizes.append(len(examples))
            return b"%d" % len(examples)

        def scorer(recipe: Any, tflite: bytes, x: Any) -> Any:
            class Fake(Int8Scorer):
                def quantized(self, x: Any) -> Any:
                    return x

                def score(self, quantized: Any) -> Any:
                    class Given(Scored):
                        def quality(self, targets: Any, n_classes: int) -> float:
                            return further if trained else QUALITY[tflite.decode()]

                    return Given(quantized, None)

            return Fake(tflite, None, None, None, 3)  # type: ignore[arg-type]

        def aware_training(recipe: Any, fitted: Any, data: Any, examples: Any, seed: int) -> Fitted:
            trained.append(Fitted(model, ()))
            return trained[-1]

        monkeypatch.setattr(sweep, "convert", convert)
        monkeypatch.setattr(sweep, "int8_scorer", scorer)
        monkeypatch.setattr(sweep, "train_aware", aware_training)
        changed = dataclasses.replace(recipe, quantization=how)
        return quantize_best(changed, Fitted(model, ()), data, float_quality, 1), list(trained)

    return run


class TestTheSweep:
    def test_takes_the_best_on_validation_and_of_equals_the_smallest(self, chosen: Any) -> None:
        found, trained = chosen("never", 0.99)
        assert found.tflite == b"5"
        assert found.notes["representative"] == QUALITY
        assert found.notes["validation_loss_by_quantization"] == pytest.approx(0.04)
        assert not trained

    def test_trains_further_where_more_than_a_point_was_lost(self, chosen: Any) -> None:
        assert not chosen("auto", 0.959)[1]
        assert chosen("auto", 0.961)[1]
        assert chosen("always", 0.95)[1]
        assert not chosen("never", 0.99)[1]

    def test_takes_what_came_of_it_only_if_it_is_better(self, chosen: Any) -> None:
        worse, _ = chosen("auto", 0.99, further=0.95)
        assert worse.notes["aware"] == {"quality": 0.95, "without": 0.95, "taken": False}
        assert worse.tflite == b"5"
        better, trained = chosen("auto", 0.99, further=0.96)
        assert better.notes["aware"]["taken"]
        # its own sweep, and the float model that it was made of
        assert (better.tflite, better.fitted) == (b"3", trained[0])


def test_a_real_one(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "dense", "[quantization]\nrepresentative = [1, 60]\n")
    data = blobs((6,))
    found = quantize_best(recipe, Fitted(random_model(recipe, (6,)), ()), data, 1.0, 1)
    x, y = data.validation
    quality: Any = found.notes["representative"]
    assert list(quality) == ["1", "60"]
    assert found.scorer.score(found.scorer.quantized(x)).quality(y, 3) == max(quality.values())


def test_of_anomalies_a_point_is_a_hundredth_of_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(tmp_path, "autoencoder", '[quantization]\naware = "auto"\n')
    data = blobs((16,))
    asked = []
    monkeypatch.setattr(sweep, "train_aware", lambda *call: asked.append(call) or Fitted(model, ()))
    model = random_model(recipe, (16,))
    error = (
        -quantize_best(recipe, Fitted(model, ()), data, -1e9, 1)
        .scorer.score(
            quantize_best(recipe, Fitted(model, ()), data, -1e9, 1).scorer.quantized(data.validation[0])
        )
        .quality(data.validation[1], 2)
    )
    assert not asked
    quantize_best(recipe, Fitted(model, ()), data, -error / 1.005, 1)
    assert not asked
    quantize_best(recipe, Fitted(model, ()), data, -error / 1.02, 1)
    assert len(asked) == 1
