"""Whole graphs: random ones with branches give the same bits, the same plan each time, and little memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compile.op_models import Model, differences
from compile.plan_interpreter import Runner
from hypothesis import given, settings
from hypothesis import strategies as st
from targets.fit_models import model as fit_model

from edgeops.compile import compile_plan
from edgeops.tflite.flatbuffer import read_graph

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "plan"


class Grown:
    """A random graph of images that all have the same height and width, so that any two can be joined."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.model = Model()
        self.size = int(self.rng.integers(3, 7)), int(self.rng.integers(3, 7))
        self.images: list[tuple[int, int]] = []
        self.start = self.image(int(self.rng.integers(1, 5)))

    def image(self, channels: int, like: int | None = None) -> int:
        scale, zero = float(np.float32(self.rng.uniform(0.02, 0.2))), int(self.rng.integers(-100, 100))
        if like is not None:
            kept = self.model.tensors[like].quantization
            scale, zero = float(kept.scale[0]), int(kept.zeroPoint[0])
        made = self.model.tensor((1, *self.size, channels), scale, zero)
        self.images.append((made, channels))
        return made

    def grow(self, kind: str) -> None:
        # mostly the latest, so that graphs are deep and have branches
        at = len(self.images) - 1 - min(int(self.rng.geometric(0.5)) - 1, len(self.images) - 1)
        source, channels = self.images[at]
        getattr(self, kind)(source, channels)

    def convolution(self, source: int, channels: int) -> None:
        made = int(self.rng.integers(1, 7))
        kernel = int(self.rng.choice([1, 3]))
        scales = self.rng.uniform(0.003, 0.02, made).astype(np.float32)
        w = self.model.weights(self.rng, (made, kernel, kernel, channels), scales)
        given = [source, w, self.model.bias(self.rng, made, scales)]
        fields: dict[str, Any] = {"padding": 0, "strideH": 1, "strideW": 1}
        fields["fusedActivationFunction"] = int(self.rng.choice([0, 1, 3]))
        self.model.add("CONV_2D", given, [self.image(made)], "Conv2DOptions", **fields)

    def depthwise(self, source: int, channels: int) -> None:
        w = self.model.weights(self.rng, (1, 3, 3, channels), 0.01, axis=3)
        given = [source, w, self.model.bias(self.rng, channels, 0.001)]
        fields: dict[str, Any] = {"padding": 0, "strideH": 1, "strideW": 1, "depthMultiplier": 1}
        self.model.add("DEPTHWISE_CONV_2D", given, [self.image(channels)], "DepthwiseConv2DOptions", **fields)

    def pool(self, source: int, channels: int) -> None:
        name = str(self.rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
        fields = {"padding": 0, "strideH": 1, "strideW": 1, "filterHeight": 2, "filterWidth": 3}
        self.model.add(name, [source], [self.image(channels, like=source)], "Pool2DOptions", **fields)

    def activation(self, source: int, channels: int) -> None:
        made = self.image(channels, like=source if self.rng.integers(2) else None)
        self.model.add("RELU", [source], [made])

    def joined(self, source: int, channels: int) -> None:
        other, more = self.images[int(self.rng.integers(len(self.images)))]
        made = self.model.tensor((1, *self.size, channels + more), 0.1, -3)
        alike = [self.model.tensor((1, *self.size, count), 0.1, -3) for count in (channels, more)]
        for operand, scaled in zip((source, other), alike, strict=True):
            self.model.add("QUANTIZE", [operand], [scaled])
        self.images.append((made, channels + more))
        self.model.add("CONCATENATION", alike, [made], "ConcatenationOptions", axis=3)

    def added(self, source: int, channels: int) -> None:
        name = str(self.rng.choice(["ADD", "SUB", "MUL"]))
        options = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions"}[name]
        alike = [index for index, count in self.images if count == channels]
        other = alike[int(self.rng.integers(len(alike)))]
        self.model.add(name, [source, other], [self.image(channels)], options)

    def padded_convolution(self, source: int, channels: int) -> None:
        height, width = self.size
        shape = (1, height + 2, width + 1, channels)
        kept = self.model.tensors[source].quantization
        padded = self.model.tensor(shape, float(kept.scale[0]), int(kept.zeroPoint[0]))
        pads = self.model.integers([[0, 0], [1, 1], [1, 0], [0, 0]])
        self.model.add("PAD", [source, pads], [padded], "PadOptions")
        w = self.model.weights(self.rng, (channels, 3, 2, channels), 0.01)
        made = self.image(channels)
        fields = {"padding": 1, "strideH": 1, "strideW": 1}
        self.model.add("CONV_2D", [padded, w], [made], "Conv2DOptions", **fields)


KINDS = ("convolution", "depthwise", "pool", "activation", "joined", "added", "padded_convolution")


def grown(seed: int, kinds: list[str]) -> bytes:
    graph = Grown(seed)
    for kind in kinds:
        graph.grow(kind)
    return graph.model.content([graph.start], [graph.images[-1][0]])


@given(seed=st.integers(0, 2**32 - 1), kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=9))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_random_graphs_give_the_same_bits_in_no_more_than_their_live_tensors(
    seed: int, kinds: list[str]
) -> None:
    content = grown(seed, kinds)
    assert differences(content, 2) == 0
    plan = compile_plan(content)
    assert plan.plan == compile_plan(content).plan
    assert plan.live_tensor_bytes <= plan.arena_bytes
    assert plan.arena_bytes <= max(1.01 * plan.live_tensor_bytes, plan.live_tensor_bytes + 64)
    # operators that nobody reads are counted there: the bound is only an upper one
    assert plan.arena_bytes <= read_graph(content).main.peak_live_bytes + 64


