"""Whether a TensorFlow Lite file is whole, before native code is allowed to follow its offsets.

The older runtimes trust the offsets of a file and end the process on a truncated one. This walks the
tables that a runtime follows at loading (schema version 3) and checks that each lies inside the file, that
indices point at something, and that no tensor asks for an absurd amount of memory.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from edgeops.core.errors import WireError

IDENTIFIER = b"TFL3"
MAX_MODEL_BYTES = 64 * 1024 * 1024
MAX_TENSOR_ELEMENTS = 64 * 1024 * 1024

_U16 = struct.Struct("<H")
_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class _Table:
    """A table: the absolute positions of the fields that are present, by slot."""

    fields: dict[int, int]


def check_model(model: bytes) -> None:
    """Raise ``WireError`` if ``model`` is not a whole TensorFlow Lite file of an acceptable size."""
    if len(model) > MAX_MODEL_BYTES:
        raise WireError(f"model of {len(model)} bytes where at most {MAX_MODEL_BYTES} are allowed")
    if len(model) < 8 or model[4:8] != IDENTIFIER:
        raise WireError("not a TensorFlow Lite model: the identifier TFL3 is missing")
    try:
        _Walk(model).model()
    except (struct.error, _Broken) as error:
        raise WireError(f"broken TensorFlow Lite model: {error}") from error


class _Broken(Exception):
    """An offset, an index or a size that cannot be."""


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def model(self) -> None:
        model = self._table(_U32.unpack_from(self._data, 0)[0])
        codes = self._tables(model, 1)
        for code in codes:
            self._vector(code, 1, 1)
        buffers = self._tables(model, 4)
        for buffer in buffers:
            self._vector(buffer, 0, 1)
        subgraphs = self._tables(model, 2)
        if not subgraphs:
            raise _Broken("it has no graph")
        for graph in subgraphs:
            self._subgraph(graph, len(codes), len(buffers))
        for entry in self._tables(model, 6):
            self._vector(entry, 0, 1)
        for signature in self._tables(model, 7):
            for slot in (0, 1):
                for mapped in self._tables(signature, slot):
                    self._vector(mapped, 0, 1)

    def _subgraph(self, graph: _Table, codes: int, buffers: int) -> None:
        tensors = self._tables(graph, 0)
        for tensor in tensors:
            self._tensor(tensor, buffers)
        for slot in (1, 2):
            self._indices(graph, slot, 0, len(tensors))
        for operator in self._tables(graph, 3):
            if self._scalar(operator, 0) >= codes:
                raise _Broken("an operator has no code")
            for slot in (1, 2):
                self._indices(operator, slot, -1, len(tensors))
            if 4 in operator.fields:
                self._table(self._follow(operator.fields[4]))
            self._vector(operator, 5, 1)

    def _tensor(self, tensor: _Table, buffers: int) -> None:
        shape = self._ints(tensor, 0)
        if any(size < 0 for size in shape) or math.prod(shape) > MAX_TENSOR_ELEMENTS:
            raise _Broken(f"a tensor has shape {list(shape)}")
        if self._scalar(tensor, 2) >= buffers:
            raise _Broken("a tensor has no buffer")
        self._vector(tensor, 3, 1)
        if 4 in tensor.fields:
            quantization = self._table(self._follow(tensor.fields[4]))
            for slot, width in ((0, 4), (1, 4), (2, 4), (3, 8)):
                self._vector(quantization, slot, width)

    def _indices(self, table: _Table, slot: int, lowest: int, end: int) -> None:
        if any(not lowest <= index < end for index in self._ints(table, slot)):
            raise _Broken("a tensor index points at nothing")

    def _ints(self, table: _Table, slot: int) -> tuple[int, ...]:
        start, count = self._vector(table, slot, 4)
        return struct.unpack_from(f"<{count}i", self._data, start)

    def _tables(self, table: _Table, slot: int) -> list[_Table]:
        start, count = self._vector(table, slot, 4)
        return [self._table(self._follow(start + 4 * index)) for index in range(count)]

    def _scalar(self, table: _Table, slot: int) -> int:
        return int(_U32.unpack_from(self._data, table.fields[slot])[0]) if slot in table.fields else 0

    def _vector(self, table: _Table, slot: int, width: int) -> tuple[int, int]:
        """Where a vector or string begins and how many elements it has; (0, 0) if it is not there."""
        if slot not in table.fields:
            return 0, 0
        at = self._follow(table.fields[slot])
        count = _U32.unpack_from(self._data, at)[0]
        if at + 4 + count * width > len(self._data):
            raise _Broken(f"the file ends at byte {len(self._data)}, inside a vector")
        return at + 4, count

    def _follow(self, at: int) -> int:
        return at + int(_U32.unpack_from(self._data, at)[0])

    def _table(self, at: int) -> _Table:
        vtable = at - _I32.unpack_from(self._data, at)[0]
        if vtable < 0:
            raise _Broken("a table lies outside of the file")
        size, extent = _U16.unpack_from(self._data, vtable)[0], _U16.unpack_from(self._data, vtable + 2)[0]
        if size < 4 or size % 2 or at + extent > len(self._data):
            raise _Broken("a table lies outside of the file")
        offsets = struct.unpack_from(f"<{(size - 4) // 2}H", self._data, vtable + 4)
        if any(offset >= extent for offset in offsets if offset):
            raise _Broken("a field lies outside of its table")
        return _Table({slot: at + offset for slot, offset in enumerate(offsets) if offset})
