"""Quantizing a model file that was trained elsewhere, with data from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeops.core.errors import DataError, NotFoundError
from edgeops.data.archives import read_arrays
from edgeops.reports.layers import layer_picture
from edgeops.training.foreign import Variant, layers_of, load_foreign, quantize_foreign
from edgeops.training.layer_report import LayerFigures

_FIX = "write it with numpy.savez(path, x=inputs, y=targets)"


@dataclass(frozen=True)
class QuantizedFile:
    """Each scheme's variant, and the int8 one's layers where they were asked for."""

    variants: list[Variant]
    layers: list[LayerFigures]

    def picture(self) -> str:
        """The layers as SVG."""
        return layer_picture([(layer.name, layer.snr_db, layer.worst_snr_db) for layer in self.layers])


def quantize_file(
    model: Path, data: Path, schemes: Sequence[str], representative: int, with_layers: bool
) -> QuantizedFile:
    """Quantize ``model`` by each scheme; ``data`` is an archive with x and, where known, y (class indices).

    Raises ``NotFoundError``, ``DataError`` for data that does not suit and ``InputError`` for the model.
    """
    if not data.is_file():
        raise NotFoundError(f"no data at {data}", fix=_FIX, path=str(data))
    arrays = read_arrays(data, _FIX)
    if "x" not in arrays:
        raise DataError(f"{data} has no array 'x'", fix=_FIX, source=str(data))
    x = arrays["x"].astype(np.float32)
    y = arrays["y"].astype(np.int64) if "y" in arrays else None
    loaded = load_foreign(model)
    variants = quantize_foreign(loaded, x, y, schemes, representative)
    int8 = next((variant for variant in variants if variant.scheme == "int8"), None)
    if with_layers and int8 is None:
        raise DataError("the layer report is of int8", fix="add --scheme int8")
    return QuantizedFile(variants, layers_of(loaded, int8.tflite, x) if with_layers and int8 else [])
