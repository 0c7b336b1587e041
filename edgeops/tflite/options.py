"""The options of operators that change what they compute: slot, type and default of the TensorFlow Lite schema."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PADDING_SAME, PADDING_VALID = 0, 1
ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU_N1_TO_1, ACTIVATION_RELU6, ACTIVATION_TANH = range(5)

_I8, _I32, _F32 = struct.Struct("<b"), struct.Struct("<i"), struct.Struct("<f")


@dataclass(frozen=True, slots=True)
class Option:
    """One field of an operator's table of options."""

    name: str
    slot: int
    form: struct.Struct
    default: float = 0


_STRIDED = (Option("padding", 0, _I8), Option("stride_w", 1, _I32), Option("stride_h", 2, _I32))
_POOL = (*_STRIDED, Option("filter_w", 3, _I32), Option("filter_h", 4, _I32), Option("activation", 5, _I8))
_ACTIVATION = (Option("activation", 0, _I8),)

OPTIONS: Mapping[str, tuple[Option, ...]] = MappingProxyType(
    {
        "CONV_2D": (
            *_STRIDED,
            Option("activation", 3, _I8),
            Option("dilation_w", 4, _I32, 1),
            Option("dilation_h", 5, _I32, 1),
        ),
        "DEPTHWISE_CONV_2D": (
            *_STRIDED,
            Option("multiplier", 3, _I32),
            Option("activation", 4, _I8),
            Option("dilation_w", 5, _I32, 1),
            Option("dilation_h", 6, _I32, 1),
        ),
        "FULLY_CONNECTED": (*_ACTIVATION, Option("weights_format", 1, _I8)),
        "AVERAGE_POOL_2D": _POOL,
        "MAX_POOL_2D": _POOL,
        "ADD": _ACTIVATION,
        "SUB": _ACTIVATION,
        "MUL": _ACTIVATION,
        "CONCATENATION": (Option("axis", 0, _I32), Option("activation", 1, _I8)),
        "SOFTMAX": (Option("beta", 0, _F32),),
        "LEAKY_RELU": (Option("alpha", 0, _F32),),
        "STRIDED_SLICE": tuple(
            Option(name, slot, _I32)
            for slot, name in enumerate(
                ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
            )
        ),
        "SVDF": (Option("rank", 0, _I32), Option("activation", 1, _I8)),
        "UNIDIRECTIONAL_SEQUENCE_LSTM": (
            Option("activation", 0, _I8),
            Option("cell_clip", 1, _F32),
            Option("projection_clip", 2, _F32),
            Option("time_major", 3, _I8),
            Option("diagonal_recurrent", 5, _I8),
        ),
    }
)
