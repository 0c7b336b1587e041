"""Quantizing a model that was trained elsewhere by every scheme, side by side."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError, EdgeOpsError, InputError
from edgeops.core.features.quantize import quantize
from edgeops.tflite.flatbuffer import read_graph
from edgeops.training.arrays import Float32, Targets
from edgeops.training.backend import quiet
from edgeops.training.foreign_model import ForeignModel, first_line
from edgeops.training.layer_report import LayerFigures, layer_report
from edgeops.training.quantize import CALIBRATED, SCHEMES, convert, open_model, representative_rows

MAX_EVALUATED = 2000
_LAYER_INPUTS = 64
_UNROLL = "give the .keras file, whose recurrent layers are unrolled, or build them with unroll=True"
# how the converter names an operator that it cannot express
_MISSING = re.compile(r"""(?:Flex|Custom) ops: ([\w, ]+)|loc\(fused\["(\w+):|'tf\.(\w+)' op is neither""")

Progress = Callable[[int, int, str], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Variant:
    """One scheme's result, for one size of its representative dataset.

    ``accuracy`` where targets were given, ``agreement`` with the float model's class where it gives classes
    (both fractions); ``snr_db`` of its outputs against the float model's, None where they are the same.
    ``representative``: how many items showed the ranges, None for a scheme that needs none. ``taken``: whether
    it is the best of its scheme's sizes.
    """

    scheme: str
    tflite: bytes = field(repr=False)
    accuracy: float | None
    agreement: float | None
    snr_db: float | None
    representative: int | None = None
    taken: bool = True

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, without the model."""
        return {
            "scheme": self.scheme,
            "representative": self.representative,
            "bytes": len(self.tflite),
            "accuracy": self.accuracy,
            "agreement": self.agreement,
            "snr_db": None if self.snr_db is None else round(self.snr_db, 2),
            "taken": self.taken,
        }


def check_schemes(schemes: Sequence[str]) -> None:
    """Raise ``InputError`` for one that there is not."""
    for scheme in schemes:
        if scheme not in SCHEMES:
            raise InputError(
                f"no quantization scheme {scheme!r}", fix=f"--scheme with one of {', '.join(SCHEMES)}"
            )


def quantize_foreign(
    model: ForeignModel,
    x: Float32,
    y: Targets | None,
    schemes: Sequence[str],
    sizes: Sequence[int] = (200,),
    seed: int = 1,
    progress: Progress = lambda done, total, scheme: None,
) -> list[Variant]:
    """The model by each scheme, judged on ``x`` (N, *shape) float32 and ``y`` (N,) class indices.

    Where N is over 2,000, on as many that are drawn. int8 and int16x8 are made with each of ``sizes`` of the
    representative dataset, drawn class by class where there is ``y``; the best by accuracy, else by agreement,
    then by signal to noise, is ``taken``. Raises ``InputError`` when the model does not take such inputs or
    a scheme is not possible, and ``DataError`` when ``y`` does not suit the model's outputs.
    """
    check_schemes(schemes)
    model = model.taking(x.shape[1:])
    plan = [(scheme, size) for scheme in dict.fromkeys(schemes) for size in _sizes(scheme, sizes, len(x))]
    shown = np.sort(np.random.default_rng(seed).permutation(len(x))[:MAX_EVALUATED])
    progress(0, len(plan), "float32")
    real = _attempt("float32", lambda: convert(model, "float32"))
    judge = _Judge(real, x[shown], None if y is None else y[shown], y)
    loops = len(read_graph(real).subgraphs) > 1
    variants = []
    for done, (scheme, size) in enumerate(plan):
        progress(done, len(plan), scheme)
        if loops and scheme in CALIBRATED:  # TensorFlow's calibrator crashes on them
            raise InputError(
                f"{scheme} is not possible for this model: it has a loop, as recurrent layers make",
                fix=f"{_UNROLL}, or --scheme dynamic",
            )
        rows = representative_rows(np.zeros(len(x), np.int64) if y is None else y, size or 0, seed)
        tflite = _attempt(scheme, partial(convert, model, scheme, x[rows]))
        variants.append(_attempt(scheme, partial(judge, scheme, size, tflite)))
    progress(len(plan), len(plan), "")
    best = {id(_best([v for v in variants if v.scheme == scheme])) for scheme in dict.fromkeys(schemes)}
    return [replace(variant, taken=id(variant) in best) for variant in variants]


def _sizes(scheme: str, sizes: Sequence[int], count: int) -> list[int | None]:
    return list(dict.fromkeys(min(size, count) for size in sizes)) if scheme in CALIBRATED else [None]


def _best(variants: Sequence[Variant]) -> Variant:
    """The first of those that are equally good."""

    def quality(variant: Variant) -> tuple[float, float]:
        judged = variant.agreement if variant.accuracy is None else variant.accuracy
        return judged or 0.0, np.inf if variant.snr_db is None else variant.snr_db

    return max(variants, key=quality)


class _Judge:
    """Holds a variant against the float model and the targets."""

    def __init__(self, real: bytes, x: Float32, truth: Targets | None, y: Targets | None) -> None:
        self._x, self._truth = x, truth
        self._wanted = _attempt("float32", lambda: run_tflite(real, x))
        if not np.isfinite(self._wanted).all():
            raise InputError(
                "the float model itself gives NaN or infinite outputs for this data",
                fix="check that x is scaled as in training, and that the model works on it: model.predict(x)",
            )
        self._shape = tuple(int(size) for size in open_model(real).get_output_details()[0]["shape"][1:])
        self._is_share = self._shape == (1,) and bool(((self._wanted >= 0) & (self._wanted <= 1)).all())
        if y is not None:
            self._check_targets(y)

    def __call__(self, scheme: str, size: int | None, tflite: bytes) -> Variant:
        found = run_tflite(tflite, self._x)
        if not np.isfinite(found).all():
            raise OverflowError("its values go beyond what the type holds")
        wanted, given = self._classes(self._wanted), self._classes(found)
        accuracy = agreement = None
        if wanted is not None and given is not None:
            agreement = float((given == wanted).mean())
            accuracy = None if self._truth is None else float((given == self._truth).mean())
        return Variant(scheme, tflite, accuracy, agreement, _snr_db(self._wanted, found), size)

    def _classes(self, outputs: Float32) -> NDArray[np.int64] | None:
        """(N,): of scores the highest, of one probability whether it is over a half; None of other outputs."""
        if self._is_share:
            return (outputs[:, 0] > 0.5).astype(np.int64)
        if outputs.shape[1] == 1 or self._shape[-1] != outputs.shape[1]:
            return None
        return np.asarray(outputs.argmax(axis=1), np.int64)

    def _check_targets(self, y: Targets) -> None:
        fix = "leave y out: signal to noise then says what is lost"
        if self._classes(self._wanted) is None:
            what = "one output that is no probability" if self._wanted.shape[1] == 1 else "outputs of shape"
            shape = "" if self._wanted.shape[1] == 1 else f" {self._shape}"
            raise DataError(f"y holds class indices, but the model gives {what}{shape}", fix=fix)
        classes = 2 if self._is_share else self._wanted.shape[1]
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= classes:
            raise DataError(
                f"y goes from {low} to {high}, but the model has {classes} classes: 0 to {classes - 1}",
                fix="number the classes from 0, in the order of the model's outputs",
            )


def _attempt(scheme: str, action: Callable[[], Result]) -> Result:
    """Do it without TensorFlow's chatter; whatever a foreign model makes it raise becomes one line."""
    try:
        with quiet(tell="EDGEOPS_DEBUG" in os.environ):
            return action()
    except EdgeOpsError:
        raise
    except Exception as error:
        missing = _MISSING.search(str(error))
        reason, fix = first_line(error), "change the layers that it names, or leave the scheme out: --scheme"
        if missing:
            operator = next(filter(None, missing.groups())).replace("Flex", "").strip()
            reason = f"TensorFlow Lite has no operator for {operator}"
            fix = "put another layer in its place"
            if operator.startswith("TensorList"):  # what a loop keeps its steps in
                reason, fix = f"it has a loop, as recurrent layers make ({operator})", _UNROLL
        raise InputError(f"{scheme} is not possible for this model: {reason}", fix=fix) from error


def run_tflite(tflite: bytes, x: Float32) -> Float32:
    """Any model on float inputs (N, *shape): (N, outputs) float32, quantized and dequantized at its ends."""
    interpreter = open_model(tflite)
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for item in x:
        interpreter.set_tensor(taken["index"], _as_input(item[np.newaxis], taken))
        interpreter.invoke()
        outputs.append(_as_float(interpreter.get_tensor(given["index"])[0], given).reshape(-1))
    return np.stack(outputs)


def _as_input(item: Float32, details: dict[str, Any]) -> Any:
    dtype, (scale, zero_point) = np.dtype(details["dtype"]), details["quantization"]
    if dtype == np.float32:
        return item.astype(np.float32)
    if dtype == np.int8:
        return quantize(item, float(scale), int(zero_point))
    limits = np.iinfo(dtype)
    return np.clip(np.round(item / scale) + zero_point, limits.min, limits.max).astype(dtype)


def _as_float(values: Any, details: dict[str, Any]) -> Float32:
    scale, zero_point = details["quantization"]
    if np.dtype(details["dtype"]) == np.float32:
        return np.asarray(values, np.float32)
    return ((values.astype(np.float64) - zero_point) * scale).astype(np.float32)


def _snr_db(wanted: Float32, found: Float32) -> float | None:
    signal = float((wanted.astype(np.float64) ** 2).sum())
    noise = float(((wanted.astype(np.float64) - found) ** 2).sum())
    if noise == 0:
        return None
    return 10 * float(np.log10((signal + 1e-12) / noise))


def layers_of(model: ForeignModel, int8_tflite: bytes, x: Float32) -> list[LayerFigures]:
    """The per-layer report of an int8 variant on some of ``x`` (N, *shape) float32."""
    model = model.taking(x.shape[1:])
    real = _attempt("float32", lambda: convert(model, "float32"))
    return layer_report(real, int8_tflite, x[:_LAYER_INPUTS])
