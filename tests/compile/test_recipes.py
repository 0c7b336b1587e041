"""The shipped recipes' models, the four of MLPerf Tiny among them: they compile, fit, and give the same bits."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from compile.op_models import differences

from edgeops.compile import compile_plan
from edgeops.tflite.flatbuffer import read_graph
from edgeops.training.architectures.build import build
from edgeops.training.backend import load_tensorflow
from edgeops.training.quantize import quantize_int8
from edgeops.training.recipe import load_recipe, shipped_recipes

pytestmark = pytest.mark.slow

# what each recipe's preprocessing gives, and how many classes; the most bytes of arena that the plan may take
INPUTS: dict[str, tuple[tuple[int, ...], int, int]] = {
    "anomaly": ((640,), 640, 900),
    "digits": ((8, 8, 1), 10, 2_304),
    "image": ((32, 32, 3), 10, 50_000),
    "keyword": ((49, 10, 1), 12, 16_200),
    "person": ((96, 96, 3), 2, 56_000),
    "vibration": ((64, 1), 4, 2_200),
}


def drawn_weights(model: Any, rng: np.random.Generator) -> None:
    """Weights of usual size: fresh ones let values vanish, and a softmax of nothing aborts the interpreter."""
    for layer in model.layers:
        weights = layer.get_weights()
        for index, variable in enumerate(layer.weights):
            shape = variable.shape
            if len(shape) > 1:
                inputs = math.prod(shape[:2]) if "depthwise" in layer.name else math.prod(shape[:-1])
                weights[index] = rng.normal(0, math.sqrt(2 / inputs), shape)
            elif not variable.name.endswith(("gamma", "variance")):
                weights[index] = rng.normal(0, 0.1, shape)
        if weights:
            layer.set_weights(weights)


@cache
def model(name: str) -> bytes:
    shape, classes, _ = INPUTS[name]
    recipe = load_recipe(shipped_recipes()[name])
    _, keras = load_tensorflow()
    built = build(recipe, keras, shape, classes)
    rng = np.random.default_rng(3)
    drawn_weights(built, rng)
    samples = rng.normal(size=(8, *shape)).astype(np.float32)
    return quantize_int8(built, samples, per_channel_dense=recipe.quantization.per_channel_dense)


def test_every_shipped_recipe_is_here() -> None:
    assert shipped_recipes().keys() == INPUTS.keys()


@pytest.mark.parametrize("name", INPUTS)
def test_a_recipes_model_gives_the_same_bits_in_little_memory(name: str) -> None:
    content = model(name)
    plan = compile_plan(content)
    assert plan.arena_bytes <= INPUTS[name][2]
    assert (
        plan.live_tensor_bytes
        <= plan.arena_bytes
        <= max(1.01 * plan.live_tensor_bytes, plan.live_tensor_bytes + 64)
    )
    assert plan.arena_bytes <= read_graph(content).main.peak_live_bytes + 64
    assert plan.plan_bytes <= len(content)
    assert differences(content, 3) == 0
