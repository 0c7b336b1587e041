"""A ``.tflite`` file as a ``Graph``, read with bounds: no byte of it is believed before it was checked.

Pure Python, nothing of a third party touches the bytes. Every offset, length, index and shape is checked
against the file; the work is bounded too, since offsets may point many tables at one place. The layout is
that of FlatBuffers (https://flatbuffers.dev/internals) and of the TensorFlow Lite schema, version 3.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from edgeops.core.errors import DataError
from edgeops.tflite.graph import TENSOR_TYPES, Graph, Operator, Subgraph, Tensor
from edgeops.tflite.operators import BUILTIN_OPERATORS, custom_name
from edgeops.tflite.options import OPTIONS

MAX_MODEL_BYTES = 64 * 1024 * 1024
MAX_TENSOR_ELEMENTS = 1 << 30
MAX_ELEMENTS_READ = 1_000_000
MAX_RANK = 8
MAX_OPERATOR_CODES = 1000

_U8, _U16, _U32 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<I")
_I8, _I32, _I64, _F32 = struct.Struct("<b"), struct.Struct("<i"), struct.Struct("<q"), struct.Struct("<f")
_CUSTOM = BUILTIN_OPERATORS.index("CUSTOM")
_PLACEHOLDER = BUILTIN_OPERATORS.index("PLACEHOLDER_FOR_GREATER_OP_CODES")


def read_graph(model: bytes) -> Graph:
    """The graph of a TensorFlow Lite model.

    Raises ``DataError`` for bytes that are not one, are damaged, or ask for more than any device has.
    """
    if len(model) > MAX_MODEL_BYTES:
        raise _not_a_model(f"it has {len(model)} bytes; at most {MAX_MODEL_BYTES} are read")
    if not model:
        raise _not_a_model("the file is empty")
    if len(model) < 8 or model[4:8] != b"TFL3":
        raise _not_a_model("the identifier TFL3 is missing")
    try:
        return _Reader(model).graph()
    except struct.error:
        raise _not_a_model(f"the file ends at byte {len(model)}, inside a table") from None
    except _Damaged as error:
        raise _not_a_model(str(error)) from None


def _not_a_model(problem: str) -> DataError:
    return DataError(
        f"not a usable TensorFlow Lite model: {problem}",
        fix="convert the model again, or fetch the file again if it was copied",
        problem=problem,
    )


class _Damaged(Exception):
    """An offset, a count, an index or a shape that cannot be."""


@dataclass(frozen=True, slots=True)
class _Table:
    """Where the present fields of a table lie, by slot."""

    fields: dict[int, int]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_ELEMENTS_READ

    def graph(self) -> Graph:
        root = self._table(self._offset(0))
        codes = [self._operator_name(code) for code in self._tables(root, 1)]
        if len(codes) > MAX_OPERATOR_CODES:
            raise _Damaged(f"it lists {len(codes)} different operators")
        buffers = [self._buffer(buffer) for buffer in self._tables(root, 4)]
        subgraphs = tuple(self._subgraph(table, codes, buffers) for table in self._tables(root, 2))
        if not subgraphs:
            raise _Damaged("it holds no graph")
        if not subgraphs[0].operators:
            raise _Damaged("its graph has no operators")
        return Graph(subgraphs, len(self._data))

    def _operator_name(self, table: _Table) -> str:
        # the first 127 operators fit the older field of one byte; later ones are in the newer field
        code = max(self._scalar(table, 0, _I8), self._scalar(table, 3, _I32))
        if not 0 <= code < len(BUILTIN_OPERATORS) or code == _PLACEHOLDER:
            raise _Damaged(f"it uses operator {code}, which the schema does not know")
        if code == _CUSTOM:
            return custom_name(self._string(table, 1))
        return BUILTIN_OPERATORS[code]

    def _buffer(self, table: _Table) -> tuple[int, int]:
        """Where a buffer's data begins and how many bytes it has."""
        if 1 in table.fields or 2 in table.fields:
            raise _Damaged("its weights lie outside of the flatbuffer, which microcontrollers do not read")
        return self._vector(table, 0, 1)

    def _subgraph(self, table: _Table, codes: list[str], buffers: list[tuple[int, int]]) -> Subgraph:
        tensors = tuple(self._tensor(entry, buffers) for entry in self._tables(table, 0))
        return Subgraph(
            tensors,
            self._indices(table, 1, 0, len(tensors)),
            self._indices(table, 2, 0, len(tensors)),
            tuple(self._operator(entry, codes, len(tensors)) for entry in self._tables(table, 3)),
        )

    def _operator(self, table: _Table, codes: list[str], tensors: int) -> Operator:
        code = self._scalar(table, 0, _U32)
        if code >= len(codes):
            raise _Damaged(f"an operator has code {code} of {len(codes)}")
        inputs, outputs = self._indices(table, 1, -1, tensors), self._indices(table, 2, 0, tensors)
        self._vector(table, 5, 1)
        options = (
            self._options(codes[code], self._table(self._offset(table.fields[4])))
            if 4 in table.fields
            else {}
        )
        return Operator(codes[code], inputs, outputs, options)

    def _options(self, name: str, table: _Table) -> dict[str, float]:
        """The operator's options; what the file leaves out is as the schema has it."""
        found: dict[str, float] = {}
        for option in OPTIONS.get(name, ()):
            found[option.name] = option.default
            if option.slot in table.fields:
                found[option.name] = option.form.unpack_from(self._data, table.fields[option.slot])[0]
        return found

    def _tensor(self, table: _Table, buffers: list[tuple[int, int]]) -> Tensor:
        name = self._string(table, 3)
        shape = self._integers(table, 0)
        if len(shape) > MAX_RANK:
            raise _Damaged(f"tensor {name!r} has a shape of {len(shape)} numbers")
        if any(size < 0 for size in shape):
            raise _Damaged(f"tensor {name!r} has shape {list(shape)}")
        if math.prod(shape) > MAX_TENSOR_ELEMENTS:
            raise _Damaged(f"tensor {name!r} has shape {list(shape)}: too large for any device")
        kind, buffer = self._scalar(table, 1, _I8), self._scalar(table, 2, _U32)
        if not 0 <= kind < len(TENSOR_TYPES):
            raise _Damaged(f"tensor {name!r} has type {kind}, which the schema does not know")
        if buffer >= len(buffers):
            raise _Damaged(f"tensor {name!r} has buffer {buffer} of {len(buffers)}")
        scales, scale, start = 0, 0.0, 0
        zero_points, zero_point, zero_point_at, axis = 0, 0, 0, 0
        if 4 in table.fields:
            quantization = self._table(self._offset(table.fields[4]))
            start, scales = self._vector(quantization, 2, 4)
            scale = float(_F32.unpack_from(self._data, start)[0]) if scales else 0.0
            zero_point_at, zero_points = self._vector(quantization, 3, 8)
            zero_point = int(_I64.unpack_from(self._data, zero_point_at)[0]) if zero_points else 0
            axis = self._scalar(quantization, 6, _I32)
        dtype, bits = TENSOR_TYPES[kind]
        (data_at, held), needed = buffers[buffer], (math.prod(shape) * bits + 7) // 8
        if held and dtype != "string" and held < needed:
            raise _Damaged(f"tensor {name!r} needs {needed} bytes of data; its buffer has {held}")
        is_variable = bool(self._scalar(table, 5, _U8))
        # the batch may be open: a microcontroller runs one input at a time
        dynamic = tuple(at for at, size in enumerate(self._integers(table, 7)) if size < 0 and at > 0)
        quantized = (zero_points, zero_point, zero_point_at, axis)
        return Tensor(
            name, shape, dtype, held, scales, scale, start, is_variable, data_at, *quantized, dynamic
        )

    def _indices(self, table: _Table, slot: int, lowest: int, end: int) -> tuple[int, ...]:
        indices = self._integers(table, slot)
        if any(not lowest <= index < end for index in indices):
            raise _Damaged(f"an index in {list(indices[:8])} names none of {end} tensors")
        return indices

    def _integers(self, table: _Table, slot: int) -> tuple[int, ...]:
        start, count = self._vector(table, slot, 4)
        self._spend(count)
        return struct.unpack_from(f"<{count}i", self._data, start)

    def _string(self, table: _Table, slot: int) -> str:
        start, count = self._vector(table, slot, 1)
        return self._data[start : start + min(count, 200)].decode("utf-8", "replace")

    def _tables(self, table: _Table, slot: int) -> list[_Table]:
        start, count = self._vector(table, slot, 4)
        self._spend(count)
        return [self._table(self._offset(start + 4 * index)) for index in range(count)]

    def _scalar(self, table: _Table, slot: int, form: struct.Struct) -> int:
        """A number of a table; 0, the schema's default for all that are read here, where it is left out."""
        if slot not in table.fields:
            return 0
        return int(form.unpack_from(self._data, table.fields[slot])[0])

    def _vector(self, table: _Table, slot: int, width: int) -> tuple[int, int]:
        """Where a vector or string begins and how many elements it has; (0, 0) where it is left out."""
        if slot not in table.fields:
            return 0, 0
        at = self._offset(table.fields[slot])
        count = int(_U32.unpack_from(self._data, at)[0])
        if at + 4 + count * width > len(self._data):
            raise _Damaged(f"the file ends at byte {len(self._data)}, inside a vector of {count}")
        return at + 4, count

    def _offset(self, at: int) -> int:
        return at + int(_U32.unpack_from(self._data, at)[0])

    def _table(self, at: int) -> _Table:
        vtable = at - int(_I32.unpack_from(self._data, at)[0])
        if vtable < 0:
            raise _Damaged("a table lies outside of the file")
        size, extent = _U16.unpack_from(self._data, vtable)[0], _U16.unpack_from(self._data, vtable + 2)[0]
        if size < 4 or size % 2 or at + extent > len(self._data):
            raise _Damaged("a table lies outside of the file")
        slots = (size - 4) // 2
        self._spend(slots)
        offsets = struct.unpack_from(f"<{slots}H", self._data, vtable + 4)
        if any(offset >= extent for offset in offsets):
            raise _Damaged("a field lies outside of its table")
        return _Table({slot: at + offset for slot, offset in enumerate(offsets) if offset})

    def _spend(self, elements: int) -> None:
        self._left -= elements
        if self._left < 0:
            raise _Damaged(f"it has more than {MAX_ELEMENTS_READ} entries")
