"""The structures of ``firmware_stubs/include/edgeops/plan.h``; a test compares every offset with the C compiler's.

Everything is little-endian and lies at its natural alignment, so that no structure has hidden bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from types import MappingProxyType
from typing import Final

MAGIC: Final = 0x4C504F45
FORMAT: Final = 1
MOVE_RANK: Final = 5
ROUNDING_TWICE: Final = 1
# what eo_plan_open holds plans to beside the types of the fields (src/runtime/verify.c)
MOST_BYTES: Final = 1 << 30
MOST_ROW_BYTES: Final = 1 << 22
MOST_SUMMED: Final = 1 << 23
MOST_CLASSES: Final = 4095


class PlanType(IntEnum):
    """``eo_plan_type``."""

    INT8 = 1
    INT16 = 2
    FLOAT32 = 3


class OpCode(IntEnum):
    """``eo_op_code``."""

    CONV_2D = 1
    DEPTHWISE_CONV_2D = 2
    FULLY_CONNECTED = 3
    AVERAGE_POOL_2D = 4
    MAX_POOL_2D = 5
    MEAN = 6
    ADD = 7
    MUL = 8
    SOFTMAX = 9
    TABLE = 10
    FILL = 11
    MOVE = 12
    QUANTIZE = 13
    DEQUANTIZE = 14
    SVDF = 15
    LSTM = 16


class OpFlag(IntFlag):
    """``EO_OP_…`` flags."""

    PER_CHANNEL = 1
    CONSTANT_INPUT = 2
    SUBTRACT = 4
    WIDE_STATE = 8


Fields = tuple[tuple[str, str], ...]


def _fields(text: str) -> Fields:
    """``name:format`` words; a format is that of ``struct``, with a count before it for an array."""
    return tuple((name, form) for name, _, form in (word.partition(":") for word in text.split()))


_HEAD = "code:B flags:B record_bytes:H input:I output:I"
_CONV = _fields(
    f"{_HEAD} in_h:H in_w:H in_c:H out_h:H out_w:H out_c:H k_h:H k_w:H stride_h:B stride_w:B dilation_h:B "
    "dilation_w:B pad_top:H pad_left:H input_offset:h output_offset:h clamp_min:b clamp_max:b reserved:H "
    "weights_at:I bias_at:I multipliers_at:I shifts_at:I"
)
_POOL = _fields(
    f"{_HEAD} in_h:H in_w:H channels:H out_h:H out_w:H k_h:H k_w:H stride_h:B stride_w:B pad_top:H pad_left:H "
    "clamp_min:b clamp_max:b reserved:H"
)
_QUANTIZE = _fields(f"{_HEAD} elements:I scale:f zero_point:i")
TENSOR = _fields("at:I bytes:I scale:f zero_point:h type:B reserved:B")
LSTM_GATES = ("forget", "input", "candidate", "output")
LSTM_GATE = _fields(
    "input_weights_at:I hidden_weights_at:I bias_at:I input_multiplier:i input_shift:i hidden_multiplier:i "
    "hidden_shift:i"
)
RESET = _fields("at:I bytes:I value:I")
HEADER = (
    *_fields(
        "magic:I format:H rounding:B reserved:B plan_bytes:I arena_bytes:I state_bytes:I ops_at:I ops_bytes:I "
        "op_count:H reset_count:H resets_at:I macs:I"
    ),
    *((f"{end}.{name}", form) for end in ("input", "output") for name, form in TENSOR),
)
RECORDS: Mapping[OpCode, Fields] = MappingProxyType(
    {
        OpCode.CONV_2D: _CONV,
        OpCode.DEPTHWISE_CONV_2D: _CONV,
        OpCode.FULLY_CONNECTED: _fields(
            f"{_HEAD} rows:H in:H out:H input_offset:h output_offset:h clamp_min:b clamp_max:b weights_at:I "
            "bias_at:I multipliers_at:I shifts_at:I"
        ),
        OpCode.AVERAGE_POOL_2D: _POOL,
        OpCode.MAX_POOL_2D: _POOL,
        OpCode.MEAN: _fields(
            f"{_HEAD} outer:I reduce:I inner:I input_zero_point:h output_zero_point:h multiplier:i shift:i"
        ),
        OpCode.ADD: _fields(
            f"{_HEAD} other:I elements:I other_elements:I input_offset:h other_offset:h output_offset:h "
            "clamp_min:b clamp_max:b input_multiplier:i input_shift:i other_multiplier:i other_shift:i "
            "output_multiplier:i output_shift:i left_shift:i"
        ),
        OpCode.MUL: _fields(
            f"{_HEAD} other:I elements:I other_elements:I input_offset:h other_offset:h output_offset:h "
            "clamp_min:b clamp_max:b multiplier:i shift:i"
        ),
        OpCode.SOFTMAX: _fields(f"{_HEAD} rows:I depth:I exps_at:I exp_count:I"),
        OpCode.TABLE: _fields(f"{_HEAD} elements:I table_at:I"),
        OpCode.FILL: _fields(f"{_HEAD} bytes:I value:i"),
        OpCode.MOVE: _fields(
            f"{_HEAD} unit:I sizes:{MOVE_RANK}I input_strides:{MOVE_RANK}i output_strides:{MOVE_RANK}i"
        ),
        OpCode.SVDF: _fields(
            f"{_HEAD} state:I in:H filters:H memory:H rank:H input_zero_point:h state_zero_point:h "
            "output_zero_point:h reserved:h feature_multiplier:i feature_shift:i time_multiplier:i time_shift:i "
            "feature_weights_at:I time_weights_at:I bias_at:I"
        ),
        OpCode.LSTM: (
            *_fields(
                f"{_HEAD} hidden:I cell:I sigmoids_at:I steps:H in:H units:H input_offset:h hidden_offset:h "
                "cell_clip:h cell_multiplier:i cell_shift:i forget_multiplier:i forget_shift:i update_multiplier:i "
                "update_shift:i hidden_multiplier:i hidden_shift:i"
            ),
            *((f"{gate}.{name}", form) for gate in LSTM_GATES for name, form in LSTM_GATE),
        ),
        OpCode.QUANTIZE: _QUANTIZE,
        OpCode.DEQUANTIZE: _QUANTIZE,
    }
)


def form_of(fields: Fields) -> struct.Struct:
    """How the structure is packed."""
    return struct.Struct("<" + "".join(form for _, form in fields))


def packed(fields: Fields, values: Mapping[str, object]) -> bytes:
    """A structure with ``values``; what they leave out is 0. Raises ``struct.error`` where one does not fit."""
    flat: list[object] = []
    for name, form in fields:
        value = values.get(name, (0,) * int(form[:-1] or 1) if len(form) > 1 else 0)
        flat.extend(value if isinstance(value, tuple) else (value,))
    return form_of(fields).pack(*flat)


def unpacked(fields: Fields, data: bytes, at: int = 0) -> dict[str, int | float | tuple[int, ...]]:
    """The structure that begins at ``at``, by field."""
    flat = list(form_of(fields).unpack_from(data, at))
    found: dict[str, int | float | tuple[int, ...]] = {}
    for name, form in fields:
        if len(form) > 1:
            count = int(form[:-1])
            found[name] = tuple(flat[:count])
            del flat[:count]
        else:
            found[name] = flat.pop(0)
    return found
