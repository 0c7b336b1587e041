"""New float weights in an int8 model's own scales: the same file, with other numbers in some of its buffers.

Both models come from the same converter, so the float one shows each weight as the int8 one has it: transposed,
and with normalisation folded in. That it is the same weight is not assumed: the parent's own float weights must
give the parent's bytes, but for halves that the converter rounded the other way, or nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError
from edgeops.tflite.flatbuffer import read_graph
from edgeops.tflite.graph import Operator, Subgraph, Tensor
from edgeops.training.arrays import Float32

_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "int8": np.dtype("i1"),
    "int32": np.dtype("<i4"),
}
# weights are symmetric, so -128 is not used; biases have all of 32 bits
_LARGEST = {"int8": 2**7 - 1, "int32": 2**31 - 1}
# the converter divides in float32, and a value near a half may fall to either side
_FLOAT32 = 2.0**-21
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


_Place = tuple[int, int]  # an operator, casts not counted, and which of its inputs


@dataclass(frozen=True)
class _Weight:
    """A constant of the int8 model, and the axis that has a scale each (None: one for all)."""

    tensor: Tensor
    axis: int | None


class Requantizer:
    """The constants of an int8 model that were made of those of a float one."""

    def __init__(self, int8_tflite: bytes, float_tflite: bytes) -> None:
        """Find them; raises ``InputError`` when the two are not the same model."""
        self._int8, self._float = int8_tflite, float_tflite
        graph, counterpart = read_graph(int8_tflite).main, read_graph(float_tflite).main
        if [op.name for op in _operators(graph)] != [op.name for op in _operators(counterpart)]:
            raise InputError("int8 and float model do not have the same operators")
        self._given = _constants(counterpart)
        self._outline = _outline(counterpart)
        self._weights: dict[_Place, _Weight] = {}
        for place, tensor in _constants(graph).items():
            found = self._recognised(place, tensor)
            if found is not None:
                self._weights[place] = found
            elif tensor.scales > 1 or (tensor.dtype == "int32" and tensor.scales):
                raise InputError(
                    f"the weights {tensor.name!r} are not those of the float model: stored weights and int8 "
                    "model do not belong together",
                    fix="train the model again",
                    tensor=tensor.name,
                )
        if not self._weights:
            raise InputError("the int8 model has none of the float model's weights")

    def __len__(self) -> int:
        """How many weights were found."""
        return len(self._weights)

    def apply(self, float_tflite: bytes, keep_within: float = 0.0) -> Requantized:
        """The int8 model with the weights of another float model of the same architecture.

        An int8 value stays as it is where its float weight moved by less than ``keep_within`` steps of its
        scale: the fewer differ, the smaller is the update. Biases always follow. Raises ``InputError`` for a
        model of another architecture, and where something differs that has no counterpart in the int8 model.
        """
        graph = read_graph(float_tflite).main
        given = _constants(graph)
        if _outline(graph) != self._outline:
            raise InputError("the fine-tuned model has another architecture than its parent")
        self._refuse_other_changes(float_tflite, given)
        result = bytearray(self._int8)
        written: dict[int, bytes] = {}
        changed = saturated = values = 0
        for place, weight in self._weights.items():
            tensor, scales = weight.tensor, self._scales(weight)
            new = _float_values(float_tflite, given.get(place), tensor.shape)
            now = _values(self._int8, tensor)
            rounded, beyond = _rounded(new, scales, tensor.dtype)
            if tensor.dtype == "int8":
                moved = (
                    np.abs(new - _float_values(self._float, self._given.get(place), tensor.shape)) / scales
                )
                rounded = np.where((moved == 0) | (moved < keep_within), now, rounded)
            raw = rounded.tobytes()
            # one buffer may serve two tensors that were equal, and need not stay so
            if written.setdefault(tensor.data_at, raw) != raw:
                raise InputError(
                    f"{tensor.name!r} shares its data with another tensor that changed otherwise",
                    fix="train the model again",
                    tensor=tensor.name,
                )
            result[tensor.data_at : tensor.data_at + len(raw)] = raw
            changed += int((rounded != now).sum())
            saturated += beyond
            values += rounded.size
        return Requantized(bytes(result), changed, saturated, values)

    def _refuse_other_changes(self, float_tflite: bytes, given: Mapping[_Place, Tensor]) -> None:
        """What has no counterpart in the int8 model must be what it was."""
        for place in (self._given.keys() | given.keys()) - self._weights.keys():
            before, after = self._given.get(place), given.get(place)
            if before is not None and after is not None and before.shape == after.shape:
                same = np.array_equal(_values(self._float, before), _values(float_tflite, after))
            else:
                same = False
            if same:
                continue
            tensor = after or before
            assert tensor is not None  # the place is of one of the two
            raise InputError(
                f"{tensor.name!r} changed, and has no place in the int8 model",
                fix="train the model again",
                tensor=tensor.name,
            )

    def _recognised(self, place: _Place, tensor: Tensor) -> _Weight | None:
        """The tensor as a weight, if the float values of the same place give its bytes."""
        source = self._given.get(place)
        if tensor.dtype not in _LARGEST or not tensor.scales or (source and source.shape != tensor.shape):
            return None
        if source is not None and source.dtype != "float32":
            return None
        wanted = _float_values(self._float, source, tensor.shape)
        axes = [axis for axis, size in enumerate(tensor.shape) if size == tensor.scales]
        for axis in [None] if tensor.scales == 1 else axes:
            weight = _Weight(tensor, axis)
            steps = np.abs(_steps(wanted, self._scales(weight), tensor.dtype) - _values(self._int8, tensor))
            if (steps <= 0.5 + _FLOAT32 * np.abs(_values(self._int8, tensor), dtype=np.float64)).all():
                return weight
        return None

    def _scales(self, weight: _Weight) -> Float32:
        """The scales, in a shape that multiplies the weight's."""
        tensor = weight.tensor
        scales = np.frombuffer(self._int8, "<f4", count=tensor.scales, offset=tensor.scale_at)
        shape = [1] * len(tensor.shape)
        if weight.axis is not None:
            shape[weight.axis] = -1
        return scales.reshape(shape)


