"""Operators that only move bytes: padding, joining, slicing, transposing and repeating, as strided copies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from edgeops.compile.lowering import Lowerer, Lowering
from edgeops.compile.network import same_quantization
from edgeops.compile.plan_format import MOVE_RANK, OpCode, OpFlag
from edgeops.compile.refusals import not_compilable, unsupported
from edgeops.compile.steps import Buffer, Group, Step
from edgeops.tflite.graph import Tensor

_WIDTHS = {"int8": 1, "float32": 4}


def padding(one: Lowering) -> Group:
    """PAD and PADV2 that no convolution takes in: filled, then the input copied into the middle."""
    width = _width(one, one.tensor())
    amounts = one.network.argument(one.node, 1)
    source, made = one.tensor().shape, one.made.shape
    if amounts.shape != (len(source), 2) or (amounts < 0).any():
        raise _mismatch(one)
    before, after = ([int(amount) for amount in column] for column in amounts.T)
    if any(b + size + a != whole for b, size, a, whole in zip(before, source, after, made, strict=True)):
        raise _mismatch(one)
    if not same_quantization(one.tensor(), one.made):
        raise unsupported(one.name, "it changes the scale")
    value = one.made.zero_point if width == 1 else 0
    if one.has(2):
        given = one.values(2).reshape(-1)[0] if one.tensor(2).dtype == one.made.dtype else math.nan
        if width != 1 and given != 0:
            raise unsupported(one.name, "it pads float32 with other values than 0")
        if math.isnan(given):
            raise _mismatch(one)
        value = int(given)
    strides = _strides(made, width)
    skip = sum(b * stride for b, stride in zip(before, strides, strict=True))
    fill = Step(OpCode.FILL, one.output, fields={"bytes": one.made.bytes, "value": value})
    return fill, _move(one, 0, source, _strides(source, width), strides, width, output_skip=skip)


def concatenation(one: Lowering) -> Group:
    """CONCATENATION; all that it joins has the scale of its output."""
    width = _width(one, one.made)
    if one.option("activation"):
        raise unsupported(one.name, "it has a fused activation")
    axis = one.option("axis")
    axis += len(one.made.shape) if axis < 0 else 0
    if not 0 <= axis < len(one.made.shape):
        raise _mismatch(one)
    strides = _strides(one.made.shape, width)
    steps: list[Step] = []
    at = 0
    for position in range(len(one.node.inputs)):
        tensor = one.tensor(position)
        wanted = (*one.made.shape[:axis], *tensor.shape[axis : axis + 1], *one.made.shape[axis + 1 :])
        if tensor.shape != wanted or tensor.dtype != one.made.dtype:
            raise _mismatch(one)
        if not same_quantization(tensor, one.made):
            raise unsupported(one.name, "what it joins has other scales than its output")
        if tensor.elements == 0:
            continue
        skip = at * strides[axis]
        steps.append(
            _move(
                one, position, tensor.shape, _strides(tensor.shape, width), strides, width, output_skip=skip
            )
        )
        at += tensor.shape[axis]
    if at != one.made.shape[axis]:
        raise _mismatch(one)
    return tuple(steps)


def strided_slice(one: Lowering) -> Group:
    """STRIDED_SLICE, with its masks of begin, end and dropped axes."""
    shape, width = one.tensor().shape, _width(one, one.tensor())
    if one.option("ellipsis_mask") or one.option("new_axis_mask"):
        raise unsupported(one.name, "it has an ellipsis or a new axis")
    begins, ends, steps = (one.integers(position) for position in (1, 2, 3))
    if not len(begins) == len(ends) == len(steps) <= len(shape) or 0 in steps:
        raise _mismatch(one)
    strides = _strides(shape, width)
    sizes, moved, skip = list(shape), list(strides), 0
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        bit, size = 1 << axis, shape[axis]
        lowest, highest = (0, size) if step > 0 else (-1, size - 1)
        begin = begin + size if begin < 0 else begin
        end = end + size if end < 0 else end
        if one.option("begin_mask") & bit:
            begin = lowest if step > 0 else highest
        if one.option("end_mask") & bit:
            end = highest if step > 0 else lowest
        if one.option("shrink_axis_mask") & bit:
            if step < 0:
                raise _mismatch(one)
            end, step = begin + 1, 1  # the kernel heeds the mask of begins here too
        begin, end = min(max(begin, lowest), highest), min(max(end, lowest), highest)
        sizes[axis] = max(0, -(-(end - begin) // step))
        moved[axis] = strides[axis] * step
        skip += begin * strides[axis]
    if math.prod(sizes) != one.made.elements:
        raise _mismatch(one)
    return (_move(one, 0, sizes, moved, _strides(sizes, width), width, input_skip=skip),)


def transpose(one: Lowering) -> Group:
    """TRANSPOSE."""
    shape, width, order = one.tensor().shape, _width(one, one.tensor()), one.integers(1)
    order = [axis + len(shape) if axis < 0 else axis for axis in order]
    if sorted(order) != list(range(len(shape))) or one.made.elements != one.tensor().elements:
        raise _mismatch(one)
    strides = _strides(shape, width)
    sizes = [shape[axis] for axis in order]
    return (_move(one, 0, sizes, [strides[axis] for axis in order], _strides(sizes, width), width),)


def broadcast(one: Lowering, position: int) -> Step:
    """An input repeated to the shape of the output, in memory of its own."""
    tensor, made = one.tensor(position), one.made
    width = _width(one, tensor)
    shape = (1,) * (len(made.shape) - len(tensor.shape)) + tensor.shape
    if len(shape) != len(made.shape) or any(
        size not in (1, whole) for size, whole in zip(shape, made.shape, strict=True)
    ):
        raise _mismatch(one)
    strides = [0 if size == 1 else stride for size, stride in zip(shape, _strides(shape, width), strict=True)]
    target = Buffer(made.elements * width)
    return _move(one, position, made.shape, strides, _strides(made.shape, width), width, output=target)


def _move(
    one: Lowering,
    position: int,
    sizes: Sequence[int],
    input_strides: Sequence[int],
    output_strides: Sequence[int],
    width: int,
    *,
    input_skip: int = 0,
    output_skip: int = 0,
    output: Buffer | None = None,
) -> Step:
    """A strided copy with as few dimensions as it can have."""
    dims: list[list[int]] = [[1, width, width]]
    for size, source, target in zip(
        reversed(sizes), reversed(input_strides), reversed(output_strides), strict=True
    ):
        length, inner_source, inner_target = dims[-1]
        if size == 1:
            continue
        if length > 1 or len(dims) > 1:
            joins = source == length * inner_source and target == length * inner_target
        else:
            joins = source == width and target == width
        if joins:
            dims[-1] = [length * size, inner_source, inner_target]
        else:
            dims.append([size, source, target])
    unit = width * dims.pop(0)[0]
    if len(dims) > MOVE_RANK:
        raise unsupported(one.name, f"its copy has {len(dims)} dimensions; a plan has up to {MOVE_RANK}")
    dims = [[1, 0, 0]] * (MOVE_RANK - len(dims)) + dims[::-1]
    constants: dict[str, bytes] = {}
    flags = OpFlag(0)
    source_buffer: Buffer | None = None
    if one.is_constant(position):
        flat = np.frombuffer(one.values(position).tobytes(), np.uint8)
        constants["input"], flags = flat.tobytes(), OpFlag.CONSTANT_INPUT
    else:
        source_buffer = one.buffer(position)
    return Step(
        OpCode.MOVE,
        output or one.output,
        source_buffer,
        fields={
            "unit": unit,
            "sizes": tuple(dim[0] for dim in dims),
            "input_strides": tuple(dim[1] for dim in dims),
            "output_strides": tuple(dim[2] for dim in dims),
        },
        constants=constants,
        skip={"input": input_skip, "output": output_skip},
        flags=flags,
    )


def _strides(shape: Sequence[int], width: int) -> list[int]:
    strides = [width] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return strides


def _width(one: Lowering, tensor: Tensor) -> int:
    if tensor.dtype not in _WIDTHS:
        raise unsupported(one.name, f"it moves {tensor.dtype}; plans move int8 and float32")
    return _WIDTHS[tensor.dtype]


def _mismatch(one: Lowering) -> Exception:
    return not_compilable(f"the shapes of {one.name} do not fit each other", "convert the model again")


MOVES: Mapping[str, Lowerer] = {
    "PAD": padding,
    "PADV2": padding,
    "CONCATENATION": concatenation,
    "STRIDED_SLICE": strided_slice,
    "TRANSPOSE": transpose,
}
