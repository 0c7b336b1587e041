"""Magnitude pruning: the sparsity that is asked for, in float and in int8, and what it saves."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_models import blobs, random_model, small_recipe

from edgeops.core.errors import ConfigError
from edgeops.tflite.flatbuffer import read_graph
from edgeops.training.backend import load_tensorflow
from edgeops.training.fit import train_float
from edgeops.training.pruning import Pruner, ZeroMask, prunable_kernels, sparsity_at
from edgeops.training.quantize import convert
from edgeops.training.recipe import Recipe
from edgeops.training.recipe.sections import Pruning

SHAPE = (20, 8, 1)
PRUNED = "[training]\nepochs = 4\nbatch_size = 20\npruning = { sparsity = 0.75, begin = 0.1, end = 0.6 }\n"
PLANS = st.builds(
    lambda sparsity, ends: Pruning(sparsity, min(ends), max(ends)),
    st.floats(0, 0.99),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)


def zeros(values: Any) -> float:
    return float((np.asarray(values) == 0).mean())


def adam(kernels: list[Any], seed: int) -> None:
    """What an optimizer does: it moves every weight."""
    rng = np.random.default_rng(seed)
    for kernel in kernels:
        kernel.assign(kernel.numpy() + rng.normal(size=kernel.shape).astype(np.float32))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return small_recipe(tmp_path, "ds_cnn", PRUNED)


class TestThePlan:
    @given(PLANS, st.integers(1, 1000))
    def test_begins_at_nothing_and_ends_at_what_is_asked(self, how: Pruning, steps: int) -> None:
        assert sparsity_at(0, steps, how) == (how.sparsity if how.end == 0 else 0)
        assert sparsity_at(steps, steps, how) == pytest.approx(how.sparsity)

    @given(PLANS, st.integers(1, 200))
    def test_never_falls(self, how: Pruning, steps: int) -> None:
        course = [sparsity_at(step, steps, how) for step in range(steps + 1)]
        assert course == sorted(course)
        assert all(0 <= value <= how.sparsity for value in course)

    def test_is_a_cubic(self) -> None:
        assert sparsity_at(50, 100, Pruning(0.8, 0.0, 1.0)) == pytest.approx(0.8 * (1 - 0.5**3))

    def test_that_ends_before_it_begins_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"recipe.toml:\d+: 'begin' must not come after 'end'"):
            small_recipe(tmp_path, "ds_cnn", PRUNED.replace("begin = 0.1", "begin = 0.7"))


class TestTraining:
    def test_ends_with_the_share_of_zeros_that_was_asked_for(self, recipe: Recipe) -> None:
        model = train_float(recipe, blobs(SHAPE), 1).model
        for kernel in prunable_kernels(model):
            assert zeros(kernel) == int(0.75 * kernel.numpy().size) / kernel.numpy().size
        for number in (1, 2):
            assert zeros(model.get_layer(f"depthwise_{number}").kernel) == 0

    def test_its_int8_kernels_are_as_sparse_and_compress(self, recipe: Recipe) -> None:
        """Printed by `pytest -s`: what is left of the file, with and without pruning."""
        sizes = {}
        for name, sparsity in (("dense", 0.0), ("pruned", 0.75)):
            pruning = dataclasses.replace(recipe.training.pruning, sparsity=sparsity)
            training = dataclasses.replace(recipe.training, pruning=pruning)
            data = blobs(SHAPE)
            model = train_float(dataclasses.replace(recipe, training=training), data, 1).model
            tflite = convert(model, "int8", data.inputs)
            graph = read_graph(tflite).main
            weights = b""
            for operator in graph.operators:
                if operator.name not in ("CONV_2D", "FULLY_CONNECTED"):
                    continue
                tensor = graph.tensors[operator.inputs[1]]
                raw = tflite[tensor.data_at : tensor.data_at + tensor.elements]
                share = zeros(np.frombuffer(raw, np.int8))
                assert share < 0.2 if name == "dense" else share >= int(0.75 * len(raw)) / len(raw)
                weights += raw
            sizes[name] = len(zlib.compress(weights, 9)) / len(weights)
        print(f"of the weights' bytes, compressed: {sizes}")
        assert sizes["pruned"] < 0.6 * sizes["dense"]

    def test_repeats(self, recipe: Recipe) -> None:
        first, again = (train_float(recipe, blobs(SHAPE), 1).model.get_weights() for _ in range(2))
        assert all((one == other).all() for one, other in zip(first, again, strict=True))


class TestTheOptimizer:
    """What is zero once stays zero, whatever the optimizer does to it between two choices."""

    def test_does_not_revive_what_was_pruned(self, recipe: Recipe) -> None:
        tensorflow, _ = load_tensorflow()
        model = random_model(recipe, SHAPE)
        kernels = prunable_kernels(model)
        pruner = Pruner(tensorflow, model, Pruning(0.9, 0.1, 0.8), 100)
        gone = [np.zeros(kernel.shape, bool) for kernel in kernels]
        for step in range(100):
            adam(kernels, step)
            pruner.after_step()
            for index, kernel in enumerate(kernels):
                now = kernel.numpy() == 0
                assert (now >= gone[index]).all()
                gone[index] = now
        pruner.finish()
        assert all(
            (kernel.numpy() == 0).mean() == int(0.9 * now.size) / now.size
            for kernel, now in zip(kernels, gone, strict=True)
        )

    def test_may_grow_a_weight_that_starts_as_zero(self, recipe: Recipe) -> None:
        tensorflow, _ = load_tensorflow()
        model = random_model(recipe, SHAPE)
        head = model.get_layer("scores").kernel
        head.assign(np.zeros(head.shape, np.float32))
        pruner = Pruner(tensorflow, model, Pruning(0.5, 0.0, 1.0), 10)
        for step in range(10):
            adam([head], step)
            pruner.after_step()
        pruner.finish()
        assert zeros(head) == 0.5

    @pytest.mark.parametrize("steps", [1, 3])
    def test_few_steps_are_enough(self, recipe: Recipe, steps: int) -> None:
        tensorflow, _ = load_tensorflow()
        model = random_model(recipe, SHAPE)
        pruner = Pruner(tensorflow, model, recipe.training.pruning, steps)
        for _ in range(steps):
            pruner.after_step()
        pruner.finish()
        assert zeros(model.get_layer("pointwise_1").kernel) == 0.75

    def test_a_mask_keeps_the_zeros_that_are_there_and_no_others(self, recipe: Recipe) -> None:
        tensorflow, _ = load_tensorflow()
        kernel = random_model(recipe, SHAPE).get_layer("pointwise_1").kernel
        holes = np.random.default_rng(1).random(kernel.shape) < 0.3
        kernel.assign(np.where(holes, 0, kernel.numpy()))
        mask = ZeroMask(tensorflow, [kernel])
        adam([kernel], 1)
        mask.after_step()
        assert ((kernel.numpy() == 0) == holes).all()
