"""SVDF and LSTM: the same answers as TensorFlow Lite Micro over many inferences, since what they remember counts."""

from __future__ import annotations

import numpy as np
import pytest
from compile.op_models import Model, differences
from compile.plan_interpreter import Runner
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.compile import compile_plan

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=25, deadline=None, derandomize=True)


def svdf_model(
    seed: int, wide: bool, rank: int = 2, units: int = 3, memory: int = 4, inputs: int = 5
) -> bytes:
    rng = np.random.default_rng(seed)
    filters = units * rank
    model = Model()
    x_scale, feature, time = (float(np.float32(value)) for value in rng.uniform(0.01, 0.05, 3))
    kind = "int16" if wide else "int8"
    state_scale = float(np.float32(rng.uniform(0.0005, 0.002) if wide else 0.05))
    x = model.tensor((1, inputs), x_scale, int(rng.integers(-128, 128)))
    w = model.weights(rng, (filters, inputs), feature)
    t_values = rng.integers(-128, 128, (filters, memory)).astype(np.int16 if wide else np.int8)
    t = model.tensor((filters, memory), time, dtype=kind, data=t_values)
    bias = model.bias(rng, units, np.float32(state_scale) * np.float32(time))
    zero = 0 if wide else int(rng.integers(-20, 20))
    state = model.tensor((1, filters * memory), state_scale, zero, dtype=kind, variable=True)
    y = model.tensor((1, units), 0.05, int(rng.integers(-100, 100)))
    model.add("SVDF", [x, w, t, bias, state], [y], "SVDFOptions", rank=rank)
    return model.content([x], [y])


@given(
    seed=SEEDS, wide=st.booleans(), rank=st.integers(1, 3), units=st.integers(1, 4), memory=st.integers(1, 6)
)
@FEW
def test_svdf_over_many_steps(seed: int, wide: bool, rank: int, units: int, memory: int) -> None:
    assert differences(svdf_model(seed, wide, rank, units, memory), 12) == 0


def lstm_model(
    seed: int, steps: int = 4, inputs: int = 3, units: int = 5, power: int = -11, clip: float = 0.0
) -> bytes:
    rng = np.random.default_rng(seed)
    model = Model()
    x_scale, h_scale = (float(np.float32(value)) for value in rng.uniform(0.005, 0.03, 2))
    x = model.tensor((1, steps, inputs), x_scale, int(rng.integers(-128, 128)))
    given = [x] + [-1] * 23
    for position in range(1, 9):
        scale = float(np.float32(rng.uniform(0.005, 0.02)))
        given[position] = model.weights(rng, (units, inputs if position < 5 else units), scale)
        if position < 5:
            given[position + 11] = model.bias(rng, units, np.float32(scale) * np.float32(x_scale))
    zero = int(rng.integers(-40, 40))
    given[18] = model.tensor((1, units), h_scale, zero, variable=True)
    given[19] = model.tensor((1, units), 2.0**power, 0, dtype="int16", variable=True)
    y = model.tensor((1, steps, units), h_scale, zero)
    options = {"fusedActivationFunction": 4, "cellClip": clip}
    model.add("UNIDIRECTIONAL_SEQUENCE_LSTM", given, [y], "UnidirectionalSequenceLSTMOptions", **options)
    return model.content([x], [y])


@given(
    seed=SEEDS,
    steps=st.integers(1, 5),
    inputs=st.integers(1, 6),
    units=st.integers(1, 6),
    power=st.integers(-15, -9),
    clip=st.sampled_from([0.0, 0.5, 10.0]),
)
@settings(FEW, max_examples=40)
def test_lstm_over_many_inferences(
    seed: int, steps: int, inputs: int, units: int, power: int, clip: float
) -> None:
    assert differences(lstm_model(seed, steps, inputs, units, power, clip), 8) == 0


@pytest.mark.parametrize("model", [svdf_model(3, wide=True), svdf_model(3, wide=False), lstm_model(3)])
def test_a_reset_brings_back_the_beginning_and_nothing_else_does(model: bytes) -> None:
    plan = compile_plan(model)
    runner = Runner(plan.plan)
    values = np.random.default_rng(1).integers(-128, 128, plan.input.shape, np.int8).tobytes()
    first, second = runner.run(values), runner.run(values)
    assert first != second
    assert 0 < runner.header["state_bytes"] < plan.arena_bytes
    runner.reset()
    assert [runner.run(values), runner.run(values)] == [first, second]
