"""Where raw items come from: a named public dataset, or a NumPy archive on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError, MissingExtra, NotFoundError
from edgeops.data.archives import read_arrays
from edgeops.data.items import Inputs, Items, Quarantined, check_items
from edgeops.data.readers.entry import printable

__all__ = ["Items", "Quarantined", "read_source"]

SKLEARN_DIGITS = "sklearn:digits"
_EXACT_FLOAT32_INTEGER = 2**24
_NPZ_FIX = "write it with numpy.savez(path, x=inputs, y=targets)"


def read_source(spec: str) -> Items:
    """Read and check all items of ``spec``: ``sklearn:digits`` or the path of an ``.npz`` (x, y[, labels]).

    Raises ``MissingExtra`` without scikit-learn, ``NotFoundError`` for a path that is not there, and
    ``DataError`` for anything unreadable, empty, inconsistent or mostly unusable.
    """
    if spec == SKLEARN_DIGITS:
        return _read_sklearn_digits()
    if spec.startswith("sklearn:"):
        raise NotFoundError(
            f"no built-in source is called {spec!r}",
            fix=f"use {SKLEARN_DIGITS} or the path of an .npz",
            source=spec,
        )
    try:
        return _read_npz(Path(spec))
    except MemoryError as error:
        raise DataError(
            f"{spec} does not fit into memory",
            fix="give a folder or an archive of files, which are read one at a time",
            source=spec,
        ) from error


def _read_sklearn_digits() -> Items:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra(
            "the digits dataset comes with scikit-learn, which is not installed",
            fix='pip install "edgeops[demo]"',
            extra="demo",
        ) from error
    bunch = load_digits()
    inputs = np.asarray(bunch.images).astype(np.uint8)
    targets = np.asarray(bunch.target).astype(np.int64)
    return check_items(inputs, targets, tuple(str(name) for name in bunch.target_names), SKLEARN_DIGITS)


def _read_npz(path: Path) -> Items:
    if not path.exists():
        raise NotFoundError(
            f"no dataset at {path}", fix=f"give the path of an .npz, or {SKLEARN_DIGITS}", source=str(path)
        )
    arrays = read_arrays(path, _NPZ_FIX)
    for name in ("x", "y"):
        if name not in arrays:
            found = ", ".join(sorted(arrays)) or "none"
            raise DataError(f"{path} has no array {name!r} (found: {found})", fix=_NPZ_FIX, source=str(path))
    inputs = _as_inputs(arrays["x"], str(path))
    raw_targets = arrays["y"]
    if raw_targets.ndim != 1 or len(raw_targets) != len(inputs):
        raise DataError(
            f"{path}: x holds {len(inputs)} items but y has shape {raw_targets.shape}",
            fix="give y one target per item of x, shape (N,)",
            source=str(path),
        )
    if len(inputs) == 0:
        raise DataError(
            f"{path} holds no items", fix="give a source with at least one item", source=str(path)
        )
    targets, labels = _as_targets(raw_targets, arrays.get("labels"), str(path))
    return check_items(inputs, targets, labels, str(path))


def _as_inputs(array: NDArray[Any], source: str) -> Inputs:
    """(N, *shape) as uint8 or float32; refuses what float32 cannot hold exactly or is not a number."""
    if array.ndim < 2 or (array.size == 0 and len(array) > 0):
        raise DataError(
            f"{source}: x has shape {array.shape}", fix="give x the shape (N, *item shape)", source=source
        )
    if array.dtype == np.uint8:
        return np.asarray(array, dtype=np.uint8)
    if array.dtype.kind in "iub":
        if array.size and max(int(array.max()), -int(array.min())) > _EXACT_FLOAT32_INTEGER:
            raise DataError(
                f"{source}: x holds integers beyond {_EXACT_FLOAT32_INTEGER}, too large for float32",
                fix="scale x, or give it as float32",
                source=source,
            )
        return array.astype(np.float32)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is then quarantined
            return array.astype(np.float32)
    raise DataError(
        f"{source}: x has dtype {array.dtype}",
        fix="give x as uint8, another integer type or floats",
        source=source,
    )


def _as_targets(
    raw: NDArray[Any], raw_labels: NDArray[Any] | None, source: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Targets as indices into labels. Without ``labels`` the sorted distinct targets are the labels."""
    if raw.dtype.kind not in "iuU":
        raise DataError(
            f"{source}: y has dtype {raw.dtype}",
            fix="give y as integers (class indices) or strings",
            source=source,
        )
    if raw_labels is None:
        distinct, indices = np.unique(raw, return_inverse=True)
        labels = tuple(printable(str(value)) for value in distinct)
        if len(set(labels)) == len(labels):
            return indices.astype(np.int64), labels
        raise DataError(
            f"{source}: labels of y differ in characters that cannot be shown only",
            fix="give y labels that can be read",
            source=source,
        )
    labels = tuple(printable(str(value)) for value in raw_labels.ravel())
    if len(set(labels)) != len(labels) or raw_labels.dtype.kind not in "iuU":
        raise DataError(
            f"{source}: labels must be distinct strings", fix="correct the array labels", source=source
        )
    if raw.dtype.kind == "U":
        known = {label: index for index, label in enumerate(labels)}
        unknown = sorted({printable(str(value)) for value in raw} - set(known))
        if unknown:
            raise _unknown_label(source, unknown[0], labels)
        return np.array([known[printable(str(value))] for value in raw], dtype=np.int64), labels
    outside = raw[(raw < 0) | (raw >= len(labels))]
    if outside.size:
        raise _unknown_label(source, str(outside[0]), labels)
    return raw.astype(np.int64), labels


def _unknown_label(source: str, value: str, labels: tuple[str, ...]) -> DataError:
    shown = ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")
    return DataError(
        f"{source}: target {value} is not among its {len(labels)} labels ({shown})",
        fix="correct y, or add the label to the array labels",
        source=source,
        label=value,
    )
