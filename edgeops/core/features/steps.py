"""Preprocessing: the steps of a manifest, applied in order to a raw input, and undone where that is possible."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError
from edgeops.core.features.operations import MAX_VALUES, OPERATIONS, Operation
from edgeops.core.features.parameters import Named, check_named, from_nano, to_nano
from edgeops.core.features.quantize import dequantize, quantize
from edgeops.core.manifest import Manifest, Step

__all__ = [
    "OPERATIONS",
    "Operation",
    "apply_steps",
    "apply_to_batch",
    "check_input",
    "make_step",
    "named_parameters",
    "output_shape",
    "quantized_input",
    "raw_input",
    "scale_step",
    "undo_steps",
    "undoable",
]

Float32 = NDArray[np.float32]
Shape = tuple[int, ...]


def make_step(op: str, /, **named: object) -> Step:
    """A step by its parameters' names, defaults filled in; numbers are rounded to billionths.

    Raises ``InputError`` naming operation and parameter for anything that ``OPERATIONS`` does not have.
    """
    operation = _operation(op)
    checked = check_named(op, operation.parameters, named)
    return Step(op, to_nano(operation.parameters, checked))


def scale_step(factor: float, offset: float) -> Step:
    """``x * factor + offset`` with both rounded to billionths."""
    return make_step("scale", factor=factor, offset=offset)


def named_parameters(step: Step) -> Named:
    """A step's parameters by name: the inverse of ``make_step``; raises ``InputError`` for an unknown step."""
    return _bound(step)[1]


def apply_steps(steps: Sequence[Step], values: Float32) -> Float32:
    """Run the steps on one item, float32 of the raw shape to float32 of ``output_shape``.

    Raises ``InputError`` naming the step for an unknown operation or a shape that it does not take.
    """
    for step in steps:
        operation, named = _bound(step)
        try:
            values = operation.apply(named, values)
        except InputError as error:
            raise _of_step(step, error) from error
    return values


def apply_to_batch(steps: Sequence[Step], batch: Float32) -> Float32:
    """Run the steps on (N, *raw shape) float32, to (N, *output shape): exactly what each item gives alone.

    Raises as ``apply_steps`` does.
    """
    for step in steps:
        operation, named = _bound(step)
        try:
            batch = operation.apply_to_batch(named, batch)
        except InputError as error:
            raise _of_step(step, error) from error
    return batch


def output_shape(steps: Sequence[Step], raw_shape: Sequence[int]) -> Shape:
    """The shape that ``apply_steps`` gives for a raw input of this shape; nothing is computed.

    Raises ``InputError`` naming the step that does not suit what comes before it.
    """
    shape = tuple(raw_shape)
    _refuse_huge("the raw input", shape)
    for step in steps:
        operation, named = _bound(step)
        try:
            shape = operation.output_shape(named, shape)
            _refuse_huge("its result", shape)
        except InputError as error:
            raise _of_step(step, error) from error
    return shape


def undoable(steps: Sequence[Step]) -> bool:
    """Whether ``undo_steps`` can give the raw input back; raises ``InputError`` for an unknown operation."""
    return all(operation.invertible(named) for operation, named in map(_bound, steps))


def undo_steps(steps: Sequence[Step], values: Float32) -> Float32:
    """The inverse of ``apply_steps``: back to the raw unit, to add captured inputs to a dataset.

    Raises ``InputError`` naming the first step that cannot be undone.
    """
    for step in reversed(steps):
        operation, named = _bound(step)
        try:
            values = operation.undo(named, values)
        except InputError as error:
            raise _of_step(step, error) from error
    return values


def check_input(raw: object, manifest: Manifest) -> Float32:
    """One raw input as float32 of the manifest's raw shape.

    Integers and floats are taken, and a missing trailing channel of one is added. Raises ``InputError``
    for another shape, another dtype (text, objects, complex, booleans) or a value that is not finite.
    """
    try:
        values = np.asarray(raw)
    except ValueError as error:
        raise InputError(f"the input is not a regular array: {error}") from error
    if values.dtype.kind not in "iuf":
        raise InputError(
            f"the input has dtype {values.dtype}; integers or floats are needed", dtype=str(values.dtype)
        )
    shape = tuple(manifest.raw_shape)
    if values.shape != shape and shape[-1:] == (1,) and values.shape == shape[:-1]:
        values = values[..., np.newaxis]
    if values.shape != shape:
        raise InputError(f"the input has shape {values.shape}; the model takes {shape}", shape=values.shape)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, and is refused below
        result = values.astype(np.float32)
    if not np.isfinite(result).all():
        raise InputError("the input holds NaN or infinity", missing=True)
    return result


def quantized_input(manifest: Manifest, raw: object) -> NDArray[np.int8]:
    """What the model gets for one raw input: checked, preprocessed, quantized; int8 of the input's shape.

    Raises ``InputError`` for an input that ``check_input`` refuses, that preprocessing makes too large for
    float32, or for steps that do not give the model's shape.
    """
    spec = manifest.input.spec
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        values = apply_steps(manifest.preprocessing, check_input(raw, manifest))
    if values.shape != tuple(spec.shape):
        raise InputError(
            f"preprocessing gives the shape {values.shape}; the model takes {tuple(spec.shape)}",
            shape=values.shape,
        )
    if not np.isfinite(values).all():
        raise InputError("the input is too large: preprocessing made NaN or infinity of it")
    return quantize(values, spec.scale, spec.zero_point)


def raw_input(manifest: Manifest, quantized: NDArray[np.int8]) -> Float32:
    """The raw float32 input that a quantized one stands for, within half a quantization step.

    Raises ``InputError`` naming the step where one cannot be undone.
    """
    spec = manifest.input.spec
    return undo_steps(manifest.preprocessing, dequantize(quantized, spec.scale, spec.zero_point))


def _operation(op: str) -> Operation:
    operation = OPERATIONS.get(op)
    if operation is None:
        near = difflib.get_close_matches(op, OPERATIONS, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"preprocessing step {op!r} is not known to this version{hint}", op=op)
    return operation


@lru_cache(maxsize=128)
def _bound(step: Step) -> tuple[Operation, Named]:
    """A step's operation and its parameters by name, read once."""
    operation = _operation(step.op)
    return operation, from_nano(step.op, operation.parameters, step.parameters)


def _of_step(step: Step, error: InputError) -> InputError:
    fields: dict[str, Any] = {"op": step.op, **error.fields}
    return InputError(f"preprocessing step {step.op!r}: {error.message}", **fields)


def _refuse_huge(what: str, shape: Shape) -> None:
    if math.prod(shape) > MAX_VALUES:
        raise InputError(
            f"{what} of shape {shape} has more than {MAX_VALUES} values", shape=shape, limit=MAX_VALUES
        )
