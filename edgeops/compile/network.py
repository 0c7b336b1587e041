"""A model's graph, simplified before it is compiled: dead and idle operators gone, padding and activations fused.

Nothing here changes a bit of what the model computes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.compile.refusals import not_compilable, unsupported
from edgeops.tflite.flatbuffer import read_graph
from edgeops.tflite.graph import Subgraph, Tensor

MAX_NODES = 2000
ALIASES = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
_NUMPY = {
    "float32": "<f4",
    "int8": "i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "u1",
}
_ACTIVATIONS = ("float32", "int8")
QUANTIZE_FIX = (
    "convert it with full int8 quantization: edgeops quantize, or [quantization] scheme in a recipe"
)


@dataclass(frozen=True, slots=True)
class Node:
    """One operator; ``padding`` (top, left, bottom, right) and ``clamp`` are what was fused into it."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    clamp: tuple[int, int] = (-128, 127)


@dataclass(frozen=True)
class Network:
    """The nodes of a model in the order of the file; ``alias`` names the tensor whose memory a tensor shares."""

    model: bytes
    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    alias: Mapping[int, int]
    input: int
    output: int

    def root(self, index: int) -> int:
        """The tensor that has the memory of ``index``."""
        while index in self.alias:
            index = self.alias[index]
        return index

    def values(self, index: int) -> NDArray[Any]:
        """A constant's values in its shape."""
        if index < 0 or not self.tensors[index].is_constant:
            raise not_compilable(
                "an operator reads shapes or weights that are no constants", "convert it again"
            )
        return constant_values(self.model, self.tensors[index])

    def argument(self, node: Node, position: int) -> NDArray[Any]:
        """The values of a constant input such as axes or amounts: integers."""
        index = node.inputs[position] if position < len(node.inputs) else -1
        values = self.values(index)
        if values.dtype.kind != "i":
            raise unsupported(node.name, f"its input {position} does not hold integers")
        return values

    def scales(self, index: int) -> NDArray[np.float32]:
        """All scales of a tensor, float32."""
        tensor = self.tensors[index]
        return np.frombuffer(self.model, "<f4", tensor.scales, tensor.scale_at)


def constant_values(model: bytes, tensor: Tensor) -> NDArray[Any]:
    """The values of a constant in its shape."""
    if tensor.dtype not in _NUMPY:
        raise not_compilable(f"a constant has type {tensor.dtype}", QUANTIZE_FIX)
    return np.frombuffer(model, _NUMPY[tensor.dtype], tensor.elements, tensor.data_at).reshape(tensor.shape)


def read_network(model: bytes) -> Network:
    """The network of a ``.tflite``; raises ``DataError`` for what cannot be compiled."""
    graph = read_graph(model)
    main = graph.main
    if len(main.inputs) != 1 or len(main.outputs) != 1:
        raise not_compilable(
            f"it has {len(main.inputs)} inputs and {len(main.outputs)} outputs; a plan has one of each",
            "split it, or ship the .tflite itself to a device that runs TensorFlow Lite Micro",
        )
    live = _live_nodes(main)
    if len(live) > MAX_NODES:
        raise not_compilable(
            f"it has {len(live)} operators; at most {MAX_NODES} are compiled", "make it smaller"
        )
    _check(main, live)
    network = Network(model, main.tensors, live, {}, main.inputs[0], main.outputs[0])
    return _fuse_activations(_fuse_padding(_drop_idle(network)))


def _live_nodes(graph: Subgraph) -> tuple[Node, ...]:
    """The operators that the output depends on. A reshape does not depend on the shape: it is known."""
    needed = set(graph.outputs)
    kept: list[Node] = []
    for operator in reversed(graph.operators):
        if needed.isdisjoint(operator.outputs):
            continue
        inputs = operator.inputs[:1] if operator.name in ALIASES else operator.inputs
        needed.update(inputs)
        kept.append(Node(operator.name, inputs, operator.outputs, operator.options))
    made = set(graph.inputs)
    for node in reversed(kept):
        for index in node.inputs:
            tensor = graph.tensors[index] if index >= 0 else None
            if (
                tensor
                and not (tensor.is_constant or tensor.is_variable or tensor.elements == 0)
                and index not in made
            ):
                raise not_compilable(
                    "its operators read a tensor that nothing has written", "convert it again"
                )
        made.update(node.outputs)
    if not set(graph.outputs) <= made:
        raise not_compilable("nothing writes its output", "convert it again")
    return tuple(reversed(kept))


