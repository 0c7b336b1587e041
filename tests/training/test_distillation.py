"""Learning from a larger teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_models import blobs, small_recipe

from edgeops.core.errors import ConfigError
from edgeops.training import fit
from edgeops.training.backend import load_tensorflow
from edgeops.training.fit import TrainingSet, train_float
from edgeops.training.losses import cross_entropy, distilled
from edgeops.training.pruning import prunable_kernels

SHAPE = (8, 8, 1)
TAUGHT = "[training]\nepochs = 2\ndistillation = {{ teacher = {{ filters = [8, 16] }}, epochs = 2, share = {share} }}\n"


def probabilities(seed: int, rows: int = 5, classes: int = 4) -> Any:
    raw = np.random.default_rng(seed).exponential(size=(rows, classes))
    return (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


def weights(folder: Path, training: str, data: TrainingSet, seed: int = 1) -> list[Any]:
    return train_float(small_recipe(folder, "small_cnn", training), data, seed).model.get_weights()


def same(first: list[Any], second: list[Any]) -> bool:
    return all((one == other).all() for one, other in zip(first, second, strict=True))


class TestTheLoss:
    @given(st.integers(0, 1000), st.floats(1, 20))
    def test_is_the_plain_one_where_the_teacher_has_no_share(self, seed: int, temperature: float) -> None:
        tensorflow, _ = load_tensorflow()
        own = cross_entropy(tensorflow, 4, 0.1, None)
        mixed = distilled(tensorflow, own, lambda x, training: x, temperature, 0.0)
        y = tensorflow.constant([0, 1, 2, 3, 0], tensorflow.int64)
        taught, outputs = probabilities(seed), probabilities(seed + 1)
        assert float(mixed(taught, y, outputs)) == float(own(taught, y, outputs))

    @given(st.integers(0, 1000), st.floats(1, 20))
    def test_is_least_where_the_student_says_what_the_teacher_says(
        self, seed: int, temperature: float
    ) -> None:
        tensorflow, _ = load_tensorflow()
        mixed = distilled(tensorflow, lambda x, y, outputs: 0.0, lambda x, training: x, temperature, 1.0)
        taught, other = probabilities(seed), probabilities(seed + 1)
        assert float(mixed(taught, None, taught)) < float(mixed(taught, None, other))

    def test_at_temperature_one_is_the_cross_entropy_to_the_teacher(self) -> None:
        tensorflow, _ = load_tensorflow()
        mixed = distilled(tensorflow, lambda x, y, outputs: 0.0, lambda x, training: x, 1.0, 1.0)
        taught, outputs = probabilities(1), probabilities(2)
        wanted = -(taught * np.log(outputs)).sum(axis=1).mean()
        assert float(mixed(taught, None, outputs)) == pytest.approx(wanted, rel=1e-5)


class TestTraining:
    def test_repeats_and_differs_from_learning_alone(self, tmp_path: Path) -> None:
        data = blobs(SHAPE)
        taught = weights(tmp_path, TAUGHT.format(share=0.5), data)
        assert same(taught, weights(tmp_path, TAUGHT.format(share=0.5), data))
        assert not same(taught, weights(tmp_path, "", data))

    def test_a_teacher_without_a_share_changes_nothing(self, tmp_path: Path) -> None:
        """Not even the seeds: the student starts as it does alone."""
        data = blobs(SHAPE)
        assert same(weights(tmp_path, TAUGHT.format(share=0.0), data), weights(tmp_path, "", data))

    def test_the_teacher_has_the_parameters_that_differ_and_is_not_pruned(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trained = []
        run = fit.run

        def watched(recipe: Any, model: Any, *rest: Any, **named: Any) -> Any:
            curves = run(recipe, model, *rest, **named)
            trained.append(model)
            return curves

        monkeypatch.setattr(fit, "run", watched)
        pruned = TAUGHT.format(share=0.5) + "pruning = { sparsity = 0.5 }\n"
        weights(tmp_path, pruned, blobs(SHAPE))
        teacher, student = trained
        assert [teacher.get_layer(f"conv_{n}").filters for n in (1, 2)] == [8, 16]
        assert [student.get_layer(f"conv_{n}").filters for n in (1, 2)] == [4, 8]
        assert all((kernel.numpy() != 0).all() for kernel in prunable_kernels(teacher))
        assert all((kernel.numpy() == 0).mean() == 0.5 for kernel in prunable_kernels(student))

    def test_a_teacher_with_a_parameter_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        wrong = "[training]\nepochs = 1\ndistillation = { teacher = { blocks = 4 }, epochs = 1 }\n"
        with pytest.raises(ConfigError, match="'small_cnn' has no parameter 'blocks'; it has dense, dropout"):
            weights(tmp_path, wrong, blobs(SHAPE))

    def test_it_is_for_classes_only(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="distillation is for classification only"):
            small_recipe(tmp_path, "autoencoder", "[training]\nepochs = 1\ndistillation = { epochs = 1 }\n")
