"""What cannot be compiled is named, with what to do instead; and no damaged file does more than that."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from compile.op_models import Model
from hypothesis import given, settings
from hypothesis import strategies as st
from targets.fit_models import model as fit_model

from edgeops.compile import compile_plan
from edgeops.compile.compiler import OPERATORS
from edgeops.core.errors import DataError


def of_one(name: str, options: str = "", dtype: str = "int8", **fields: object) -> bytes:
    model = Model()
    scale = 0.05 if dtype == "int8" else None
    x, y = model.tensor((1, 4), scale, dtype=dtype), model.tensor((1, 4), scale, dtype=dtype)
    model.add(name, [x], [y], options, **fields)
    return model.content([x], [y])


def batch() -> bytes:
    model = Model()
    x, y = model.tensor((8, 4)), model.tensor((8, 4), 0.1)
    model.add("RELU", [x], [y])
    return model.content([x], [y])


def open_shape() -> bytes:
    model = Model()
    x = model.tensor((1, 1, 4), signature=(-1, -1, 4))
    y = model.tensor((1, 1, 4), 0.1, signature=(-1, -1, 4))
    model.add("RELU", [x], [y])
    return model.content([x], [y])


def two_inputs() -> bytes:
    model = Model()
    x, other, y = (model.tensor((1, 4)) for _ in range(3))
    model.add("ADD", [x, other], [y], "AddOptions")
    return model.content([x, other], [y])


def hybrid_weights() -> bytes:
    model = Model()
    x, y = model.tensor((1, 4)), model.tensor((1, 2))
    w = model.tensor((2, 4), None, dtype="float32", data=np.ones((2, 4), np.float32))
    model.add("FULLY_CONNECTED", [x, w], [y], "FullyConnectedOptions")
    return model.content([x], [y])


def grouped() -> bytes:
    model = Model()
    x, y = model.tensor((1, 3, 3, 4)), model.tensor((1, 3, 3, 4))
    w = model.weights(np.random.default_rng(1), (4, 1, 1, 2), 0.01)
    model.add("CONV_2D", [x, w], [y], "Conv2DOptions", padding=1, strideH=1, strideW=1)
    return model.content([x], [y])


def wide() -> bytes:
    model = Model()
    x, y = model.tensor((1, 1, 70_000, 1)), model.tensor((1, 1, 70_000, 1))
    w = model.weights(np.random.default_rng(1), (1, 1, 1, 1), 0.01)
    model.add("CONV_2D", [x, w], [y], "Conv2DOptions", padding=1, strideH=1, strideW=1)
    return model.content([x], [y])


def many_classes() -> bytes:
    model = Model()
    x, y = model.tensor((1, 4096)), model.tensor((1, 4096), 1 / 256, -128)
    model.add("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0)
    return model.content([x], [y])


def long_mean() -> bytes:
    model = Model()
    x, y = model.tensor((1, 2**23 + 1)), model.tensor((1, 1))
    model.add("MEAN", [x, model.integers([1])], [y], "ReducerOptions", keepDims=True)
    return model.content([x], [y])


def large_window(name: str) -> bytes:
    """2**23 and a little more, of fields that each fit 16 bits."""
    model = Model()
    x, y = model.tensor((1, 2**12, 2**11 + 1, 1)), model.tensor((1, 1, 1, 1))
    if name == "REDUCE_MAX":
        model.add(name, [x, model.integers([1, 2])], [y], "ReducerOptions", keepDims=True)
    else:
        size = {"filterHeight": 2**12, "filterWidth": 2**11 + 1, "strideH": 1, "strideW": 1, "padding": 1}
        model.add(name, [x], [y], "Pool2DOptions", **size)
    return model.content([x], [y])


def much_work() -> bytes:
    """More multiplications than 32 bits count, of layers that all fit."""
    model = Model()
    x, y = model.tensor((1, 1024, 1024, 8)), model.tensor((1, 1024, 1024, 8))
    w = model.weights(np.random.default_rng(1), (8, 9, 9, 8), 0.01)
    model.add("CONV_2D", [x, w], [y], "Conv2DOptions", padding=0, strideH=1, strideW=1)
    return model.content([x], [y])


def one_svdf(scale: float = 0.01, biases: int = 2) -> bytes:
    model = Model()
    x, y = model.tensor((1, 3)), model.tensor((1, 2))
    w = model.tensor((2, 3), scale, data=np.ones((2, 3), np.int8))
    time = model.tensor((2, 4), 0.01, data=np.ones((2, 4), np.int8))
    bias = model.tensor((biases,), 0.01, dtype="int32", data=np.ones(biases, np.int32))
    state = model.tensor((1, 8), 0.01, variable=True)
    model.add("SVDF", [x, w, time, bias, state], [y], "SVDFOptions", rank=1)
    return model.content([x], [y])


def long_rows() -> bytes:
    model = Model()
    x, y = model.tensor((1, 1, 1025, 4096)), model.tensor((1, 1, 1025, 1))
    w = model.weights(np.random.default_rng(1), (1, 1, 1, 4096), 0.01)
    model.add("CONV_2D", [x, w], [y], "Conv2DOptions", padding=0, strideH=1, strideW=1)
    return model.content([x], [y])


def long_stride() -> bytes:
    model = Model()
    x, y = model.tensor((1, 1, 300, 1)), model.tensor((1, 1, 1, 1))
    w = model.weights(np.random.default_rng(1), (1, 1, 1, 1), 0.01)
    model.add("CONV_2D", [x, w], [y], "Conv2DOptions", padding=1, strideH=1, strideW=300)
    return model.content([x], [y])


@pytest.mark.parametrize(
    ("make", "words", "fix"),
    [
        (lambda: of_one("TILE"), "the operator TILE is not among those", "TensorFlow Lite Micro"),
        (lambda: fit_model("custom"), "its input has type int32", "full int8"),
        (lambda: fit_model("floating"), "FULLY_CONNECTED works on float32", "full int8"),
        (lambda: fit_model("vanishing"), "too small for its integer multiplier", "train it"),
        (lambda: of_one("RELU", dtype="int16"), "its input has type int16", "full int8"),
        (lambda: of_one("SOFTMAX", "SoftmaxOptions", beta=1.0), "scale 1/256", "TensorFlow Lite Micro"),
        (batch, "takes 8 inputs at once", "batch of 1"),
        (open_shape, "open in axis 1", "fixed input shape"),
        (two_inputs, "it has 2 inputs and 1 outputs", "split it"),
        (hybrid_weights, "its weights are float32", "TensorFlow Lite Micro"),
        (grouped, "a grouped convolution", "TensorFlow Lite Micro"),
        (wide, "in_w 70000", "smaller"),
        (long_rows, "CONV_2D reads rows of 4,198,400 bytes; a plan has up to 4,194,304", "smaller"),
        (long_stride, "CONV_2D has a size that does not fit a plan: stride_w 300", "smaller"),
        (much_work, "the model has a size that does not fit a plan: macs 5435817984", "smaller"),
        (many_classes, "a softmax is over 4,096 classes; a plan has up to 4,095", "TensorFlow Lite Micro"),
        (long_mean, "MEAN goes over 8,388,609 values at once", "TensorFlow Lite Micro"),
        (lambda: large_window("AVERAGE_POOL_2D"), "AVERAGE_POOL_2D goes over 8,392,704 values", "smaller"),
        (lambda: large_window("MAX_POOL_2D"), "MAX_POOL_2D goes over 8,392,704 values", "smaller"),
        (lambda: large_window("REDUCE_MAX"), "REDUCE_MAX goes over 8,392,704 values", "smaller"),
        (lambda: one_svdf(scale=-0.01), "one of its scales is negative", "TensorFlow Lite Micro"),
        (lambda: one_svdf(biases=1), "its bias is not 2 values of int32", "TensorFlow Lite Micro"),
    ],
    ids=lambda value: getattr(value, "__name__", None) if callable(value) else None,
)
def test_each_refusal_says_what_and_what_to_do(make: Callable[[], bytes], words: str, fix: str) -> None:
    with pytest.raises(DataError) as caught:
        compile_plan(make())
    assert words in caught.value.message and "\n" not in caught.value.message
    assert fix in str(caught.value.fix)


def test_the_batch_may_be_open() -> None:
    model = Model()
    x = model.tensor((1, 4), signature=(-1, 4))
    y = model.tensor((1, 4), 0.1, signature=(-1, 4))
    model.add("RELU", [x], [y])
    assert compile_plan(model.content([x], [y])).ops == {"TABLE": 1}


@pytest.mark.parametrize("name", ["separable", "mixed", "dense_per_channel"])
@given(damage=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_damaged_model_is_refused_or_compiled_but_never_more(
    name: str, damage: list[tuple[int, int]]
) -> None:
    content = bytearray(fit_model(name))
    for at, value in damage:
        content[at % len(content)] = value
    try:
        plan = compile_plan(bytes(content))
    except DataError as error:
        assert error.fix
    else:
        assert plan.plan_bytes == len(plan.plan)


@st.composite
def strange(draw: st.DrawFn) -> bytes:
    """Any operator on any tensors: shapes, types, scales and constants that belong together only by chance."""
    model = Model()
    sizes = st.lists(st.integers(0, 3), min_size=0, max_size=4)
    scales = st.sampled_from(
        [None, 0.05, 1 / 256, 2.0**-11, 1e-38, 3e38, float("inf"), float("nan"), 0.0, -1.0]
    )
    zeros = st.sampled_from([0, -128, 5, 1000])
    kinds = st.sampled_from(["int8", "int8", "int8", "float32", "int32", "int16"])

    def any_tensor() -> int:
        shape = (1, *draw(sizes))
        kind, scale, zero = draw(kinds), draw(scales), draw(zeros)
        if draw(st.booleans()):
            return model.tensor(shape, scale, zero, dtype=kind, variable=draw(st.booleans()))
        wide = {"int8": "i1", "float32": "<f4", "int32": "<i4", "int16": "<i2"}[kind]
        values = np.full(shape, draw(st.sampled_from([0, 1, 2, -1])), wide)
        if kind == "float32" and draw(st.booleans()):
            values[...] = np.nan
        return model.tensor(shape, scale, zero, dtype=kind, data=values)

    x = model.tensor((1, *draw(sizes)), draw(scales), draw(zeros))
    last = x
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from([*sorted(OPERATORS), "RESHAPE", "SQUEEZE"]))
        count = 24 if name.endswith("LSTM") else draw(st.integers(0, 4))
        inputs = [last, *(any_tensor() if draw(st.booleans()) else -1 for _ in range(count))]
        last = model.tensor((1, *draw(sizes)), draw(scales), draw(zeros))
        option = {"CONV_2D": "Conv2DOptions", "SVDF": "SVDFOptions", "SOFTMAX": "SoftmaxOptions"}.get(
            name, ""
        )
        fields = {"strideH": 1, "strideW": 1} if name == "CONV_2D" else {}
        if option == "SVDFOptions":
            fields = {"rank": draw(st.integers(-1, 2))}
        model.add(name, inputs[draw(st.sampled_from([0, 0, 0, 1])) :] or [last], [last], option, **fields)
    return model.content([x], [last])


@given(content=strange())
@settings(max_examples=600, deadline=None, derandomize=True)
def test_operators_on_tensors_that_do_not_fit_are_refused_and_nothing_worse(content: bytes) -> None:
    try:
        plan = compile_plan(content)
    except DataError as error:
        assert error.fix
    else:
        assert plan.arena_bytes > 0
