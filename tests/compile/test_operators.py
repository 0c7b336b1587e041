"""Every operator, as a model of its own, gives bit for bit what TensorFlow Lite Micro gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compile.op_models import Model, differences
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.compile import compile_plan
from edgeops.tflite.options import PADDING_SAME, PADDING_VALID

SCALES = st.floats(1e-3, 0.5).map(lambda x: float(np.float32(x)))
ZEROS = st.integers(-128, 127)
SEEDS = st.integers(0, 2**32 - 1)
ACTIVATIONS = st.sampled_from([0, 1, 2, 3])
FEW = settings(max_examples=30, deadline=None, derandomize=True)


def out_size(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    extent = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == PADDING_SAME else (size - extent) // stride + 1


@st.composite
def convolutions(draw: st.DrawFn) -> bytes:
    rng = np.random.default_rng(draw(SEEDS))
    depthwise = draw(st.booleans())
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = draw(st.sampled_from([PADDING_SAME, PADDING_VALID]))
    least = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [low + draw(st.integers(0, 6)) for low in least]
    in_c = draw(st.integers(1, 5))
    out_c = in_c * draw(st.integers(1, 3)) if depthwise else draw(st.integers(1, 6))
    made = [out_size(*one, padding) for one in zip(size, kernel, stride, dilation, strict=True)]
    per_channel = draw(st.booleans())
    model = Model()
    x = model.tensor((1, *size, in_c), draw(SCALES), draw(ZEROS))
    scale = rng.uniform(1e-3, 0.05, out_c if per_channel else 1).astype(np.float32)
    shape = (1, *kernel, out_c) if depthwise else (out_c, *kernel, in_c)
    w = model.weights(rng, shape, scale, axis=3 if depthwise else 0)
    inputs = [x, w]
    if draw(st.booleans()):
        inputs.append(model.bias(rng, out_c, scale))
    y = model.tensor((1, *made, out_c), draw(SCALES), draw(ZEROS))
    fields: dict[str, Any] = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
    fields |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    fields["fusedActivationFunction"] = draw(ACTIVATIONS)
    if depthwise:
        options = {"depthMultiplier": out_c // in_c, **fields}
        model.add("DEPTHWISE_CONV_2D", inputs, [y], "DepthwiseConv2DOptions", **options)
    else:
        model.add("CONV_2D", inputs, [y], "Conv2DOptions", **fields)
    return model.content([x], [y])


@given(model=convolutions())
@FEW
def test_convolutions_of_any_window_stride_dilation_padding_and_scale(model: bytes) -> None:
    assert differences(model, 4) == 0


@st.composite
def dense_layers(draw: st.DrawFn) -> bytes:
    rng = np.random.default_rng(draw(SEEDS))
    rows, inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 9))
    model = Model()
    x_scale = draw(SCALES)
    x = model.tensor((1, rows, inputs) if rows > 1 else (1, inputs), x_scale, draw(ZEROS))
    scale = rng.uniform(1e-3, 0.05, outputs if draw(st.booleans()) else 1).astype(np.float32)
    given = [x, model.weights(rng, (outputs, inputs), scale)]
    given.append(model.bias(rng, outputs, scale * np.float32(x_scale)) if draw(st.booleans()) else -1)
    y = model.tensor((1, rows, outputs) if rows > 1 else (1, outputs), draw(SCALES), draw(ZEROS))
    options = {"fusedActivationFunction": draw(ACTIVATIONS), "keepNumDims": rows > 1}
    model.add("FULLY_CONNECTED", given, [y], "FullyConnectedOptions", **options)
    return model.content([x], [y])


@given(model=dense_layers())
@settings(FEW, max_examples=60)
def test_fully_connected_layers_with_and_without_bias_per_tensor_and_per_channel(model: bytes) -> None:
    assert differences(model, 4) == 0


def test_the_multiplier_of_a_dense_layer_depends_on_whether_it_has_a_bias() -> None:
    rng = np.random.default_rng(3)
    plans = []
    for with_bias in (True, False):
        model = Model()
        x = model.tensor((1, 8), 0.1)
        w = model.tensor((1, 8), 0.1, data=rng.integers(1, 9, (1, 8), np.int8))
        bias = model.tensor((1,), 0.01, dtype="int32", data=np.zeros(1, np.int32)) if with_bias else -1
        y = model.tensor((1, 1), 0.3)
        model.add("FULLY_CONNECTED", [x, w, bias], [y], "FullyConnectedOptions")
        content = model.content([x], [y])
        assert differences(content) == 0
        plans.append(compile_plan(content).plan)
    product, output = np.float32(0.1) * np.float32(0.1), np.float64(np.float32(0.3))
    assert float(product) / output != float(np.float32(0.1)) * float(np.float32(0.1)) / output
    assert plans[0] != plans[1]


@st.composite
def poolings(draw: st.DrawFn) -> bytes:
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = draw(st.sampled_from([PADDING_SAME, PADDING_VALID]))
    size = [k + draw(st.integers(0, 5)) for k in kernel]
    channels, scale, zero_point = draw(st.integers(1, 5)), draw(SCALES), draw(ZEROS)
    made = [out_size(s, k, step, 1, padding) for s, k, step in zip(size, kernel, stride, strict=True)]
    model = Model()
    x = model.tensor((1, *size, channels), scale, zero_point)
    y = model.tensor((1, *made, channels), scale, zero_point)
    name = draw(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
    fields: dict[str, Any] = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
    fields |= {"filterHeight": kernel[0], "filterWidth": kernel[1]}
    model.add(name, [x], [y], "Pool2DOptions", fusedActivationFunction=draw(ACTIVATIONS), **fields)
    # something that cannot go away, should the pooling be an idle one
    z = model.tensor((1, *made, channels), scale * 2, 0)
    model.add("QUANTIZE", [y], [z])
    return model.content([x], [z])


@given(model=poolings())
@FEW
def test_poolings(model: bytes) -> None:
    assert differences(model, 4) == 0


@st.composite
def means(draw: st.DrawFn) -> bytes:
    shape = (1, draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(st.integers(1, 5)))
    axes = draw(st.sampled_from([[1, 2], [2, 1], [1], [2], [3], [-1], [2, 3], [1, 2, 3]]))
    keeps = draw(st.booleans())
    dropped = {axis % 4 for axis in axes}
    kept = tuple(1 if at in dropped else size for at, size in enumerate(shape) if keeps or at not in dropped)
    scale, zero_point = draw(SCALES), draw(ZEROS)
    same = draw(st.booleans())
    model = Model()
    x = model.tensor(shape, scale, zero_point)
    y = model.tensor(kept, *((scale, zero_point) if same else (draw(SCALES), draw(ZEROS))))
    model.add("MEAN", [x, model.integers(axes)], [y], "ReducerOptions", keepDims=keeps)
    return model.content([x], [y])


@given(model=means())
@settings(FEW, max_examples=80)
def test_means_over_any_axes_side_by_side(model: bytes) -> None:
    assert differences(model, 4) == 0


@pytest.mark.parametrize("axes", [[1, 2], [-2, -3]])
def test_the_largest_value_of_each_channel(axes: list[int]) -> None:
    model = Model()
    x, y = model.tensor((1, 4, 5, 3), 0.1, 7), model.tensor((1, 3), 0.1, 7)
    model.add("REDUCE_MAX", [x, model.integers(axes)], [y], "ReducerOptions")
    content = model.content([x], [y])
    assert differences(content) == 0
    assert compile_plan(content).ops == {"MAX_POOL_2D": 1}


@st.composite
def sums(draw: st.DrawFn) -> bytes:
    """ADD, SUB or MUL of the input with itself, a rescaled copy, or a constant that may repeat."""
    rng = np.random.default_rng(draw(SEEDS))
    name = draw(st.sampled_from(["ADD", "SUB", "MUL"]))
    shape = (1, draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 5)))
    model = Model()
    x = model.tensor(shape, draw(SCALES), draw(ZEROS))
    kind = draw(st.sampled_from(["same", "other", "constant", "channels", "scalar", "row"]))
    scale, zero_point = draw(SCALES), draw(ZEROS)
    if kind == "same":
        other = x
    elif kind == "other":
        other = model.tensor(shape, scale, zero_point)
        model.add("QUANTIZE", [x], [other])
    else:
        small = {"constant": shape, "channels": (shape[3],), "scalar": (1,), "row": (1, shape[1], 1, 1)}[kind]
        other = model.tensor(small, scale, zero_point, data=rng.integers(-128, 128, small, np.int8))
    y = model.tensor(shape, draw(SCALES) * (4 if name != "MUL" else 1), draw(ZEROS))
    operands = [other, x] if draw(st.booleans()) else [x, other]
    option = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions"}[name]
    model.add(name, operands, [y], option, fusedActivationFunction=draw(ACTIVATIONS))
    return model.content([x], [y])


@given(model=sums())
@settings(FEW, max_examples=120)
def test_sums_differences_and_products_with_constants_and_repetition(model: bytes) -> None:
    assert differences(model, 4) == 0


@given(
    depth=st.integers(1, 12),
    rows=st.integers(1, 3),
    scale=st.floats(1e-4, 3.0),
    zero=ZEROS,
    beta=st.just(1.0),
)
@settings(FEW, max_examples=60)
def test_softmax_of_any_scale(depth: int, rows: int, scale: float, zero: int, beta: float) -> None:
    model = Model()
    x = model.tensor((1, rows, depth), scale, zero)
    y = model.tensor((1, rows, depth), 1 / 256, -128)
    model.add("SOFTMAX", [x], [y], "SoftmaxOptions", beta=beta)
    assert differences(model.content([x], [y]), 8) == 0


def all_values(name: str, scale: float, zero: int, out_scale: float, out_zero: int, **options: Any) -> bytes:
    model = Model()
    x = model.tensor((1, 256), scale, zero)
    y = model.tensor((1, 256), out_scale, out_zero)
    kinds = {"LEAKY_RELU": "LeakyReluOptions", "HARD_SWISH": "HardSwishOptions"}
    model.add(name, [x], [y], kinds.get(name, ""), **options)
    return model.content([x], [y])


TABLED = {
    "LOGISTIC": (1 / 256, -128),
    "TANH": (1 / 128, 0),
    "QUANTIZE": None,
    "RELU": None,
    "LEAKY_RELU": None,
    "HARD_SWISH": None,
}


@pytest.mark.parametrize("name", TABLED)
@given(scale=SCALES, zero=ZEROS, out_scale=SCALES, out_zero=ZEROS, seed=SEEDS)
@FEW
def test_functions_of_one_value(
    name: str, scale: float, zero: int, out_scale: float, out_zero: int, seed: int
) -> None:
    fixed = TABLED[name]
    if name == "HARD_SWISH":
        out_scale = max(out_scale, scale / 100)
    options = {"alpha": 0.2} if name == "LEAKY_RELU" else {}
    model = all_values(name, scale, zero, *(fixed or (out_scale, out_zero)), **options)
    assert differences(model, 8, seed) == 0


@given(scale=SCALES, zero=ZEROS, seed=SEEDS)
@FEW
def test_relu6_that_stands_alone(scale: float, zero: int, seed: int) -> None:
    assert differences(all_values("RELU6", scale, zero, scale, zero), 8, seed) == 0
