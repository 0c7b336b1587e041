"""Interpreters of ``.tflite`` models behind one seam.

``open_interpreter`` takes the first that is installed of ``ai_edge_litert``, ``tflite_runtime`` and
``tensorflow.lite``; all three have the same native interface, so that one small class serves them.
TensorFlow is imported only where nothing lighter is installed, or when it is asked for by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from device_agent.flatbuffer import check_model
from edgeops.core.errors import InputError, MissingExtra, UsageError
from edgeops.core.tensors import TensorSpec

__all__ = ["RUNTIMES", "Interpreter", "TensorSpec", "installed_runtime", "open_interpreter"]


class Interpreter(Protocol):
    """A loaded model that runs one input at a time. Not for use from two threads at once."""

    @property
    def runtime(self) -> str:
        """The library and its version, e.g. ``ai_edge_litert 2.3.0``."""

    @property
    def input(self) -> TensorSpec:
        """The model's one input, without the batch dimension."""

    @property
    def output(self) -> TensorSpec:
        """The model's one output, without the batch dimension."""

    def invoke(self, values: NDArray[np.int8]) -> NDArray[np.int8]:
        """Run the model on one quantized input of the shape ``input.shape``; the result is the caller's.

        Raises ``InputError`` for another shape or dtype; what fails in the library is a ``RuntimeError``.
        """


@dataclass(frozen=True, slots=True)
class Runtime:
    """How one interpreter library is named, imported and installed."""

    name: str
    module: str
    distribution: str
    extra: str


RUNTIMES = (
    Runtime("ai_edge_litert", "ai_edge_litert.interpreter", "ai-edge-litert", "agent"),
    Runtime("tflite_runtime", "tflite_runtime.interpreter", "tflite-runtime", "agent-legacy"),
    Runtime("tensorflow.lite", "tensorflow", "tensorflow", "train"),
)


def open_interpreter(model: bytes, runtime: str | None = None, threads: int = 1) -> Interpreter:
    """Load ``model`` into ``runtime`` (one of ``RUNTIMES`` by name) or into the first that is installed.

    Raises ``MissingExtra`` where none is installed, ``WireError`` for bytes that are not a whole model, and
    ``InputError`` for a model that this seam cannot run (several inputs, a batch, an unknown operator).
    """
    if threads < 1:
        raise UsageError(f"an interpreter needs at least one thread, not {threads}")
    check_model(model)
    label, factory = _load_runtime(runtime)
    try:
        native = factory(model_content=model, num_threads=threads)
        native.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{label} cannot load the model: {_one_line(error)}") from error
    return TfliteInterpreter(label, native)


def installed_runtime(runtime: str | None = None) -> str:
    """What ``open_interpreter`` would take, e.g. ``ai_edge_litert 2.3.0``; or ``MissingExtra``, as there."""
    return _load_runtime(runtime)[0]


class TfliteInterpreter:
    """``Interpreter`` on any library with TensorFlow Lite's Python interface."""

    __slots__ = (
        "_get",
        "_input_index",
        "_native",
        "_output_index",
        "_run",
        "_set",
        "_shape",
        "input",
        "output",
        "runtime",
    )

    def __init__(self, runtime: str, native: Any) -> None:
        """Wrap ``native``, an interpreter whose tensors are allocated."""
        self.runtime = runtime
        taken = _only("input", native.get_input_details())
        given = _only("output", native.get_output_details())
        self.input: TensorSpec = _spec("input", taken)
        self.output: TensorSpec = _spec("output", given)
        self._shape = self.input.shape
        # Bound once: at 50 microseconds an inference, every attribute that is looked up counts.
        self._native = native
        self._input_index: int = taken["index"]
        self._output_index: int = given["index"]
        self._set: Callable[[int, NDArray[np.int8]], None] = native.set_tensor
        self._run: Callable[[], None] = native.invoke
        self._get: Callable[[int], NDArray[np.int8]] = native.get_tensor

    def invoke(self, values: NDArray[np.int8]) -> NDArray[np.int8]:
        """Run the model on one quantized input; see ``Interpreter.invoke``."""
        if values.shape != self._shape:
            raise InputError(
                f"input has shape {list(values.shape)} where the model takes {list(self._shape)}"
            )
        try:
            self._set(self._input_index, values[np.newaxis])
        except ValueError as error:
            raise InputError(
                f"input has dtype {values.dtype} where the model takes {self.input.dtype}"
            ) from error
        self._run()
        # get_tensor already returns a copy
        output: NDArray[np.int8] = self._get(self._output_index)[0]
        return output


def _load_runtime(wanted: str | None) -> tuple[str, Callable[..., Any]]:
    names = [candidate.name for candidate in RUNTIMES]
    if wanted is not None and wanted not in names:
        raise UsageError(f"no interpreter is called {wanted!r}", fix=f"name one of {', '.join(names)}")
    reasons: list[str] = []
    for candidate in RUNTIMES:
        if wanted not in (None, candidate.name):
            continue
        try:
            module = importlib.import_module(candidate.module)
        except ImportError as error:
            # A library that is there and does not load (tflite_runtime beside NumPy 2) is passed over too.
            absent = isinstance(error, ModuleNotFoundError) and error.name == candidate.module.split(".")[0]
            if not absent:
                reasons.append(f"{candidate.name} does not load: {_one_line(error)}")
            continue
        factory = module.lite.Interpreter if candidate.module == "tensorflow" else module.Interpreter
        return f"{candidate.name} {_version(candidate.distribution)}", factory
    extra = next((candidate.extra for candidate in RUNTIMES if candidate.name == wanted), "agent")
    message = f"the interpreter {wanted} is not installed" if wanted else "no interpreter is installed"
    if reasons:
        message += f" ({'; '.join(reasons)})"
    raise MissingExtra(message, fix=f'pip install "edgeops[{extra}]"', extra=extra)


@cache
def _version(distribution: str) -> str:
    return metadata.version(distribution)  # it reads files, and an open process keeps its libraries


def _only(side: str, details: list[dict[str, Any]]) -> dict[str, Any]:
    if len(details) != 1:
        raise InputError(f"the model has {len(details)} {side}s where one is supported")
    return details[0]


def _spec(side: str, details: dict[str, Any]) -> TensorSpec:
    shape = tuple(int(size) for size in details["shape"])
    if not shape or shape[0] != 1:
        raise InputError(f"the model's {side} has shape {list(shape)} where a batch of one is supported")
    scale, zero_point = details["quantization"]
    return TensorSpec(shape[1:], np.dtype(details["dtype"]).name, float(scale), int(zero_point))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
