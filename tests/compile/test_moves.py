"""Padding, joining, slicing, transposing: copies, fused where a convolution or an alias makes them needless."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compile.op_models import Model, differences
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.compile import compile_plan
from edgeops.core.errors import DataError

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=40, deadline=None, derandomize=True)
SIZES = st.integers(1, 4)


def ended(model: Model, x: int, y: int, shape: tuple[int, ...], zero_point: int = 3) -> bytes:
    """With an operator behind that cannot go away, should the one before be an idle one."""
    z = model.tensor(shape, 0.1, zero_point)
    model.add("QUANTIZE", [y], [z])
    return model.content([x], [z])


@given(sizes=st.tuples(SIZES, SIZES, SIZES), amounts=st.lists(st.integers(0, 2), min_size=6, max_size=6))
@FEW
def test_padding_by_the_zero_point(sizes: tuple[int, int, int], amounts: list[int]) -> None:
    pads = np.asarray([0, 0, *amounts]).reshape(4, 2)
    shape = (1, *(int(size + pair.sum()) for size, pair in zip(sizes, pads[1:], strict=True)))
    model = Model()
    x = model.tensor((1, *sizes), 0.05, -7)
    y = model.tensor(shape, 0.05, -7)
    model.add("PAD", [x, model.integers(pads)], [y], "PadOptions")
    assert differences(ended(model, x, y, shape)) == 0


def test_padding_by_a_value_of_its_own() -> None:
    model = Model()
    x, y = model.tensor((1, 2, 3, 2), 0.05, -7), model.tensor((1, 4, 3, 3), 0.05, -7)
    value = model.tensor((1,), 0.05, -7, data=np.asarray([41], np.int8))
    model.add("PADV2", [x, model.integers([[0, 0], [1, 1], [0, 0], [0, 1]]), value], [y], "PadV2Options")
    content = ended(model, x, y, (1, 4, 3, 3))
    assert differences(content) == 0
    assert compile_plan(content).ops == {"FILL": 1, "MOVE": 1, "TABLE": 1}


@given(axis=st.integers(-3, 3), parts=st.lists(SIZES, min_size=1, max_size=3), seed=SEEDS)
@FEW
def test_joining_along_any_axis(axis: int, parts: list[int], seed: int) -> None:
    del seed
    if axis % 4 == 0:
        axis = 1
    model = Model()
    base = [1, 2, 3, 2]
    base[axis % 4] = parts[0]
    x = model.tensor(tuple(base), 0.05, 1)
    joined, total = [x], parts[0]
    for size in parts[1:]:
        shape = list(base)
        shape[axis % 4] = size
        model.buffers.append(np.arange(-9, -9 + int(np.prod(shape)), dtype=np.int8).tobytes())
        constant = model.tensor(tuple(shape), 0.05, 1)
        model.tensors[constant].buffer = len(model.buffers) - 1
        joined.append(constant)
        total += size
    whole = list(base)
    whole[axis % 4] = total
    y = model.tensor(tuple(whole), 0.05, 1)
    model.add("CONCATENATION", joined, [y], "ConcatenationOptions", axis=axis)
    assert differences(ended(model, x, y, tuple(whole))) == 0


@st.composite
def slices(draw: st.DrawFn) -> bytes:
    shape = (1, draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 4)))
    begins, ends, steps, kept = [0], [1], [1], [1]
    for size in shape[1:]:
        step = draw(st.sampled_from([1, 1, 2, -1]))
        first = draw(st.integers(0, size - 1))
        count = draw(st.integers(1, (size - 1 - first if step > 0 else first) // abs(step) + 1))
        end = first + count * step
        begins.append(first)
        ends.append(end if end >= 0 else -size - 1)
        steps.append(step)
        kept.append(count)
    model = Model()
    x, y = model.tensor(shape, 0.05, 2), model.tensor(tuple(kept), 0.05, 2)
    places = [model.integers(values) for values in (begins, ends, steps)]
    model.add("STRIDED_SLICE", [x, *places], [y], "StridedSliceOptions")
    return ended(model, x, y, tuple(kept))


@given(model=slices())
@settings(FEW, max_examples=80)
def test_slices_forwards_and_backwards(model: bytes) -> None:
    assert differences(model) == 0


def test_slices_with_masks() -> None:
    cases: list[tuple[dict[str, int], tuple[int, ...]]] = [
        ({"beginMask": 2}, (1, 3, 2, 2)),
        ({"endMask": 4}, (1, 2, 3, 2)),
        ({"beginMask": 15, "endMask": 15}, (1, 4, 4, 2)),
        ({"shrinkAxisMask": 2}, (1, 2, 2)),
    ]
    for masks, shape in cases:
        model = Model()
        x, y = model.tensor((1, 4, 4, 2), 0.05, 2), model.tensor(shape, 0.05, 2)
        places = [model.integers(v) for v in ([0, 1, 1, 0], [1, 3, 3, 2], [1, 1, 1, 1])]
        model.add("STRIDED_SLICE", [x, *places], [y], "StridedSliceOptions", **masks)
        assert differences(ended(model, x, y, shape)) == 0, masks


def dropped_axis(step: int) -> bytes:
    model = Model()
    x, y = model.tensor((1, 4, 5), 0.05, 2), model.tensor((1, 5), 0.05, 2)
    places = [model.integers(v) for v in ([0, 2, 0], [1, 3, 5], [1, step, 1])]
    masks = {"beginMask": 2, "endMask": 2, "shrinkAxisMask": 2}
    model.add("STRIDED_SLICE", [x, *places], [y], "StridedSliceOptions", **masks)
    return ended(model, x, y, (1, 5))


def test_a_dropped_axis_heeds_the_mask_of_begins_and_not_that_of_ends() -> None:
    assert differences(dropped_axis(step=2)) == 0


def test_a_dropped_axis_that_runs_backwards_is_refused() -> None:
    with pytest.raises(DataError, match="do not fit"):
        compile_plan(dropped_axis(step=-1))


@given(order=st.permutations([1, 2, 3]), sizes=st.tuples(SIZES, SIZES, SIZES))
@FEW
def test_transposition(order: list[int], sizes: tuple[int, int, int]) -> None:
    shape = (1, *sizes)
    turned = tuple(shape[axis] for axis in [0, *order])
    model = Model()
    x, y = model.tensor(shape, 0.05, 2), model.tensor(turned, 0.05, 2)
    model.add("TRANSPOSE", [x, model.integers([0, *order])], [y], "TransposeOptions")
    assert differences(ended(model, x, y, turned)) == 0


def test_float_ends_are_quantized_and_dequantized() -> None:
    model = Model()
    x = model.tensor((1, 64), None, dtype="float32")
    q, y = model.tensor((1, 64), 0.031, 5), model.tensor((1, 64), None, dtype="float32")
    model.add("QUANTIZE", [x], [q])
    model.add("DEQUANTIZE", [q], [y])
    content = model.content([x], [y])
    assert differences(content, 20) == 0
    assert compile_plan(content).input.dtype == compile_plan(content).output.dtype == "float32"


def convolved(model: Model, x: int, size: int, made: int, **fields: Any) -> int:
    rng = np.random.default_rng(size)
    y = model.tensor((1, made, made, 2), 0.2, -4)
    w = model.weights(rng, (2, 3, 3, 1), 0.02)
    options = {"padding": 1, "strideH": 1, "strideW": 1, **fields}
    model.add("CONV_2D", [x, w, model.bias(rng, 2, 0.001)], [y], "Conv2DOptions", **options)
    return y


def test_padding_before_a_convolution_becomes_part_of_it() -> None:
    for padding, made in ((1, 8), (0, 10)):
        model = Model()
        x, padded = model.tensor((1, 7, 7, 1), 0.05, 9), model.tensor((1, 10, 10, 1), 0.05, 9)
        model.add("PAD", [x, model.integers([[0, 0], [2, 1], [1, 2], [0, 0]])], [padded], "PadOptions")
        content = model.content([x], [convolved(model, padded, 10, made, padding=padding)])
        assert compile_plan(content).ops == {"CONV_2D": 1}
        assert differences(content) == 0


def test_padding_that_something_else_reads_too_is_kept() -> None:
    model = Model()
    x, padded = model.tensor((1, 4, 4, 1), 0.05, 9), model.tensor((1, 6, 6, 1), 0.05, 9)
    model.add("PAD", [x, model.integers([[0, 0], [1, 1], [1, 1], [0, 0]])], [padded], "PadOptions")
    y = convolved(model, padded, 6, 4)
    pooled, total = model.tensor((1, 4, 4, 1), 0.05, 9), model.tensor((1, 4, 4, 2), 0.3, 1)
    pool = {"padding": 1, "strideH": 1, "strideW": 1, "filterHeight": 3, "filterWidth": 3}
    model.add("MAX_POOL_2D", [padded], [pooled], "Pool2DOptions", **pool)
    model.add("ADD", [y, pooled], [total], "AddOptions")
    content = model.content([x], [total])
    assert differences(content) == 0
    assert compile_plan(content).ops["FILL"] == 1


def test_an_activation_that_keeps_the_scale_becomes_a_clamp_and_another_a_table() -> None:
    for scale, ops in ((0.2, {"CONV_2D": 1}), (0.1, {"CONV_2D": 1, "TABLE": 1})):
        model = Model()
        x = model.tensor((1, 6, 6, 1), 0.05, 9)
        y = convolved(model, x, 6, 4)
        z = model.tensor((1, 4, 4, 2), scale, -4)
        model.add("RELU", [y], [z])
        content = model.content([x], [z])
        assert compile_plan(content).ops == ops
        assert differences(content) == 0


def test_an_activation_is_not_fused_where_the_value_before_it_is_read_too() -> None:
    model = Model()
    x = model.tensor((1, 6, 6, 1), 0.05, 9)
    y = convolved(model, x, 6, 4)
    z, total = model.tensor((1, 4, 4, 2), 0.2, -4), model.tensor((1, 4, 4, 2), 0.4, 0)
    model.add("RELU6", [y], [z])
    model.add("ADD", [y, z], [total], "AddOptions")
    content = model.content([x], [total])
    assert compile_plan(content).ops == {"CONV_2D": 1, "TABLE": 1, "ADD": 1}
    assert differences(content) == 0


def test_what_only_renames_a_shape_takes_neither_time_nor_memory() -> None:
    model = Model()
    x, flat = model.tensor((1, 4, 4, 2), 0.05, 1), model.tensor((1, 32), 0.05, 1)
    grown, y = model.tensor((1, 1, 32), 0.05, 1), model.tensor((1, 1, 32), 0.1, 1)
    model.add("RESHAPE", [x, model.integers([1, 32])], [flat], "ReshapeOptions", newShape=[1, 32])
    model.add("EXPAND_DIMS", [flat, model.integers([1])], [grown], "ExpandDimsOptions")
    model.add("QUANTIZE", [grown], [y])
    content = model.content([x], [y])
    assert differences(content) == 0
    plan = compile_plan(content)
    assert (plan.ops, plan.arena_bytes) == ({"TABLE": 1}, 32)
