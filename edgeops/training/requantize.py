"""New float weights in an int8 model's own scales: the same file, with other numbers in some of its buffers.

Both models come from the same converter, so the float one shows each weight as the int8 one has it: transposed,
and with normalisation folded in. That it is the same weight is not assumed: the parent's own float weights must
give the parent's bytes, or nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError
from edgeops.targets.flatbuffer import read_graph
from edgeops.targets.graph import Subgraph, Tensor
from edgeops.training.arrays import Float32

_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "int8": np.dtype("i1"),
    "int32": np.dtype("<i4"),
}
# weights are symmetric, so -128 is not used; biases have all of 32 bits
_LARGEST = {"int8": 2**7 - 1, "int32": 2**31 - 1}
_CASTS = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True, eq=False)
class Requantized:
    """``tflite`` with new weights; how many int8 and int32 values ``changed``, and how many were ``saturated``:
    beyond what the parent's scale can say, and set to its end.
    """

    tflite: bytes
    changed: int
    saturated: int
    values: int


@dataclass(frozen=True)
class _Constant:
    """A constant of both models: its tensor in each, and the axis that has a scale each (None: one for all)."""

    in_int8: Tensor
    in_float: Tensor
    axis: int | None


class Requantizer:
    """The constants of an int8 model that were made of those of a float one."""

    def __init__(self, int8_tflite: bytes, float_tflite: bytes) -> None:
        """Find them; raises ``InputError`` when the two are not the same model."""
        self._int8, self._float = int8_tflite, float_tflite
        self._graph = read_graph(float_tflite).main
        self._constants: list[_Constant] = []
        self._others: list[Tensor] = []  # float constants that are not found in the int8 model
        for in_int8, in_float in _pairs(read_graph(int8_tflite).main, self._graph):
            found = self._recognised(in_int8, in_float)
            if found is not None:
                self._constants.append(found)
            elif in_int8.dtype == "int8" and in_int8.scales > 1:
                raise InputError(
                    f"the weights {in_int8.name!r} are not those of the float model: stored weights and int8 "
                    "model do not belong together",
                    fix="train the model again",
                    tensor=in_int8.name,
                )
            else:
                self._others.append(in_float)
        if not self._constants:
            raise InputError("the int8 model has none of the float model's weights")

    def __len__(self) -> int:
        """How many constants were found."""
        return len(self._constants)

    def apply(self, float_tflite: bytes, keep_within: float = 0.0) -> Requantized:
        """The int8 model with the weights of another float model of the same architecture.

        An int8 value stays as it is where its float weight moved by less than ``keep_within`` steps of its
        scale: the fewer differ, the smaller is the update. Biases always follow. Raises ``InputError`` for a
        model of another architecture, and where something differs that has no counterpart in the int8 model.
        """
        graph = read_graph(float_tflite).main
        if _outline(graph) != _outline(self._graph):
            raise InputError("the fine-tuned model has another architecture than its parent")
        places = {id(tensor): index for index, tensor in enumerate(self._graph.tensors)}
        for other in self._others:
            now = graph.tensors[places[id(other)]]
            if not np.array_equal(_values(self._float, other), _values(float_tflite, now)):
                raise InputError(f"{other.name!r} changed, and is not a weight of the int8 model")
        result = bytearray(self._int8)
        written: dict[int, bytes] = {}
        changed = saturated = values = 0
        for constant in self._constants:
            tensor, scales = constant.in_int8, self._scales(constant)
            new = _values(float_tflite, graph.tensors[places[id(constant.in_float)]])
            before = _values(self._int8, tensor)
            rounded, beyond = _rounded(new, scales, tensor.dtype)
            if tensor.dtype == "int8":
                moved = np.abs(new - _values(self._float, constant.in_float)) / scales
                rounded = np.where(moved < keep_within, before, rounded)
            raw = rounded.tobytes()
            # one buffer may serve two tensors that were equal, and need not stay so
            if written.setdefault(tensor.data_at, raw) != raw:
                raise InputError(
                    f"{tensor.name!r} shares its data with another tensor that changed otherwise"
                )
            result[tensor.data_at : tensor.data_at + len(raw)] = raw
            changed += int((rounded != before).sum())
            saturated += beyond
            values += rounded.size
        return Requantized(bytes(result), changed, saturated, values)

    def _recognised(self, in_int8: Tensor, in_float: Tensor) -> _Constant | None:
        """The pair as a constant, if the float values give the int8 model's bytes."""
        if in_int8.dtype not in _LARGEST or in_float.dtype != "float32" or not in_int8.scales:
            return None
        if in_int8.shape != in_float.shape:
            return None
        axes = [axis for axis, size in enumerate(in_int8.shape) if size == in_int8.scales]
        for axis in [None] if in_int8.scales == 1 else axes:
            constant = _Constant(in_int8, in_float, axis)
            rounded, _ = _rounded(_values(self._float, in_float), self._scales(constant), in_int8.dtype)
            if np.array_equal(rounded, _values(self._int8, in_int8)):
                return constant
        return None

    def _scales(self, constant: _Constant) -> Float32:
        """The scales, in a shape that multiplies the constant's."""
        tensor = constant.in_int8
        scales = np.frombuffer(self._int8, "<f4", count=tensor.scales, offset=tensor.scale_at)
        shape = [1] * len(tensor.shape)
        if constant.axis is not None:
            shape[constant.axis] = -1
        return scales.reshape(shape)


def _pairs(int8: Subgraph, real: Subgraph) -> Iterator[tuple[Tensor, Tensor]]:
    """The constants that stand at the same place of the same operators."""
    operators = [op for op in int8.operators if op.name not in _CASTS]
    counterparts = [op for op in real.operators if op.name not in _CASTS]
    if [op.name for op in operators] != [op.name for op in counterparts]:
        raise InputError("int8 and float model do not have the same operators")
    for operator, counterpart in zip(operators, counterparts, strict=True):
        for mine, its in zip(operator.inputs, counterpart.inputs, strict=False):
            if mine >= 0 and its >= 0 and int8.tensors[mine].is_constant and real.tensors[its].is_constant:
                yield int8.tensors[mine], real.tensors[its]


def _outline(graph: Subgraph) -> list[object]:
    tensors = [(tensor.shape, tensor.dtype, tensor.is_constant) for tensor in graph.tensors]
    return [tensors, [(operator.name, operator.inputs, operator.outputs) for operator in graph.operators]]


def _values(model: bytes, tensor: Tensor) -> NDArray[Any]:
    dtype = _DTYPES.get(tensor.dtype, np.dtype("u1"))
    count = tensor.elements if tensor.dtype in _DTYPES else tensor.constant_bytes
    shape = tensor.shape if tensor.dtype in _DTYPES else (count,)
    return np.frombuffer(model, dtype, count=count, offset=tensor.data_at).reshape(shape)


def _rounded(values: NDArray[Any], scales: Float32, dtype: str) -> tuple[NDArray[Any], int]:
    """``values`` in steps of ``scales``, halves to even as the converter does, and how many did not fit."""
    largest, kind = _LARGEST[dtype], _DTYPES[dtype]
    steps = np.rint(values.astype(np.float64) / scales.astype(np.float64))
    beyond = int((np.abs(steps) > largest).sum())
    clipped: NDArray[Any] = np.clip(steps, -largest, largest).astype(kind)
    return clipped, beyond
