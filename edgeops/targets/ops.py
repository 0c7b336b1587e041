"""What an inference costs, counted operator by operator: multiply-accumulates by kind, and parameters.

A multiply-accumulate (MAC) is one multiplication with its addition; biases, activations and padding are not
counted, as in the figures of MLPerf Tiny (Banbury et al. 2021, arXiv 2106.07597).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from edgeops.tflite.graph import Graph, Operator, Subgraph, Tensor


class Kind(StrEnum):
    """Kinds of work that cost differently per multiply-accumulate.

    convolution: kernels larger than 1x1, which reuse each input. separable: depthwise and 1x1 convolutions.
    fully_connected: each weight is used once.
    """

    CONVOLUTION = "convolution"
    SEPARABLE = "separable"
    FULLY_CONNECTED = "fully_connected"


@dataclass(frozen=True)
class Work:
    """What one inference does: MACs by kind, and values that operators without MACs go through."""

    macs_by_kind: Mapping[Kind, int]
    other_elements: int

    @property
    def macs(self) -> int:
        """All multiply-accumulates."""
        return sum(self.macs_by_kind.values())


def work_of(graph: Graph) -> Work:
    """The work of one inference: the operators of the first subgraph, each once.

    A subgraph that is called from it (a loop, a branch) is counted once.
    """
    macs: Counter[Kind] = Counter()
    other = 0
    for subgraph in graph.subgraphs:
        for operator in subgraph.operators:
            kind, count = macs_of(subgraph, operator)
            if count:
                macs[kind] += count
            elif operator.name not in _FREE:
                touched = {index for index in (*operator.inputs, *operator.outputs) if index >= 0}
                other += max(
                    (t.elements for i in touched if not (t := subgraph.tensors[i]).is_constant), default=0
                )
    return Work(MappingProxyType({kind: macs[kind] for kind in Kind}), other)


def macs_of(subgraph: Subgraph, operator: Operator) -> tuple[Kind, int]:
    """The kind and number of multiply-accumulates of one operator; 0 for one that has none, or broken shapes."""
    rule = _RULES.get(operator.name)
    inputs = [subgraph.tensors[index] for index in operator.inputs if index >= 0]
    outputs = [subgraph.tensors[index] for index in operator.outputs]
    if rule is None or len(inputs) < 2 or not outputs:
        return Kind.FULLY_CONNECTED, 0
    return rule(inputs, outputs)


def operator_counts(graph: Graph) -> dict[str, int]:
    """How often each operator occurs, by name, the most frequent first."""
    return dict(Counter(operator.name for operator in graph.operators).most_common())


def parameter_count(graph: Graph) -> int:
    """Weights and biases: the constant floating-point or quantized inputs of operators that have MACs."""
    total = 0
    for subgraph in graph.subgraphs:
        seen: set[int] = set()
        for operator in subgraph.operators:
            if operator.name in _RULES:
                seen |= {index for index in operator.inputs if index >= 0}
        total += sum(t.elements for i, t in enumerate(subgraph.tensors) if i in seen and t.is_constant)
    return total


def _last(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def _convolution(inputs: list[Tensor], outputs: list[Tensor]) -> tuple[Kind, int]:
    """Filter (outputs, *window, channels): each output value sums over one filter."""
    weights = inputs[1].shape
    if len(weights) < 3:
        return Kind.CONVOLUTION, 0
    kind = Kind.SEPARABLE if math.prod(weights[1:-1]) == 1 else Kind.CONVOLUTION
    return kind, outputs[0].elements * math.prod(weights[1:])


def _convolution_3d(inputs: list[Tensor], outputs: list[Tensor]) -> tuple[Kind, int]:
    """Filter (depth, height, width, channels, outputs)."""
    weights = inputs[1].shape
    return Kind.CONVOLUTION, outputs[0].elements * math.prod(weights[:-1]) if len(weights) == 5 else 0


def _depthwise(inputs: list[Tensor], outputs: list[Tensor]) -> tuple[Kind, int]:
    """Filter (1, height, width, channels): each output value sums over one window of one channel."""
    weights = inputs[1].shape
    return Kind.SEPARABLE, outputs[0].elements * math.prod(weights[1:-1]) if len(weights) == 4 else 0


def _transposed(inputs: list[Tensor], outputs: list[Tensor]) -> tuple[Kind, int]:
    """Inputs are (shape, filter, data); each input value meets one filter of every output."""
    if len(inputs) < 3 or len(inputs[1].shape) != 4:
        return Kind.CONVOLUTION, 0
    outputs_, height, width, _ = inputs[1].shape
    return Kind.CONVOLUTION, inputs[2].elements * outputs_ * height * width


def _fully_connected(inputs: list[Tensor], outputs: list[Tensor]) -> tuple[Kind, int]:
    return Kind.FULLY_CONNECTED, outputs[0].elements * _last(inputs[1])


def _matrix_product(inputs: list[Tensor], outputs: list[Tensor]) -> tuple[Kind, int]:
    """Both orders of the operands agree on the inner size, which the sizes of all three give."""
    a, b, out = inputs[0], inputs[1], outputs[0]
    if not out.elements or len(out.shape) < 2:
        return Kind.FULLY_CONNECTED, 0
    inner = math.isqrt(a.elements * b.elements // (out.elements * math.prod(out.shape[:-2]) or 1))
    return Kind.FULLY_CONNECTED, out.elements * inner


def _svdf(inputs: list[Tensor], outputs: list[Tensor]) -> tuple[Kind, int]:
    """Inputs are (data, weights of features, weights of time, …): every weight is used once."""
    return Kind.FULLY_CONNECTED, sum(tensor.elements for tensor in inputs[1:3])


def _lstm(inputs: list[Tensor], outputs: list[Tensor]) -> tuple[Kind, int]:
    """Every matrix of weights is used once per time step; the data is (batch, time, features)."""
    steps = inputs[0].shape[1] if len(inputs[0].shape) == 3 else 1
    weights = sum(t.elements for t in inputs[1:] if t.is_constant and len(t.shape) == 2)
    return Kind.FULLY_CONNECTED, steps * weights


_RULES: Mapping[str, Callable[[list[Tensor], list[Tensor]], tuple[Kind, int]]] = MappingProxyType(
    {
        "CONV_2D": _convolution,
        "CONV_3D": _convolution_3d,
        "DEPTHWISE_CONV_2D": _depthwise,
        "TRANSPOSE_CONV": _transposed,
        "FULLY_CONNECTED": _fully_connected,
        "BATCH_MATMUL": _matrix_product,
        "SVDF": _svdf,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    }
)
# only the view of the data changes
_FREE = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SHAPE", "VAR_HANDLE", "CALL_ONCE"})
