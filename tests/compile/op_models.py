"""Small int8 models, made of flatbuffer tables directly: any operator with any options, in a millisecond.

``differences(model)`` runs one under TensorFlow Lite Micro and as a plan, and counts the bytes that differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from compile.plan_interpreter import Runner

from edgeops.compile import CompiledPlan, compile_plan
from edgeops.tflite.graph import TENSOR_TYPES
from edgeops.tflite.operators import BUILTIN_OPERATORS

_TYPES = {name: number for number, (name, _) in enumerate(TENSOR_TYPES)}
ARENA = 1 << 21


@cache
def schema() -> ModuleType:
    return pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")


@dataclass
class Model:
    """A model under construction; tensors are named by their number."""

    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    buffers: list[bytes] = field(default_factory=lambda: [b""])

    def tensor(
        self,
        shape: tuple[int, ...],
        scale: float | np.ndarray | None = 0.05,
        zero_point: int = 0,
        dtype: str = "int8",
        data: np.ndarray | None = None,
        axis: int = 0,
        variable: bool = False,
        signature: tuple[int, ...] | None = None,
    ) -> int:
        quantization = None
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quantization = schema().QuantizationParametersT(
                scale=scales, zeroPoint=np.full(len(scales), zero_point, np.int64), quantizedDimension=axis
            )
        number = 0
        if data is not None:
            number = len(self.buffers)
            self.buffers.append(np.ascontiguousarray(data).tobytes())
        self.tensors.append(
            schema().TensorT(
                shape=np.asarray(shape, np.int32),
                type=_TYPES[dtype],
                buffer=number,
                name=f"t{len(self.tensors)}",
                quantization=quantization,
                isVariable=variable,
                shapeSignature=None if signature is None else np.asarray(signature, np.int32),
            )
        )
        return len(self.tensors) - 1

    def integers(self, values: Any) -> int:
        array = np.asarray(values, np.int32)
        return self.tensor(array.shape, None, dtype="int32", data=array)

    def weights(self, rng: np.random.Generator, shape: tuple[int, ...], scale: Any, axis: int = 0) -> int:
        return self.tensor(shape, scale, data=rng.integers(-127, 128, shape, np.int8), axis=axis)

    def bias(self, rng: np.random.Generator, count: int, scale: Any, size: int = 2000) -> int:
        return self.tensor((count,), scale, dtype="int32", data=rng.integers(-size, size, count, np.int32))

    def add(self, name: str, inputs: list[int], outputs: list[int], options: str = "", **fields: Any) -> None:
        if name not in self.codes:
            self.codes.append(name)
        made, kind = None, 0
        if options:
            made = getattr(schema(), f"{options}T")(**fields)
            kind = getattr(schema().BuiltinOptions, options)
        self.operators.append(
            schema().OperatorT(
                opcodeIndex=self.codes.index(name),
                inputs=np.asarray(inputs, np.int32),
                outputs=np.asarray(outputs, np.int32),
                builtinOptionsType=kind,
                builtinOptions=made,
            )
        )

    def content(self, inputs: list[int], outputs: list[int]) -> bytes:
        flatbuffers = pytest.importorskip("flatbuffers")
        codes = []
        for name in self.codes:
            number = BUILTIN_OPERATORS.index(name)
            codes.append(
                schema().OperatorCodeT(builtinCode=number, deprecatedBuiltinCode=min(number, 127), version=1)
            )
        graph = schema().SubGraphT(
            tensors=self.tensors,
            inputs=np.asarray(inputs, np.int32),
            outputs=np.asarray(outputs, np.int32),
            operators=self.operators,
        )
        buffers = [
            schema().BufferT(data=np.frombuffer(held, np.uint8) if held else None) for held in self.buffers
        ]
        model = schema().ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)
        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def interpreter(model: bytes, arena: int = ARENA) -> Any:
    """TensorFlow Lite Micro with the model; skips where its wheel does not exist."""
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    return runtime.Interpreter.from_bytes(model, arena_size=arena)


def inputs_for(plan: CompiledPlan, count: int, seed: int) -> list[np.ndarray]:
    """Inputs of all kinds: noise, the ends of the range, one value throughout."""
    rng = np.random.default_rng(seed)
    shape = plan.input.shape
    if plan.input.dtype == "float32":
        return [rng.normal(0, 2, shape).astype(np.float32) for _ in range(count)]
    kinds = (
        lambda: rng.integers(-128, 128, shape, np.int8),
        lambda: rng.choice(np.asarray([-128, 127], np.int8), shape),
        lambda: np.full(shape, rng.integers(-128, 128), np.int8),
    )
    return [np.asarray(kinds[at % 3 if at > 2 else 0]()) for at in range(count)]


def differences(model: bytes, count: int = 6, seed: int = 7) -> int:
    """How many output values differ, over ``count`` inferences one after the other in the same interpreter."""
    plan = compile_plan(model)
    oracle, runner = interpreter(model), Runner(plan.plan)
    differing = seen = 0
    for given in inputs_for(plan, count, seed):
        oracle.set_input(given, 0)
        oracle.invoke()
        expected = np.asarray(oracle.get_output(0))
        assert expected.nbytes == plan.output.bytes
        answer = np.frombuffer(runner.run(given.tobytes()), expected.dtype).reshape(expected.shape)
        differing += int((answer != expected).sum())
        seen += expected.size
    assert seen > 0
    return differing