def _check(graph: Subgraph, nodes: tuple[Node, ...]) -> None:
    for end, index in (("input", graph.inputs[0]), ("output", graph.outputs[0])):
        tensor = graph.tensors[index]
        if tensor.dtype not in _ACTIVATIONS:
            raise not_compilable(
                f"its {end} has type {tensor.dtype}; plans have int8 and float32", QUANTIZE_FIX
            )
    first = graph.tensors[graph.inputs[0]]
    if first.shape and first.shape[0] != 1:
        raise not_compilable(
            f"it takes {first.shape[0]} inputs at once; a device runs one",
            "convert it with a batch of 1",
            shape=list(first.shape),
        )
    for node in nodes:
        for index in node.outputs:
            tensor = graph.tensors[index]
            if tensor.dynamic:
                raise not_compilable(
                    f"the shape {list(tensor.shape)} of what {node.name} writes is open in axis {tensor.dynamic[0]}",
                    "convert it with a fixed input shape",
                )
            if tensor.elements == 0:
                raise not_compilable(f"{node.name} writes a tensor of no elements", "convert it again")
    if first.elements == 0:
        raise not_compilable("its input has no elements", "convert it again")
    if first.dynamic:
        raise not_compilable(
            f"the shape {list(first.shape)} of its input is open in axis {first.dynamic[0]}",
            "convert it with a fixed input shape",
        )


def same_quantization(a: Tensor, b: Tensor) -> bool:
    """Whether equal bytes are equal values in both."""
    return a.dtype == b.dtype and a.scale == b.scale and a.zero_point == b.zero_point


def _drop_idle(network: Network) -> Network:
    """Without operators that move no byte: what they write shares the memory of what they read."""
    alias: dict[int, int] = {}
    nodes: list[Node] = []
    for node in network.nodes:
        if _is_idle(node, network):
            alias[node.outputs[0]] = node.inputs[0]
        else:
            nodes.append(node)
    return replace(network, nodes=tuple(nodes), alias=alias)


def _is_idle(node: Node, network: Network) -> bool:
    if not node.inputs or node.inputs[0] < 0 or not node.outputs:
        return False
    source, made = network.tensors[node.inputs[0]], network.tensors[node.outputs[0]]
    if source.is_constant or source.dtype != made.dtype or source.elements != made.elements:
        return False
    if node.name in ALIASES or node.name in ("PAD", "STRIDED_SLICE"):
        reverses = node.name == "STRIDED_SLICE" and bool((network.argument(node, 3) < 0).any())
        return not reverses
    if node.name == "QUANTIZE":
        return same_quantization(source, made)
    if node.name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        one = node.options.get("filter_h") == node.options.get("filter_w") == 1
        return one and not node.options.get("activation")
    if node.name == "TRANSPOSE":
        order = [int(axis) for axis in network.argument(node, 1).reshape(-1)]
        moved = [axis for axis in order if 0 <= axis < len(source.shape) and source.shape[axis] > 1]
        return moved == sorted(moved)
    return node.name == "CONCATENATION" and len(node.inputs) == 1 and not node.options.get("activation")


def _readers(network: Network) -> dict[int, list[Node]]:
    """The nodes that read each memory, by root; the model's output counts as read by nobody in particular."""
    found: dict[int, list[Node]] = {}
    for node in network.nodes:
        for index in node.inputs:
            if index >= 0:
                found.setdefault(network.root(index), []).append(node)
    return found


