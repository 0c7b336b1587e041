"""Operators that work value by value: sums, products, and functions of one int8, which become tables."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeops.compile.lowering import Lowerer, Lowering
from edgeops.compile.moves import broadcast
from edgeops.compile.plan_format import OpCode, OpFlag
from edgeops.compile.refusals import unsupported
from edgeops.compile.steps import Buffer, Group, Step
from edgeops.compile.tables import TABLES

_LEFT_SHIFT = 20


def addition(one: Lowering) -> Group:
    """ADD and SUB: both operands at twice the larger of their scales, 20 bits up, as the kernels do."""
    one.quantized(0, 1)
    first, second, made = one.tensor(0), one.tensor(1), one.made
    largest = 2.0 * max(first.scale, second.scale)
    scales = {
        "input": first.scale / largest,
        "other": second.scale / largest,
        "output": largest / ((1 << _LEFT_SHIFT) * made.scale),
    }
    fields: dict[str, object] = {"left_shift": _LEFT_SHIFT, "output_offset": made.zero_point, **one.clamp()}
    for name, real in scales.items():
        multiplier, shift = one.multiplier(real, most=0)
        fields |= {f"{name}_multiplier": multiplier, f"{name}_shift": shift}
    subtracts = one.name == "SUB"
    return _of_two(
        one, OpCode.ADD, fields, swaps=not subtracts, flags=OpFlag.SUBTRACT if subtracts else OpFlag(0)
    )


def product(one: Lowering) -> Group:
    """MUL."""
    one.quantized(0, 1)
    first, second, made = one.tensor(0), one.tensor(1), one.made
    multiplier, shift = one.multiplier(first.scale * second.scale / made.scale)
    fields = {"multiplier": multiplier, "shift": shift, "output_offset": made.zero_point, **one.clamp()}
    return _of_two(one, OpCode.MUL, fields, swaps=True, flags=OpFlag(0))


def _of_two(one: Lowering, code: OpCode, fields: dict[str, object], swaps: bool, flags: OpFlag) -> Group:
    """A step of two operands; the second may repeat or be a constant, the first is brought to the output's shape."""
    made = one.made
    order = [0, 1]
    whole = one.tensor(0).elements == made.elements and not one.is_constant(0)
    if swaps and not whole and one.tensor(1).elements == made.elements and not one.is_constant(1):
        order = [1, 0]
        fields = {**fields, **_swapped(fields)}
    offsets = {
        "input_offset": -one.tensor(order[0]).zero_point,
        "other_offset": -one.tensor(order[1]).zero_point,
    }
    steps: list[Step] = []
    source = _whole(one, order[0], steps)
    other_elements, other, constant = made.elements, None, None
    tensor = one.tensor(order[1])
    if _repeats(tensor.shape, made.shape):
        other_elements = tensor.elements
        if one.is_constant(order[1]):
            constant = one.values(order[1]).tobytes()
            flags |= OpFlag.CONSTANT_INPUT
        else:
            other = one.buffer(order[1])
    else:
        other = _whole(one, order[1], steps)
    in_place = [source]
    if other is not None and other_elements == made.elements:
        in_place.append(other)
    last = Step(
        code,
        one.output,
        source,
        other,
        fields={**fields, **offsets, "elements": made.elements, "other_elements": other_elements},
        constants={"other": constant} if constant is not None else {},
        flags=flags,
        in_place=tuple(in_place),
    )
    return (*steps, last)


def _swapped(fields: dict[str, object]) -> dict[str, object]:
    names = {"input": "other", "other": "input"}
    return {
        f"{names[name.partition('_')[0]]}_{name.partition('_')[2]}": value
        for name, value in fields.items()
        if name.partition("_")[0] in names
    }


def _whole(one: Lowering, position: int, steps: list[Step]) -> Buffer:
    """An operand in the output's shape, copied there where it is a constant or repeats."""
    tensor = one.tensor(position)
    if tensor.elements == one.made.elements and not tensor.is_constant:
        return one.buffer(position)
    step = broadcast(one, position)
    steps.append(step)
    return step.output


def _repeats(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether values of ``shape`` come one after the other, over and over, in an array of shape ``whole``."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return not shape or whole[len(whole) - len(shape) :] == shape


def table(one: Lowering) -> Group:
    """A function of one int8: all 256 answers, computed when the plan is made."""
    one.quantized(0)
    one.same_size()
    if one.name not in ("LOGISTIC", "TANH"):
        one.multiplier(one.tensor().scale / one.made.scale)
    answers: NDArray[np.int8] = TABLES[one.name](one.tensor(), one.made, one.node.options)
    return (
        Step(
            OpCode.TABLE,
            one.output,
            one.buffer(),
            fields={"elements": one.made.elements},
            constants={"table_at": answers.tobytes()},
            in_place=(one.buffer(),),
        ),
    )


def quantization(one: Lowering) -> Group:
    """QUANTIZE: float32 to int8, or from one int8 scale to another."""
    if one.tensor().dtype == "int8":
        return table(one)
    if (one.tensor().dtype, one.made.dtype) != ("float32", "int8"):
        raise unsupported(one.name, f"from {one.tensor().dtype} to {one.made.dtype}")
    return _border(one, OpCode.QUANTIZE, one.made.scale, one.made.zero_point)


def dequantization(one: Lowering) -> Group:
    """DEQUANTIZE: int8 to float32."""
    if (one.tensor().dtype, one.made.dtype) != ("int8", "float32"):
        raise unsupported(one.name, f"from {one.tensor().dtype} to {one.made.dtype}")
    return _border(one, OpCode.DEQUANTIZE, one.tensor().scale, one.tensor().zero_point)


def _border(one: Lowering, code: OpCode, scale: float, zero_point: int) -> Group:
    if not (math.isfinite(scale) and scale > 0 and -128 <= zero_point <= 127):
        raise unsupported(one.name, "it has no usable scale")
    one.same_size()
    fields = {"elements": one.made.elements, "scale": scale, "zero_point": zero_point}
    return (Step(code, one.output, one.buffer(), fields=fields),)


ELEMENTWISE: Mapping[str, Lowerer] = {
    "ADD": addition,
    "SUB": addition,
    "MUL": product,
    "QUANTIZE": quantization,
    "DEQUANTIZE": dequantization,
    **{name: table for name in TABLES if name != "QUANTIZE"},
}
