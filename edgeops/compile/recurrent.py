"""Operators that remember: SVDF and LSTM, whose states are the arena's first bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edgeops.compile.lowering import Lowerer, Lowering
from edgeops.compile.plan_format import LSTM_GATES, OpCode, OpFlag
from edgeops.compile.refusals import not_compilable, unsupported
from edgeops.compile.steps import NO_FLAGS, Buffer, Group, Step
from edgeops.tflite.options import ACTIVATION_TANH

_SIGMOID_STEP = 24  # places of the table to the unit
_GATE_SCALE = 2.0**-12
_ACTIVATION_SCALE = 2.0**-15
# places of the inputs of UNIDIRECTIONAL_SEQUENCE_LSTM, by gate: weights of the input, of the state, bias
_GATE_INPUTS = {"input": (1, 5, 12), "forget": (2, 6, 13), "candidate": (3, 7, 14), "output": (4, 8, 15)}
_UNUSED = {
    "a peephole": (9, 10, 11),
    "a projection": (16, 17),
    "layer normalization": (20, 21, 22, 23),
}
_HIDDEN, _CELL = 18, 19


def svdf(one: Lowering) -> Group:
    """SVDF, one step of it."""
    one.quantized(0)
    source, feature, time, state, made = (*(one.tensor(position) for position in (0, 1, 2, 4)), one.made)
    rank = one.option("rank")
    if len(feature.shape) != 2 or len(time.shape) != 2 or time.shape[0] != feature.shape[0] or rank < 1:
        raise unsupported(one.name, "its weights are not those of filters over time")
    if source.elements != feature.shape[1] or feature.shape[0] % rank or not one.has(3):
        raise unsupported(one.name, "its shapes are not those of one step with a bias")
    filters, inputs = feature.shape
    wide = time.dtype == "int16"
    if (feature.dtype, state.dtype) != ("int8", time.dtype) or time.dtype not in ("int8", "int16"):
        raise unsupported(
            one.name, "its weights and its state are not int8, nor int16 for both state and time"
        )
    memory = time.shape[-1]
    if one.tensor(3).dtype != "int32" or one.tensor(3).elements != filters // rank:
        raise unsupported(one.name, f"its bias is not {filters // rank} values of int32")
    if (
        memory < 1
        or not state.is_variable
        or state.elements != filters * memory
        or made.elements != filters // rank
    ):
        raise unsupported(one.name, "its state does not fit its filters")
    f32 = np.float32
    if not 0 < state.scale < math.inf or not -128 <= state.zero_point <= 127:
        raise unsupported(one.name, "its state has no usable scale")
    with np.errstate(over="ignore"):
        scales = {
            "feature": f32(source.scale) * f32(feature.scale) / f32(state.scale),
            "time": f32(state.scale) * f32(time.scale) / f32(made.scale),
        }
    fields: dict[str, object] = {
        "in": inputs,
        "filters": filters,
        "memory": memory,
        "rank": rank,
        "input_zero_point": source.zero_point,
        "state_zero_point": state.zero_point,
        "output_zero_point": made.zero_point,
    }
    for name, scale in scales.items():
        multiplier, shift = one.multiplier(float(scale))
        fields |= {f"{name}_multiplier": multiplier, f"{name}_shift": shift}
    kept = _state(one, 4)
    constants = {
        "feature_weights_at": one.values(1).tobytes(),
        "time_weights_at": one.values(2).tobytes(),
        "bias_at": one.values(3).astype("<i4").tobytes(),
    }
    flags = OpFlag.WIDE_STATE if wide else NO_FLAGS
    macs = filters * (inputs + memory)
    return (
        Step(
            OpCode.SVDF,
            one.output,
            one.buffer(),
            fields=fields,
            constants=constants,
            buffers={"state": kept},
            flags=flags,
            macs=macs,
        ),
    )


def lstm(one: Lowering) -> Group:
    """UNIDIRECTIONAL_SEQUENCE_LSTM of int8 with an int16 cell."""
    one.quantized(0, _HIDDEN)
    source, hidden, cell, made = one.tensor(), one.tensor(_HIDDEN), one.tensor(_CELL), one.made
    for what, positions in _UNUSED.items():
        if any(one.has(position) for position in positions):
            raise unsupported(one.name, f"it has {what}")
    if cell.dtype != "int16" or not hidden.is_variable or not cell.is_variable:
        raise unsupported(one.name, "its cell is not int16", dtype=cell.dtype)
    if one.option("activation") != ACTIVATION_TANH or one.node.options.get("projection_clip"):
        raise unsupported(one.name, "its activation is not tanh, or its projection is clipped")
    units, inputs = hidden.elements, source.shape[-1] if source.shape else 0
    steps = source.elements // max(inputs, 1)
    if (
        cell.elements != units
        or made.elements != steps * units
        or len(source.shape) != 3
        or 1 not in source.shape[:2]
    ):
        raise unsupported(one.name, "its shapes are not those of one sequence")
    power = round(math.log2(cell.scale)) if 0 < cell.scale < 1 else 0
    if power < -24 or cell.scale != 2.0**power:
        raise unsupported(one.name, "the scale of its cell is not a power of two")
    up = 12 + power
    fields: dict[str, object] = {
        "steps": steps,
        "in": inputs,
        "units": units,
        "input_offset": -source.zero_point,
        "hidden_offset": -hidden.zero_point,
        "cell_clip": _clip(one.node.options.get("cell_clip", 0.0), cell.scale),
        "cell_multiplier": 3 << max(up, 0),
        "cell_shift": max(-up, 0),
    }
    product = _ACTIVATION_SCALE * _ACTIVATION_SCALE
    scales = {
        "forget": _ACTIVATION_SCALE * cell.scale / cell.scale,
        "update": product / cell.scale,
        "hidden": product / hidden.scale,
    }
    for name, scale in scales.items():
        multiplier, shift = one.multiplier(scale)
        fields |= {f"{name}_multiplier": multiplier, f"{name}_shift": shift}
    constants = {"sigmoids_at": _sigmoids()}
    for gate in LSTM_GATES:
        gate_fields, gate_constants = _gate(one, gate, units, inputs)
        fields |= gate_fields
        constants |= gate_constants
    return (
        Step(
            OpCode.LSTM,
            one.output,
            one.buffer(),
            fields=fields,
            constants=constants,
            buffers={"hidden": _state(one, _HIDDEN), "cell": _state(one, _CELL)},
            macs=steps * 4 * units * (inputs + units),
        ),
    )


def _gate(one: Lowering, gate: str, units: int, inputs: int) -> tuple[dict[str, object], dict[str, bytes]]:
    fields: dict[str, object] = {}
    constants: dict[str, bytes] = {}
    *weights, bias = _GATE_INPUTS[gate]
    for name, position, width, scale in (
        ("input", weights[0], inputs, one.tensor().scale),
        ("hidden", weights[1], units, one.tensor(_HIDDEN).scale),
    ):
        if not one.has(position):
            raise unsupported(one.name, "its input gate is coupled to the forget gate")
        tensor = one.tensor(position)
        if (
            tensor.dtype != "int8"
            or tensor.shape != (units, width)
            or tensor.scales != 1
            or tensor.zero_point
        ):
            raise unsupported(one.name, "its weights are not int8 with one scale")
        # as in a fully connected layer without bias, the product of the scales is a float32
        with np.errstate(over="ignore"):
            real = float(np.float32(scale) * np.float32(tensor.scale)) / _GATE_SCALE
        multiplier, shift = one.multiplier(real)
        fields |= {f"{gate}.{name}_multiplier": multiplier, f"{gate}.{name}_shift": shift}
        constants[f"{gate}.{name}_weights_at"] = one.values(position).tobytes()
    if one.has(bias):
        if one.tensor(bias).dtype != "int32" or one.tensor(bias).elements != units:
            raise unsupported(one.name, "its biases are not int32")
        constants[f"{gate}.bias_at"] = one.values(bias).tobytes()
    return fields, constants


def _clip(clip: float, scale: float) -> int:
    return int(min(max(clip / scale, -32768.0), 32767.0)) if clip > 0 else 0


def _sigmoids() -> bytes:
    """sigmoid(k / 24) in 2**-16 for k = 0..255, which the 16-bit kernels interpolate between.

    A chord lies below the curve: half of the most that it does is added to each value. The last one is full.
    """
    values = []
    for k in range(255):
        value = 1 / (1 + math.exp(-k / _SIGMOID_STEP))
        bend = value * (1 - value) * (2 * value - 1) / (8 * _SIGMOID_STEP**2)
        values.append(math.floor(65536 * (value + bend / 2) + 0.5))
    return np.asarray([*values, 65535], "<u2").tobytes()


def _state(one: Lowering, position: int) -> Buffer:
    """A state's memory; the interpreter begins with bytes of the zero point, in 16 bits with zeros."""
    tensor = one.tensor(position)
    if tensor.dtype == "int16" and tensor.zero_point:
        raise not_compilable(f"the state of {one.name} has a zero point in 16 bits", "convert it again")
    reset = tensor.zero_point & 0xFF if tensor.dtype == "int8" else 0
    return one.memory.state(one.node.inputs[position], reset)


RECURRENT: Mapping[str, Lowerer] = {"SVDF": svdf, "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm}
