"""How the compiler says no: each answer names what it met and what to do instead."""

from __future__ import annotations

from edgeops.core.errors import DataError
from edgeops.tflite.operators import shown

_INSTEAD = "ship the .tflite itself to a device that runs TensorFlow Lite Micro, or change the layer"
SMALLER = "make the layer smaller, or ship the .tflite itself to a device that runs TensorFlow Lite Micro"


def unsupported(operator: str, why: str = "", **fields: object) -> DataError:
    """An operator, or a form of one, that plans do not have."""
    what = f"the operator {shown(operator)}"
    message = f"{what} cannot be compiled: {why}" if why else f"{what} is not among those that a plan has"
    return DataError(message, fix=_INSTEAD, operator=operator, **fields)


def not_compilable(problem: str, fix: str, **fields: object) -> DataError:
    """A model that has no plan as it is."""
    return DataError(f"this model cannot be compiled: {problem}", fix=fix, **fields)
