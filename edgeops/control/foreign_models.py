"""Quantizing a model file that was trained elsewhere, with data from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError, NotFoundError, UsageError
from edgeops.data.archives import read_arrays
from edgeops.reports.layers import layer_picture
from edgeops.training.arrays import Float32, Targets
from edgeops.training.foreign import Progress, Variant, check_schemes, layers_of, quantize_foreign
from edgeops.training.foreign_model import load_foreign
from edgeops.training.layer_report import LayerFigures

_FIX = "write it with numpy.savez(path, x=inputs, y=targets)"


@dataclass(frozen=True)
class QuantizedFile:
    """Each scheme's variants, and the layers of the int8 one that was taken where they were asked for.

    ``items`` is how many inputs the data holds.
    """

    variants: list[Variant]
    layers: list[LayerFigures]
    items: int

    def taken(self, scheme: str) -> Variant:
        """The best of a scheme's variants."""
        return next(variant for variant in self.variants if variant.scheme == scheme and variant.taken)

    def picture(self) -> str:
        """The layers as SVG."""
        return layer_picture([(layer.name, layer.snr_db, layer.worst_snr_db) for layer in self.layers])


def quantize_file(
    model: Path,
    data: Path,
    schemes: Sequence[str],
    sizes: Sequence[int],
    with_layers: bool,
    progress: Progress = lambda done, total, scheme: None,
) -> QuantizedFile:
    """Quantize ``model`` by each scheme; ``data`` is an archive with x and, where known, y (class indices).

    ``sizes`` are those of the representative dataset to try. Raises ``NotFoundError``, ``UsageError``,
    ``DataError`` for data that does not suit and ``InputError`` for the model.
    """
    check_schemes(schemes)
    if with_layers and "int8" not in schemes:
        raise UsageError(
            "the report of layers is of int8, which is not among the schemes", fix="add --scheme int8"
        )
    x, y = read_examples(data)
    loaded = load_foreign(model)
    variants = quantize_foreign(loaded, x, y, schemes, sizes, progress=progress)
    found = QuantizedFile(variants, [], len(x))
    if not with_layers:
        return found
    return QuantizedFile(variants, layers_of(loaded, found.taken("int8").tflite, x), len(x))


def read_examples(path: Path) -> tuple[Float32, Targets | None]:
    """The inputs (N, *shape) float32, every value finite, and y (N,) int64 where there; N is 1 or more.

    Raises ``NotFoundError``, and ``DataError`` that says how to write what is wrong.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; one .npz file is needed", fix=_FIX, source=str(path))
    if not path.is_file():
        raise NotFoundError(f"no data at {path}", fix=_FIX, path=str(path))
    arrays = read_arrays(path, _FIX)
    if "x" not in arrays:
        there = ", ".join(sorted(arrays)[:5]) or "nothing"
        raise DataError(f"{path} has no array 'x'; it has {there}", fix=_FIX, source=str(path))
    x = _inputs(arrays["x"], path)
    return x, _targets(arrays["y"], len(x), path) if "y" in arrays else None


def _inputs(values: NDArray[Any], path: Path) -> Float32:
    if values.dtype.kind not in "biuf":
        raise _wrong(path, f"x holds {_kind(values)}, not real numbers", "save the numbers as float32")
    if values.ndim < 2:
        raise _wrong(
            path, f"x has the shape {values.shape}; one item a row is needed", "x.reshape(items, ...)"
        )
    if not values.size:
        raise _wrong(
            path, f"x is empty: its shape is {values.shape}", "save at least one input; some hundred do well"
        )
    with np.errstate(over="ignore"):
        x = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))
    if len(bad):
        message = f"x has NaN, infinite or too large values in {len(bad):,} of {len(x):,} items, first item {bad[0]}"
        raise _wrong(path, message, "leave those items out, of y too, or put numbers in their place")
    return x


def _targets(values: NDArray[Any], count: int, path: Path) -> Targets:
    if values.ndim == 2 and values.shape[1] > 1:
        message = f"y has the shape {values.shape}; a class index for each input is needed"
        raise _wrong(path, message, "where it is one-hot, save y.argmax(axis=1)")
    if values.ndim != 1:
        message = f"y has the shape {values.shape}; a class index for each input is needed"
        raise _wrong(path, message, "save y.reshape(-1)")
    if len(values) != count:
        raise _wrong(path, f"x has {count:,} inputs, y {len(values):,} targets", "save as many of each")
    if values.dtype.kind not in "biuf":
        message = f"y holds {_kind(values)}, not class indices"
        raise _wrong(
            path, message, "save numpy.unique(y, return_inverse=True)[1] if the model's classes are sorted"
        )
    whole = np.isfinite(values) & (np.floor(values) == values)
    if not whole.all():
        message = f"y holds {values[~whole][0]}, which is no class index"
        raise _wrong(path, message, "save whole numbers from 0, or leave y out")
    return values.astype(np.int64)


def _kind(values: NDArray[Any]) -> str:
    return "text" if values.dtype.kind in "US" else str(values.dtype)


def _wrong(path: Path, message: str, fix: str) -> DataError:
    return DataError(f"{path}: {message}", fix=fix, source=str(path))
