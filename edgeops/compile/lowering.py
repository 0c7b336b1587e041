"""What the compilers of single operators have in common: a node with its tensors, buffers and constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.compile.fixed_point import quantize_multiplier
from edgeops.compile.network import QUANTIZE_FIX, Network, Node, quantized_range
from edgeops.compile.plan_format import MOST_SUMMED
from edgeops.compile.refusals import SMALLER, not_compilable, unsupported
from edgeops.compile.steps import Buffer, Group
from edgeops.tflite.graph import Tensor
from edgeops.tflite.options import ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU6, ACTIVATION_RELU_N1_TO_1

_ACTIVATION_NAMES: Mapping[int, str] = {
    ACTIVATION_NONE: "",
    ACTIVATION_RELU: "RELU",
    ACTIVATION_RELU_N1_TO_1: "RELU_N1_TO_1",
    ACTIVATION_RELU6: "RELU6",
}


@dataclass
class Memory:
    """The buffers of a network's activations, made when they are first asked for."""

    network: Network
    buffers: dict[int, Buffer] = field(default_factory=dict)

    def of(self, index: int) -> Buffer:
        """The buffer that holds a tensor, shared with those that it is an alias of."""
        root = self.network.root(index)
        if root not in self.buffers:
            self.buffers[root] = Buffer(self.network.tensors[root].bytes)
        return self.buffers[root]

    def state(self, index: int, reset: int) -> Buffer:
        """The buffer of a variable, which keeps its values; ``reset`` is the byte that it begins as."""
        if index not in self.buffers:
            self.buffers[index] = Buffer(self.network.tensors[index].bytes, reset)
        return self.buffers[index]


@dataclass(frozen=True)
class Lowering:
    """One node that is being compiled."""

    node: Node
    network: Network
    memory: Memory

    @property
    def name(self) -> str:
        """The operator."""
        return self.node.name

    def option(self, name: str, default: int = 0) -> int:
        """An integer option."""
        return int(self.node.options.get(name, default))

    def has(self, position: int) -> bool:
        """Whether an optional input is there."""
        return position < len(self.node.inputs) and self.node.inputs[position] >= 0

    def tensor(self, position: int = 0) -> Tensor:
        """An input that has to be there."""
        if not self.has(position):
            raise unsupported(self.name, f"its input {position} is missing")
        return self.network.tensors[self.node.inputs[position]]

    def is_constant(self, position: int) -> bool:
        """Whether an input is a constant."""
        return self.tensor(position).is_constant

    @property
    def made(self) -> Tensor:
        """The output."""
        if len(self.node.outputs) != 1:
            raise unsupported(self.name, f"it has {len(self.node.outputs)} outputs")
        return self.network.tensors[self.node.outputs[0]]

    def buffer(self, position: int = 0) -> Buffer:
        """The memory of an input, which must be an activation."""
        if self.is_constant(position):
            raise unsupported(self.name, f"its input {position} is a constant")
        return self.memory.of(self.node.inputs[position])

    @property
    def output(self) -> Buffer:
        """The memory of the output."""
        return self.memory.of(self.node.outputs[0])

    def values(self, position: int) -> NDArray[Any]:
        """The values of an input, which must be a constant."""
        if not self.is_constant(position):
            raise unsupported(self.name, f"its input {position} is not a constant")
        return self.network.values(self.node.inputs[position])

    def integers(self, position: int) -> list[int]:
        """The values of a constant such as axes."""
        self.tensor(position)
        return [int(value) for value in self.network.argument(self.node, position).reshape(-1)]

    def scales(self, position: int) -> NDArray[np.float32]:
        """All scales of an input."""
        return self.network.scales(self.node.inputs[position])

    def quantized(self, *positions: int) -> None:
        """Refuse inputs or an output that are not int8 with one scale and a zero point of int8."""
        for tensor in (*(self.tensor(position) for position in positions), self.made):
            if tensor.dtype == "float32":
                raise not_compilable(f"{self.name} works on float32; plans compute in int8", QUANTIZE_FIX)
            if tensor.dtype != "int8":
                raise unsupported(
                    self.name, f"it works on {tensor.dtype}; plans compute in int8", dtype=tensor.dtype
                )
            if not np.isfinite(tensor.scale) or tensor.scale <= 0 or not -128 <= tensor.zero_point <= 127:
                raise not_compilable(
                    f"{self.name} has a tensor without a usable scale", "quantize the model again, with int8"
                )

    def multiplier(self, real: float, most: int = 30) -> tuple[int, int]:
        """``real`` as multiplier and shift, the shift to the left by ``most`` at most."""
        if real < 0:
            raise unsupported(self.name, "one of its scales is negative")
        if not math.isfinite(real):
            raise unsupported(self.name, "its scales are too far apart for integer multipliers")
        multiplier, shift = quantize_multiplier(real)
        if shift > most:
            raise unsupported(self.name, "its scales are too far apart for integer multipliers")
        return multiplier, shift

    def same_size(self, position: int = 0) -> None:
        """Refuse an input that has not as many elements as the output."""
        if self.tensor(position).elements != self.made.elements:
            raise not_compilable(
                f"the shapes of {self.name} do not fit each other", "convert the model again"
            )

    def summed(self, count: int) -> None:
        """Refuse more values than an accumulator of 32 bits holds the sum of."""
        if count > MOST_SUMMED:
            raise not_compilable(
                f"{self.name} goes over {count:,} values at once; a plan adds up {MOST_SUMMED:,}", SMALLER
            )

    def clamp(self) -> dict[str, object]:
        """``clamp_min`` and ``clamp_max``: the fused activation within what was fused from operators behind."""
        kind = self.option("activation")
        if kind not in _ACTIVATION_NAMES:
            raise unsupported(
                self.name, f"its fused activation {kind} is not among RELU, RELU6 and RELU_N1_TO_1"
            )
        low, high = quantized_range(self.made, _ACTIVATION_NAMES[kind])
        low, high = max(low, self.node.clamp[0]), min(high, self.node.clamp[1])
        return {"clamp_min": min(low, high), "clamp_max": high}


Lowerer = Callable[[Lowering], Group]