def _fuse_padding(network: Network) -> Network:
    """PAD becomes part of the convolutions that read it: what lies outside counts as the zero point there."""
    readers = _readers(network)
    fused: dict[int, tuple[int, tuple[int, int, int, int]]] = {}
    nodes: list[Node] = []
    for node in network.nodes:
        if node.name in ("PAD", "PADV2") and _is_fusible_padding(node, network, readers):
            (top, bottom), (left, right) = network.argument(node, 1)[1:3].tolist()
            fused[node.outputs[0]] = (node.inputs[0], (top, left, bottom, right))
            continue
        if node.inputs and node.inputs[0] in fused:
            source, padding = fused[node.inputs[0]]
            node = replace(node, inputs=(source, *node.inputs[1:]), padding=padding)
        nodes.append(node)
    return replace(network, nodes=tuple(nodes))


def _is_fusible_padding(node: Node, network: Network, readers: dict[int, list[Node]]) -> bool:
    source, made = (network.tensors[index] for index in (node.inputs[0], node.outputs[0]))
    amounts = network.argument(node, 1)
    if amounts.shape != (4, 2) or amounts[[0, 3]].any() or (amounts < 0).any() or source.dtype != "int8":
        return False
    if len(node.inputs) > 2 and network.argument(node, 2).reshape(-1)[:1].tolist() != [made.zero_point]:
        return False
    return (
        same_quantization(source, made)
        and network.root(network.output) != node.outputs[0]
        and all(
            reader.name in ("CONV_2D", "DEPTHWISE_CONV_2D") and reader.inputs[0] == node.outputs[0]
            for reader in readers.get(node.outputs[0], [])
        )
    )


_CLAMPING = frozenset(
    ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D", "ADD", "SUB", "MUL"]
)


def _fuse_activations(network: Network) -> Network:
    """RELU and RELU6 that keep the scale are a clamp: that of the operator before them, where only they read it."""
    readers = _readers(network)
    nodes: list[Node] = []
    alias = dict(network.alias)
    makers: dict[int, int] = {}
    for node in network.nodes:
        clamp = _as_clamp(node, network)
        source = network.root(node.inputs[0]) if clamp else -1
        only_reader = len(readers.get(source, [])) == 1 and source != network.root(network.output)
        if clamp and only_reader and source in makers:
            maker = nodes[makers[source]]
            merged = (max(maker.clamp[0], clamp[0]), min(maker.clamp[1], clamp[1]))
            nodes[makers[source]] = replace(maker, clamp=merged)
            alias[node.outputs[0]] = node.inputs[0]
            continue
        if node.name in _CLAMPING:
            makers[node.outputs[0]] = len(nodes)
        nodes.append(node)
    return replace(network, nodes=tuple(nodes), alias=alias)


def _as_clamp(node: Node, network: Network) -> tuple[int, int] | None:
    if node.name not in ("RELU", "RELU6") or not node.inputs or node.inputs[0] < 0:
        return None
    source, made = (network.tensors[index] for index in (node.inputs[0], node.outputs[0]))
    if source.dtype != "int8" or not same_quantization(source, made) or not made.scale > 0:
        return None
    return quantized_range(made, node.name)


def quantized_range(tensor: Tensor, activation: str) -> tuple[int, int]:
    """The int8 values that an activation leaves: the kernels divide and round in float32."""
    low, high = {"RELU": (0.0, math.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}.get(
        activation, (-math.inf, math.inf)
    )

    def quantized(real: float) -> int:
        with np.errstate(over="ignore"):
            steps = float(np.float32(real) / np.float32(tensor.scale))
        if not abs(steps) < 2**31:
            raise unsupported(activation, f"the scale {tensor.scale:.2g} of its output is too small")
        return tensor.zero_point + math.floor(abs(steps) + 0.5) * (1 if steps >= 0 else -1)

    lowest = -128 if math.isinf(low) else max(-128, quantized(low))
    highest = 127 if math.isinf(high) else min(127, quantized(high))
    if lowest > highest:
        raise unsupported(activation, "its range lies outside of what the output's scale can say")
    return lowest, highest
