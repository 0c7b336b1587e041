"""Where accuracy was lost: each tensor of the int8 model beside the same tensor of the float one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError, MissingExtra
from edgeops.core.features.quantize import quantize
from edgeops.training.arrays import Float32
from edgeops.training.backend import quiet

_LOWEST, _HIGHEST = -128, 127
# what only moves values about, or changes their type
_COMPUTES_NOTHING = ("QUANTIZE", "DEQUANTIZE", "DELEGATE", "RESHAPE")
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """One operator's output over all inputs that were shown.

    ``snr_db``: 10 log10 of the float signal's power over the power of the difference; ``worst_channel`` and
    its own ``worst_snr_db`` (last axis); ``saturated``: the share of int8 values at either end of the range.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    snr_db: float
    worst_channel: int
    worst_snr_db: float
    saturated: float

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, rounded for reading."""
        return {
            "layer": self.name,
            "op": self.op,
            "shape": list(self.shape),
            "snr_db": round(self.snr_db, 2),
            "worst_channel": self.worst_channel,
            "worst_snr_db": round(self.worst_snr_db, 2),
            "saturated": round(self.saturated, 6),
        }


@dataclass
class _Sums:
    signal: NDArray[np.float64]
    error: NDArray[np.float64]
    saturated: int = 0
    values: int = 0


def layer_report(float_tflite: bytes, int8_tflite: bytes, inputs: Float32) -> list[LayerFigures]:
    """Figures of each operator, in the order of execution; ``inputs`` (N, *shape) float32 are shown to both.

    Tensors are matched by name and shape: both models must come from the same converter and keras model. Operators
    without a counterpart (quantize, dequantize) or that compute nothing (reshape) are left out. Raises
    ``InputError`` when nothing matches.
    """
    real, rounded = _open(float_tflite), _open(int8_tflite)
    named = {detail["name"]: detail for detail in real.get_tensor_details()}
    outputs = [
        (op, detail)
        for op, detail in _activations(rounded)
        if detail["name"] in named
        and detail["quantization"][0]
        and tuple(detail["shape"]) == tuple(named[detail["name"]]["shape"])
    ]
    if not outputs:
        raise InputError("no tensor of the int8 model has its counterpart in the float one")
    sums: dict[int, _Sums] = {}
    scale, zero_point = rounded.get_input_details()[0]["quantization"]
    for item in inputs:
        _show(real, item[None].astype(np.float32))
        _show(rounded, quantize(item[None], float(scale), int(zero_point)))
        for _, detail in outputs:
            wanted = real.get_tensor(named[detail["name"]]["index"]).astype(np.float64)
            found = rounded.get_tensor(detail["index"])
            _add(sums, detail, wanted, found)
    names = _names([str(detail["name"]) for _, detail in outputs])
    return [
        _figures(name, op, detail, sums[detail["index"]])
        for name, (op, detail) in zip(names, outputs, strict=True)
    ]


def _names(tensors: list[str]) -> list[str]:
    """What of each name a person needs: the layer, without the model that all are in."""
    parts = [name.split(";")[0].split("/") for name in tensors]
    scopes = {part[0] for part in parts if len(part) > 1}
    return ["/".join(part[1:] if len(part) > 2 and len(scopes) == 1 else part) for part in parts]


def _open(tflite: bytes) -> Any:
    try:
        module = importlib.import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        raise MissingExtra(
            "the layer report runs LiteRT, which is not installed", fix='pip install "edgeops[agent]"'
        ) from error
    with quiet():
        interpreter = module.Interpreter(
            model_content=tflite,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    return interpreter


def _show(interpreter: Any, batch: NDArray[Any]) -> None:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
    interpreter.invoke()


def _activations(interpreter: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operator's name and the details of its first output."""
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    for op in interpreter._get_ops_details():
        index = int(op["outputs"][0])
        if index in details and op["op_name"] not in _COMPUTES_NOTHING:
            yield op["op_name"], details[index]


def _add(
    sums: dict[int, _Sums], detail: dict[str, Any], wanted: NDArray[np.float64], found: NDArray[Any]
) -> None:
    scale, zero_point = detail["quantization"]
    error = wanted - scale * (found.astype(np.float64) - zero_point)
    axes = tuple(range(wanted.ndim - 1))
    entry = sums.get(detail["index"])
    if entry is None:
        channels = wanted.shape[-1]
        entry = sums[detail["index"]] = _Sums(np.zeros(channels), np.zeros(channels))
    entry.signal += (wanted**2).sum(axis=axes)
    entry.error += (error**2).sum(axis=axes)
    # where zero is the lowest value, that end is what a ReLU gives, and no saturation
    low = (found == _LOWEST) & (zero_point != _LOWEST)
    entry.saturated += int((low | (found == _HIGHEST)).sum())
    entry.values += found.size


def _figures(name: str, op: str, detail: dict[str, Any], entry: _Sums) -> LayerFigures:
    ratio = 10 * np.log10((entry.signal + _TINY) / (entry.error + _TINY))
    # a channel that is always zero has no signal to lose
    alive = entry.signal > _TINY * entry.signal.max(initial=0.0)
    worst = int(np.where(alive, ratio, np.inf).argmin()) if alive.any() else 0
    return LayerFigures(
        name=name,
        op=op,
        shape=tuple(int(size) for size in detail["shape"]),
        snr_db=float(10 * np.log10((entry.signal.sum() + _TINY) / (entry.error.sum() + _TINY))),
        worst_channel=worst,
        worst_snr_db=float(ratio[worst]),
        saturated=entry.saturated / max(entry.values, 1),
    )
