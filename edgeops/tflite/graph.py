"""What a ``.tflite`` file says, as plain values: tensors, operators, and how long each tensor lives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

# TensorType of the TensorFlow Lite schema (version 3): name and bits, by number
TENSOR_TYPES: tuple[tuple[str, int], ...] = (
    ("float32", 32),
    ("float16", 16),
    ("int32", 32),
    ("uint8", 8),
    ("int64", 64),
    ("string", 8),
    ("bool", 8),
    ("int16", 16),
    ("complex64", 64),
    ("int8", 8),
    ("float64", 64),
    ("complex128", 128),
    ("uint64", 64),
    ("resource", 64),
    ("variant", 64),
    ("uint32", 32),
    ("uint16", 16),
    ("int4", 4),
    ("bfloat16", 16),
    ("int2", 2),
    ("uint4", 4),
    ("float8_e4m3fn", 8),
    ("float8_e5m2", 8),
)

_BITS = dict(TENSOR_TYPES)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: ``constant_bytes`` is the size of its data in the file, 0 for an activation.

    ``shape`` is that of one inference. ``scales`` counts the quantization scales (0 none, 1 per tensor, more
    per channel), ``scale`` is the first of them, 0.0 where there is none, and ``scale_at`` its place in the file.
    ``data_at`` is where its data begins in the file, 0 for an activation. ``zero_points`` counts the zero points,
    ``zero_point`` is the first of them, ``zero_point_at`` their place; ``quantized_axis`` is the axis that has a
    scale each. ``dynamic`` are the axes, the first left out, whose size the model leaves open.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant_bytes: int
    scales: int
    scale: float
    scale_at: int
    is_variable: bool
    data_at: int = 0
    zero_points: int = 0
    zero_point: int = 0
    zero_point_at: int = 0
    quantized_axis: int = 0
    dynamic: tuple[int, ...] = ()

    @property
    def elements(self) -> int:
        """How many values it holds; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Its size in memory, packed as its type is."""
        return (self.elements * _BITS[self.dtype] + 7) // 8

    @property
    def is_constant(self) -> bool:
        """True for weights and shapes, which stay in flash."""
        return self.constant_bytes > 0


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator; inputs and outputs are indices of tensors, -1 for an optional input that is not there.

    ``options`` are those that ``OPTIONS`` of ``edgeops.tflite.options`` lists for it, by name.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Subgraph:
    """One graph of a model, its operators in the order of execution."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]

    @cached_property
    def peak_live_bytes(self) -> int:
        """The most activation bytes that live at once: no plan of memory can do with fewer.

        A tensor lives from the operator that makes it to the last one that reads it; the graph's inputs from
        the beginning, its outputs to the end.
        """
        last = len(self.operators)
        born = dict.fromkeys(self.inputs, 0)
        dies: dict[int, int] = {}
        for step, operator in enumerate(self.operators):
            for index in operator.outputs:
                born.setdefault(index, step)
            for index in (*operator.inputs, *operator.outputs):
                dies[index] = step
        dies.update(dict.fromkeys(self.outputs, last))
        change = [0] * (last + 2)
        for index, step in born.items():
            if index >= 0 and not self.tensors[index].is_constant:
                change[step] += self.tensors[index].bytes
                change[dies.get(index, step) + 1] -= self.tensors[index].bytes
        peak = live = 0
        for step_change in change:
            live += step_change
            peak = max(peak, live)
        return peak


@dataclass(frozen=True)
class Graph:
    """A whole model; the first subgraph is the one that is run."""

    subgraphs: tuple[Subgraph, ...]
    file_bytes: int

    @property
    def main(self) -> Subgraph:
        """The subgraph that an inference runs."""
        return self.subgraphs[0]

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators of all subgraphs."""
        return tuple(operator for subgraph in self.subgraphs for operator in subgraph.operators)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all constants that tensors name."""
        return sum(tensor.constant_bytes for subgraph in self.subgraphs for tensor in subgraph.tensors)
