"""Models that were trained elsewhere: reading them, and quantizing them by every scheme side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeops.core.errors import DataError, InputError, NotFoundError
from edgeops.core.features.quantize import quantize
from edgeops.training.arrays import Float32, Targets
from edgeops.training.backend import load_tensorflow, quiet
from edgeops.training.layer_report import LayerFigures, layer_report
from edgeops.training.quantize import convert, open_model, representative_rows

MAX_EVALUATED = 2000
_LAYER_INPUTS = 64


@dataclass(frozen=True)
class Variant:
    """One scheme's result: ``accuracy`` where labels were given, ``agreement`` with the float model's class
    (both fractions), ``snr_db`` of its outputs against the float model's.
    """

    scheme: str
    tflite: bytes = field(repr=False)
    accuracy: float | None
    agreement: float
    snr_db: float

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, without the model."""
        return {
            "scheme": self.scheme,
            "bytes": len(self.tflite),
            "accuracy": self.accuracy,
            "agreement": self.agreement,
            "snr_db": round(self.snr_db, 2),
        }


def load_foreign(path: Path) -> Any:
    """A keras model from a ``.keras`` file, or a SavedModel folder as something with the same ``call``.

    Code inside a ``.keras`` file is not run. Raises ``NotFoundError`` and ``InputError``.
    """
    if not path.exists():
        raise NotFoundError(
            f"no model at {path}", fix="name a .keras file or a SavedModel folder", path=str(path)
        )
    tensorflow, keras = load_tensorflow()
    try:
        with quiet():
            if path.is_dir():
                return _SavedModel(tensorflow, tensorflow.saved_model.load(str(path)), path)
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} does not load: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            fix="save it with model.save('model.keras') or model.export('folder')",
            path=str(path),
        ) from error


class _SavedModel:
    """A SavedModel's only serving function with the face of a keras model: ``input_shape`` and a call."""

    def __init__(self, tensorflow: Any, loaded: Any, path: Path) -> None:
        functions = list(getattr(loaded, "signatures", {}).values())
        if len(functions) != 1:
            raise InputError(f"{path} has {len(functions)} serving functions; one is needed", path=str(path))
        self._loaded = loaded  # the variables live as long as it does
        self._function = functions[0]
        inputs = self._function.structured_input_signature[1]
        if len(inputs) != 1 or len(self._function.structured_outputs) != 1:
            raise InputError(f"{path} does not have one input and one output", path=str(path))
        self._name, spec = next(iter(inputs.items()))
        self.input_shape = tuple(spec.shape)

    def __call__(self, x: Any, training: bool = False) -> Any:
        del training
        return next(iter(self._function(**{self._name: x}).values()))


def quantize_foreign(
    model: Any,
    x: Float32,
    y: Targets | None,
    schemes: Sequence[str],
    representative: int = 200,
    seed: int = 1,
) -> list[Variant]:
    """The model by each scheme, judged on at most 2,000 of ``x`` (N, *shape) float32 and ``y`` (N,) indices.

    Raises ``InputError`` when the model does not take such inputs.
    """
    shape = tuple(model.input_shape[1:])
    if x.shape[1:] != shape or len(x) == 0:
        raise InputError(f"the model takes inputs of shape {shape}; the data has {len(x)} of {x.shape[1:]}")
    if y is not None and len(y) != len(x):
        raise DataError(f"{len(x)} inputs came with {len(y)} targets")
    rows = representative_rows(y if y is not None else np.zeros(len(x), np.int64), representative, seed)
    shown, truth = x[:MAX_EVALUATED], None if y is None else y[:MAX_EVALUATED]
    wanted = run_tflite(convert(model, "float32"), shown)
    variants = []
    for scheme in schemes:
        tflite = convert(model, scheme, x[rows])
        found = run_tflite(tflite, shown)
        variants.append(
            Variant(
                scheme,
                tflite,
                None if truth is None else float((found.argmax(axis=1) == truth).mean()),
                float((found.argmax(axis=1) == wanted.argmax(axis=1)).mean()),
                _snr_db(wanted, found),
            )
        )
    return variants


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


def _snr_db(wanted: Float32, found: Float32) -> float:
    noise = float(((wanted.astype(np.float64) - found) ** 2).sum())
    return 10 * float(np.log10((float((wanted.astype(np.float64) ** 2).sum()) + 1e-12) / (noise + 1e-12)))


def layers_of(model: Any, int8_tflite: bytes, x: Float32) -> list[LayerFigures]:
    """The per-layer report of an int8 variant on some of ``x``."""
    return layer_report(convert(model, "float32"), int8_tflite, x[:_LAYER_INPUTS])
