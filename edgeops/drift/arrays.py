"""Anybody's arrays, to be watched as a device's would be: columns of numbers, and what a model said of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError

KEYS = ("x", "y_true", "y_pred", "confidence", "features")
_FIX = "np.savez(path, x=x, y_true=y_true, y_pred=y_pred, confidence=confidence), all but x optional"
_UNIT = 4096  # steps of a deviation when a column becomes integers
_FARTHEST = float(2**40)


@dataclass(frozen=True)
class Arrays:
    """``x`` (n, features) float64, NaN and infinities missing; ``y_true`` and ``y_pred`` (n,) int64 with -1 where not
    known; ``confidence`` (n,) float64 in 0..1. ``features`` names the columns.
    """

    x: NDArray[np.float64]
    features: tuple[str, ...]
    y_true: NDArray[np.int64] | None = None
    y_pred: NDArray[np.int64] | None = None
    confidence: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Scale:
    """How columns become integers: 4096 to a deviation of the reference, 0 at its mean."""

    centre: NDArray[np.float64]
    unit: NDArray[np.float64]

    def integers(self, x: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """((n, features) int64, which of them are not missing)."""
        seen = np.isfinite(x)
        scaled = (np.where(seen, x, self.centre) - self.centre) / self.unit
        return np.round(np.clip(scaled, -_FARTHEST, _FARTHEST)).astype(np.int64), seen


def scale_of(x: NDArray[np.float64]) -> Scale:
    """The scale of a reference (n, features)."""
    finite = np.where(np.isfinite(x), x, np.nan)
    with np.errstate(all="ignore"):
        centre = np.nan_to_num(np.nanmean(finite, axis=0))
        deviation = np.nan_to_num(np.nanstd(finite, axis=0))
    least = np.maximum(np.abs(centre), 1.0) * 1e-9  # of a constant column every difference shows
    return Scale(centre, np.maximum(deviation, least) / _UNIT)


def arrays_from(found: Mapping[str, Any], what: str) -> Arrays:
    """Checked arrays out of a mapping such as an NPZ file; ``what`` names it in messages. Raises ``DataError``."""
    unknown = sorted(set(found) - set(KEYS))
    if "x" not in found or unknown:
        problem = (
            f"has no array 'x' but {', '.join(unknown)}" if "x" not in found else f"has {', '.join(unknown)}"
        )
        raise DataError(f"{what} {problem}; known are {', '.join(KEYS)}", fix=_FIX, file=what)
    x = _numbers(found["x"], what, "x")
    x = x[:, np.newaxis] if x.ndim == 1 else x
    if x.ndim != 2 or not x.size:
        raise DataError(f"{what}: x has the shape {x.shape}, not (rows, features)", fix=_FIX, file=what)
    names = tuple(str(name) for name in found["features"]) if "features" in found else ()
    names = names or tuple(f"x{index}" for index in range(x.shape[1]))
    if len(names) != x.shape[1] or len(set(names)) != len(names):
        raise DataError(
            f"{what}: {len(names)} different names for {x.shape[1]} features", fix=_FIX, file=what
        )
    rows = len(x)
    confidence = _numbers(found["confidence"], what, "confidence") if "confidence" in found else None
    if confidence is not None and not (confidence.shape == (rows,) and _is_share(confidence)):
        raise DataError(f"{what}: confidence must be {rows} numbers from 0 to 1", fix=_FIX, file=what)
    return Arrays(
        x, names, _classes(found, "y_true", rows, what), _classes(found, "y_pred", rows, what), confidence
    )


def _is_share(values: NDArray[np.float64]) -> bool:
    known = values[~np.isnan(values)]
    return bool(np.all((known >= 0) & (known <= 1)))


def _numbers(values: Any, what: str, key: str) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what}: {key} holds {array.dtype}, not numbers", fix=_FIX, file=what)
    return array.astype(np.float64)


def _classes(found: Mapping[str, Any], key: str, rows: int, what: str) -> NDArray[np.int64] | None:
    """Classes as whole numbers from 0 on; what is missing or -1 is not known (yet)."""
    if key not in found:
        return None
    values = _numbers(found[key], what, key)
    if values.shape != (rows,):
        raise DataError(
            f"{what}: {key} has the shape {values.shape} for {rows} rows of x", fix=_FIX, file=what
        )
    if np.any(values[np.isfinite(values)] < -1):
        raise DataError(f"{what}: {key} has classes below -1, which is 'not known'", fix=_FIX, file=what)
    known = np.isfinite(values) & (values >= 0)
    whole = np.where(known, values, -1.0)
    if np.any(whole != np.floor(whole)):
        raise DataError(
            f"{what}: {key} must be whole numbers from 0 on (-1 where not known)", fix=_FIX, file=what
        )
    return whole.astype(np.int64)
