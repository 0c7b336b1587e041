"""The arena that a model needs under TensorFlow Lite Micro on a 32-bit microcontroller.

The wheel that measures it is a 64-bit build, and it over-reports: pointers take 8 bytes there and 4 on the
device, the recording allocator of the wheel and its support for compressed weights are not in a device's
build. The tensors (the *head*) are the same in both. The persistent part (the *tail*) is a sequence of
structures, allocated downwards, each aligned. That sequence is replayed here twice from the model: with the
sizes of the 64-bit build, which has to give the tail that was measured, and with those of a 32-bit build.

Where the first replay gives exactly the measured tail, every byte is accounted for and the second one is the
arena on the device. Where it gives less, the difference belongs to operators whose data is not in the tables
below: it is kept as it is, which is never too little. Where it gives more, nothing is corrected.

Sources of the sizes: the headers of tflite-micro (``micro_allocator.h``, ``single_arena_buffer_allocator.h``,
``greedy_memory_planner.h``, ``micro_common.h``, ``builtin_op_data.h``, ``kernels/conv.h``,
``kernels/fully_connected.h``, ``kernels/internal/types.h``), laid out by the rules of the Arm procedure call
standard (AAPCS32: pointers and size_t 4 bytes, int64 and double aligned to 8), and each size of the 64-bit
build as seen in the calls of ``AllocatePersistentBuffer`` in the pinned wheel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from edgeops.targets.measure import Allocations
from edgeops.tflite.graph import Graph, Operator, Subgraph

# Releases of TensorFlow Lite Micro and converters differ by a few hundred bytes. Against the figures published
# for the MLPerf Tiny reference models, which an older release gave, this accounting is between 0.8 % too low
# (keyword) and 3.7 % too high (autoencoder); with one percent more it is below none of them.
MARGIN = 0.01

MEASURED_32 = "measured, corrected to 32 bits"
MEASURED_64 = "measured on x86-64, not corrected"


@dataclass(frozen=True)
class Arena:
    """The arena of one model, in bytes.

    ``bytes`` is what stays in use (``arena_used_bytes()`` on the device) with the margin; ``start_bytes`` is
    what it takes to start, which is more for models whose tensors are small. ``tensors`` and ``persistent``
    are the parts without the margin. ``source`` says how they were found; ``kept_64`` are bytes of operators
    that are left at their 64-bit size.
    """

    bytes: int
    start_bytes: int
    tensors: int
    persistent: int
    source: str
    kept_64: int
    measured: Allocations


def on_device(measured: Allocations, graph: Graph) -> Arena:
    """The arena on a 32-bit device, from what the 64-bit build of the wheel allocated for the same model."""
    replayed = replay(graph, 64)
    unknown = measured.tail - replayed
    if unknown < 0:
        total = measured.total
        return Arena(
            total, total + measured.start_extra, measured.head, measured.tail, MEASURED_64, 0, measured
        )
    persistent = replay(graph, 32) + unknown
    kept = unknown if unproven_operators(graph) else 0
    source = MEASURED_32
    if kept:
        source = f"{MEASURED_32} except {', '.join(unproven_operators(graph))}"
    used = _word(math.ceil((measured.head + persistent) * (1 + MARGIN)))
    return Arena(used, _word(used + measured.start_extra), measured.head, persistent, source, kept, measured)


def unproven_operators(graph: Graph) -> list[str]:
    """Operators of the model whose data may hold pointers that the tables do not list, by name."""
    return sorted({operator.name for operator in graph.operators} - KNOWN_OPERATORS)


def replay(graph: Graph, bits: int) -> int:
    """The bytes of the tail that the tables account for, in a build of 64 (the wheel's) or 32 bits."""
    side = 0 if bits == 64 else 1
    end = taken = 1 << 40
    for size, alignment in _sequence(graph, side):
        taken = (taken - size) // alignment * alignment
    return end - taken


def _sequence(graph: Graph, side: int) -> Iterator[tuple[int, int]]:
    """(size, alignment) of every persistent allocation, in the order in which they are made."""
    word = (8, 4)[side]
    for sizes in _ALLOCATOR_OBJECTS:
        yield sizes[side], word
    yield _SUBGRAPH[side] * len(graph.subgraphs), word
    for subgraph in graph.subgraphs:
        yield _EVAL_TENSOR[side] * len(subgraph.tensors), word
    for subgraph in graph.subgraphs:
        yield _NODE[side] * len(subgraph.operators), word
    for operator in graph.operators:
        if operator.name in _PARAMETERS:
            yield _PARAMETERS[operator.name][side], word if operator.name in _WITH_POINTER else 4
    for operator in graph.operators:
        if operator.name in _OPERATOR_DATA:
            yield _OPERATOR_DATA[operator.name][side], _BUFFER_ALIGNMENT
    for subgraph in graph.subgraphs:
        for operator in subgraph.operators:
            yield from [(4 * _channels(subgraph, operator), _BUFFER_ALIGNMENT)] * (
                2 if _channels(subgraph, operator) else 0
            )
    for ends in (graph.main.inputs, graph.main.outputs):
        yield word * len(ends), _BUFFER_ALIGNMENT
        for index in ends:
            yield _TENSOR[side], word
            scales = graph.main.tensors[index].scales
            if scales:
                yield _AFFINE_QUANTIZATION[side], word
                yield 4 + 4 * scales, 4


def _channels(subgraph: Subgraph, operator: Operator) -> int:
    """For how many channels the operator keeps a multiplier and a shift; 0 for none."""
    if len(operator.inputs) < 2 or operator.inputs[1] < 0:
        return 0
    weights = subgraph.tensors[operator.inputs[1]]
    if operator.name == "CONV_2D" and weights.shape:
        return weights.shape[0]
    if operator.name == "DEPTHWISE_CONV_2D" and weights.shape:
        return weights.shape[-1]
    if operator.name == "FULLY_CONNECTED" and weights.scales > 1 and weights.shape:
        return weights.shape[0]
    return 0


def _word(size: int) -> int:
    return (size + 3) // 4 * 4


# Each pair is (the wheel's 64-bit build, a 32-bit device's build without recording and compression).
_BUFFER_ALIGNMENT = 16  # MicroArenaBufferAlignment()
_ALLOCATOR_OBJECTS = (
    (
        104,
        36,
    ),  # Recording-, SingleArenaBufferAllocator: 2 vtables, 5 pointers, intptr, int; recording: 4 sizes
    (72, 44),  # GreedyMemoryPlanner: vtable, 5 pointers, 4 ints, bool
    (
        272,
        36,
    ),  # Recording-, MicroAllocator: vtable, 5 pointers, bool, 2 sizes; recording: pointer, 8 x 3 sizes
    (16, 8),  # MicroBuiltinDataAllocator: vtable, pointer
)
_SUBGRAPH = (24, 8)  # SubgraphAllocations: 2 pointers; 1 more with compression
_EVAL_TENSOR = (24, 12)  # TfLiteEvalTensor: 2 pointers, type
_NODE = (64, 32)  # NodeAndRegistration: TfLiteNode of 6 pointers and an int, pointer
_TENSOR = (64, 40)  # TfLiteTensor, static memory: quantization, params, data, dims, bytes, 2 enums, bool
_AFFINE_QUANTIZATION = (24, 12)  # TfLiteAffineQuantization: 2 pointers, int

# TfLite…Params of an operator, where it has any
_PARAMETERS = MappingProxyType(
    {
        "CONV_2D": (28, 28),
        "DEPTHWISE_CONV_2D": (28, 28),
        "FULLY_CONNECTED": (32, 24),  # 4 words, then pointer and length of the quantization's specification
        "AVERAGE_POOL_2D": (40, 40),
        "MAX_POOL_2D": (40, 40),
        "SOFTMAX": (4, 4),
        "ADD": (8, 8),
        "RESHAPE": (36, 36),
    }
)
_WITH_POINTER = frozenset({"FULLY_CONNECTED"})
# OpData… of an operator's kernel, where it has any
_OPERATOR_DATA = MappingProxyType(
    {
        "CONV_2D": (80, 56),  # OpDataConv: 12 words, 2 pointers; 2 more words with compression
        "DEPTHWISE_CONV_2D": (80, 56),
        "FULLY_CONNECTED": (72, 48),  # OpDataFullyConnected: 9 words, 2 pointers, bool; 2 more words
        "AVERAGE_POOL_2D": (32, 32),  # OpDataPooling: 8 words
        "MAX_POOL_2D": (32, 32),
        "SOFTMAX": (80, 56),  # SoftmaxParams: double, 7 words, 5 pointers
        "ADD": (60, 60),  # OpDataAdd: 15 words
    }
)
# without pointers in their data: what the wheel allocated for them is what a device allocates
_POINTER_FREE = frozenset(
    """
    DEQUANTIZE EXPAND_DIMS HARD_SWISH LEAKY_RELU LOGISTIC MAXIMUM MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE
    REDUCE_MAX RELU RELU6 RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SPLIT SQUEEZE STRIDED_SLICE SUB SUM TANH
    TRANSPOSE
    """.split()  # noqa: SIM905 - a list of this length reads better as words
)
KNOWN_OPERATORS = frozenset(_OPERATOR_DATA) | {"RESHAPE"} | _POINTER_FREE
