"""The named preprocessing operations of a manifest, applied in order to a raw input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError
from edgeops.core.features.quantize import dequantize, quantize
from edgeops.core.manifest import NANO, Manifest, Step, TensorContract

SCALE = "scale"


def scale_step(factor: float, offset: float) -> Step:
    """``x * factor + offset`` with both rounded to billionths."""
    return Step(SCALE, (round(factor * NANO), round(offset * NANO)))


def apply_steps(steps: Sequence[Step], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run the steps on one input or a batch of any shape; raises ``InputError`` for an unknown operation."""
    for step in steps:
        if step.op != SCALE or len(step.parameters) != 2:
            raise InputError(f"preprocessing step {step.op!r} is not known to this version", op=step.op)
        factor, offset = (np.float32(parameter / NANO) for parameter in step.parameters)
        values = values * factor + offset
    return values


def undo_steps(steps: Sequence[Step], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of ``apply_steps``: back to the raw unit, to add captured inputs to a dataset."""
    for step in reversed(steps):
        if step.op != SCALE or len(step.parameters) != 2 or step.parameters[0] == 0:
            raise InputError(f"preprocessing step {step.op!r} cannot be undone", op=step.op)
        factor, offset = (np.float32(parameter / NANO) for parameter in step.parameters)
        values = (values - offset) / factor
    return values


def check_input(raw: object, contract: TensorContract) -> NDArray[np.float32]:
    """One raw input as float32 of the contract's shape.

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
    shape = tuple(contract.shape)
    if values.shape != shape and shape[-1:] == (1,) and values.shape == shape[:-1]:
        values = values[..., np.newaxis]
    if values.shape != shape:
        raise InputError(f"the input has shape {values.shape}; the model takes {shape}", shape=values.shape)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, and is refused below
        result = values.astype(np.float32)
    if not np.isfinite(result).all():
        raise InputError("the input holds NaN or infinity")
    return result


def quantized_input(manifest: Manifest, raw: object) -> NDArray[np.int8]:
    """What the model gets for one raw input: checked, preprocessed, quantized; int8 of the contract's shape."""
    spec = manifest.input.spec
    return quantize(
        apply_steps(manifest.preprocessing, check_input(raw, manifest.input)), spec.scale, spec.zero_point
    )


def raw_input(manifest: Manifest, quantized: NDArray[np.int8]) -> NDArray[np.float32]:
    """The raw float32 input that a quantized one stands for, within half a quantization step."""
    spec = manifest.input.spec
    return undo_steps(manifest.preprocessing, dequantize(quantized, spec.scale, spec.zero_point))