@pytest.mark.parametrize("name", ["separable", "residual", "dense", "dense_per_channel", "mixed"])
def test_the_committed_models_give_the_same_bits(name: str) -> None:
    assert differences(fit_model(name), 12) == 0


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("leaky", {"CONV_2D": 2, "TABLE": 2, "MEAN": 1, "FULLY_CONNECTED": 1}),
        ("sequence", {"CONV_2D": 2, "MAX_POOL_2D": 1, "FULLY_CONNECTED": 1}),
        ("moved", {"CONV_2D": 2, "MOVE": 4, "DEPTHWISE_CONV_2D": 1, "AVERAGE_POOL_2D": 1}),
        ("lstm", {"LSTM": 1, "MOVE": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}),
        ("squeezed", None),
    ],
)
def test_models_of_the_converter_give_the_same_bits(name: str, ops: dict[str, int] | None) -> None:
    content = (VECTORS / f"{name}.tflite").read_bytes()
    assert differences(content, 9) == 0
    assert ops is None or compile_plan(content).ops == ops


def test_a_plan_runs_again_and_again_as_it_ran_first() -> None:
    plan = compile_plan(grown(5, ["convolution", "added", "pool", "joined"]))
    runner = Runner(plan.plan)
    values = [bytes([value]) * plan.input.bytes for value in (3, 200, 3)]
    first, other, again = (runner.run(value) for value in values)
    assert first == again != other
    assert Runner(plan.plan).run(values[1]) == other


def test_equal_constants_are_stored_once() -> None:
    model = Model()
    weights = np.arange(-50, 50, dtype=np.int8).reshape(10, 10)
    last = start = model.tensor((1, 10), 0.05)
    for _ in range(4):
        w = model.tensor((10, 10), 0.02, data=weights)
        made = model.tensor((1, 10), 0.05)
        model.add("FULLY_CONNECTED", [last, w], [made], "FullyConnectedOptions")
        last = made
    plan = compile_plan(model.content([start], [last]))
    assert plan.ops == {"FULLY_CONNECTED": 4}
    assert plan.weight_bytes == 100 + 4 + 1
    assert plan.plan.count(weights.tobytes()) == 1


def test_no_name_of_the_model_is_in_the_plan() -> None:
    content = fit_model("separable")
    names = [tensor.name.encode() for tensor in read_graph(content).main.tensors if len(tensor.name) > 3]
    assert names and all(name in content for name in names)
    assert not any(name in compile_plan(content).plan for name in names)