def _operators(graph: Subgraph) -> list[Operator]:
    return [operator for operator in graph.operators if operator.name not in _CASTS]


def _constants(graph: Subgraph) -> dict[_Place, Tensor]:
    """By place and not by tensor: constants that are equal by chance may be one tensor."""
    return {
        (number, slot): graph.tensors[index]
        for number, operator in enumerate(_operators(graph))
        for slot, index in enumerate(operator.inputs)
        if index >= 0 and graph.tensors[index].is_constant
    }


def _outline(graph: Subgraph) -> list[object]:
    """What must be equal for constants at the same place to be the same constant.

    Biases are left out: the converter leaves out those that are all zero.
    """
    return [
        (
            operator.name,
            [(graph.tensors[index].shape, graph.tensors[index].dtype) for index in operator.inputs[:2]],
        )
        for operator in _operators(graph)
    ]


def _float_values(model: bytes, tensor: Tensor | None, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.zeros(shape, np.float32) if tensor is None else _values(model, tensor)


def _values(model: bytes, tensor: Tensor) -> NDArray[Any]:
    dtype = _DTYPES.get(tensor.dtype, np.dtype("u1"))
    count = tensor.elements if tensor.dtype in _DTYPES else tensor.constant_bytes
    shape = tensor.shape if tensor.dtype in _DTYPES else (count,)
    return np.frombuffer(model, dtype, count=count, offset=tensor.data_at).reshape(shape)


def _steps(values: NDArray[Any], scales: Float32, dtype: str) -> NDArray[np.float64]:
    """``values`` in steps of ``scales``, within what the type can say."""
    largest = _LARGEST[dtype]
    return np.clip(values.astype(np.float64) / scales.astype(np.float64), -largest, largest)


def _rounded(values: NDArray[Any], scales: Float32, dtype: str) -> tuple[NDArray[Any], int]:
    """``values`` in steps of ``scales``, halves to even, and how many did not fit."""
    wanted = np.rint(values.astype(np.float64) / scales.astype(np.float64))
    beyond = int((np.abs(wanted) > _LARGEST[dtype]).sum())
    rounded: NDArray[Any] = np.rint(_steps(values, scales, dtype)).astype(_DTYPES[dtype])
    return rounded, beyond
