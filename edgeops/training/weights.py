"""The float weights of a trained model as bytes, to explain it or to train it further later."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from edgeops.core.errors import InputError
from edgeops.data.archives import arrays_in
from edgeops.training.architectures.build import build
from edgeops.training.backend import load_tensorflow
from edgeops.training.recipe import Recipe


def to_bytes(model: Any) -> bytes:
    """All weights of a keras model in its own order, as an ``.npz``; the same weights give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **{f"w{index:04d}": values for index, values in enumerate(model.get_weights())})
    return buffer.getvalue()


def rebuilt(recipe: Recipe, input_shape: tuple[int, ...], n_classes: int, raw: bytes) -> Any:
    """The recipe's keras model with weights that ``to_bytes`` gave.

    Raises ``InputError`` when they are of another architecture.
    """
    _, keras = load_tensorflow(recipe.training.threads)
    model = build(recipe, keras, input_shape, n_classes)
    try:
        arrays = arrays_in(raw)
        model.set_weights([arrays[name] for name in sorted(arrays)])
    except ValueError as error:
        raise InputError(f"the stored weights are of another architecture: {error}") from error
    return model
