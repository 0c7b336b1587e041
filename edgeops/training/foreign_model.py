"""Reading models that were trained elsewhere: Keras files and SavedModel folders."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeops.core.errors import InputError, NotFoundError
from edgeops.training.backend import load_tensorflow, quiet

Shape = tuple[int | None, ...]

_SAVE = "save the whole model: model.save('model.keras') or model.export('folder')"
_EXPORT = "where it was made, model.export('folder'); then give that folder"
_CUT = "keras.Model(inputs, outputs) with one of each, saved on its own"
_PAGE = "(docs/guides/quantization.md)"
# what other tools write, and the way from there
_ELSEWHERE = {
    ".tflite": (
        "is a .tflite already; this starts from the float model",
        "edgeops check says whether it fits",
    ),
    ".onnx": ("is ONNX", f"onnx2tf -i MODEL.onnx -o folder -osd; then give that folder {_PAGE}"),
    ".pt": ("is a PyTorch file", f"export it to ONNX, and that to a SavedModel folder {_PAGE}"),
    ".pth": ("is a PyTorch file", f"export it to ONNX, and that to a SavedModel folder {_PAGE}"),
}


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """A float model of one input and one output; ``input_shape`` has the batch first, None where any size goes."""

    input_shape: Shape
    function: Callable[[Any], Any] = field(repr=False)
    kept: Any = field(default=None, repr=False)  # variables live as long as what was loaded does

    def __call__(self, x: Any, training: bool = False) -> Any:
        """The output for a batch, as in use."""
        del training
        return self.function(x)

    def taking(self, shape: tuple[int, ...]) -> ForeignModel:
        """The same model for inputs of exactly ``shape``, without the batch; ``InputError`` if it takes others."""
        own = self.input_shape[1:]
        if len(own) != len(shape) or any(a not in (None, b) for a, b in zip(own, shape, strict=True)):
            raise InputError(
                f"the model takes inputs of shape {_words(own)}; those in x are of {shape}",
                fix=_reshaping(own, shape),
            )
        return replace(self, input_shape=(None, *shape))


def load_foreign(path: Path) -> ForeignModel:
    """The model of a ``.keras`` or ``.h5`` file, or of a SavedModel folder; code inside a file is not run.

    Recurrent layers of a Keras file are unrolled: loops cannot be calibrated. Raises ``NotFoundError`` and
    ``InputError``.
    """
    if not path.exists():
        raise NotFoundError(
            f"no model at {path}", fix="name a .keras file or a SavedModel folder", path=str(path)
        )
    _check_kind(path)
    tensorflow, keras = load_tensorflow()
    try:
        with quiet(tell="EDGEOPS_DEBUG" in os.environ):
            if path.is_dir():
                loaded = tensorflow.saved_model.load(str(path))
            else:
                loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # whatever a file that anybody may have written makes the loader raise
        raise _unloadable(path, error) from error
    return _of_saved_model(loaded, path) if path.is_dir() else _of_keras(keras, loaded, path)


def _check_kind(path: Path) -> None:
    what, fix = "", _SAVE
    if path.is_dir():
        if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
            what = "is no SavedModel folder: it has no saved_model.pb"
    elif path.suffix.lower() in _ELSEWHERE:
        what, fix = _ELSEWHERE[path.suffix.lower()]
    elif path.suffix not in (".keras", ".h5", ".hdf5"):
        what = "is neither a .keras file nor a SavedModel folder"
    elif path.suffix == ".keras" and not zipfile.is_zipfile(path):
        what = "is not a Keras file, or it was cut off"
    if what:
        raise InputError(f"{path} {what}", fix=fix, path=str(path))


def _unloadable(path: Path, error: Exception) -> InputError:
    said = str(error)
    own = re.search(
        r"Could not locate (?:class|function) '([^']+)'|Unknown (?:layer|object): '([^']+)'", said
    )
    if own:
        name = own.group(1) or own.group(2)
        return InputError(f"{path} needs code that is not in it: {name}", fix=_EXPORT, path=str(path))
    if "Lambda" in said or "lambda" in said:
        message = f"{path} has a Lambda layer, and code inside a file is not run"
        return InputError(message, fix=_EXPORT, path=str(path))
    if "No model config found" in said:
        return InputError(f"{path} holds weights, and no model", fix=_SAVE, path=str(path))
    return InputError(f"{path} does not load: {first_line(error)}", fix=_SAVE, path=str(path))


def _of_keras(keras: Any, model: Any, path: Path) -> ForeignModel:
    try:
        inputs, outputs = list(model.inputs), list(model.outputs)
    except (AttributeError, TypeError, ValueError) as error:
        message = f"{path} does not say what shape its inputs have"
        raise InputError(message, fix="call the model on data once, then save it", path=str(path)) from error
    _check_ends(path, [str(tensor.name) for tensor in inputs], len(outputs), str(inputs[0].dtype))
    for layer in model._flatten_layers():
        if hasattr(layer, "unroll"):
            layer.unroll = True

    def function(x: Any) -> Any:
        return keras.tree.flatten(model(x, training=False))[0]

    return ForeignModel((None, *inputs[0].shape[1:]), function, model)


def _of_saved_model(loaded: Any, path: Path) -> ForeignModel:
    """By its serving function: ``serving_default`` where there are several, as Keras writes them."""
    functions = dict(getattr(loaded, "signatures", {}))
    chosen = functions.get("serving_default") or (
        next(iter(functions.values())) if len(functions) == 1 else None
    )
    if chosen is None:
        there = f"{len(functions)}: {', '.join(sorted(functions))}" if functions else "none"
        raise InputError(
            f"{path} should have a serving function 'serving_default'; it has {there}",
            fix="tf.saved_model.save(model, folder, signatures={'serving_default': function})",
            path=str(path),
        )
    inputs = dict(chosen.structured_input_signature[1])
    kind = str(next(iter(inputs.values())).dtype.name) if inputs else ""
    _check_ends(path, list(inputs), len(chosen.structured_outputs), kind)
    name, spec = next(iter(inputs.items()))
    if spec.shape.rank is None or spec.shape[0] not in (None, 1):
        shape = "of any rank" if spec.shape.rank is None else f"in batches of {spec.shape[0]}"
        fix = "export it with inputs of a known shape and a batch of any size: (None, ...)"
        raise InputError(
            f"{path} takes inputs {shape}; a device gives one at a time", fix=fix, path=str(path)
        )

    def function(x: Any) -> Any:
        return next(iter(chosen(**{name: x}).values()))

    return ForeignModel((None, *spec.shape[1:]), function, loaded)


def _check_ends(path: Path, inputs: list[str], outputs: int, dtype: str) -> None:
    if len(inputs) != 1 or outputs != 1:
        named = f" ({', '.join(inputs)})" if len(inputs) > 1 else ""
        raise InputError(
            f"{path} has {len(inputs)} input{'s' * (len(inputs) != 1)}{named}"
            f" and {outputs} output{'s' * (outputs != 1)}; one of each is needed",
            fix=_CUT,
            path=str(path),
        )
    if not dtype.startswith("float"):
        fix = "begin where the values are float, after the embedding: keras.Model(inputs, outputs)"
        raise InputError(f"{path} takes {dtype}; quantizing needs float inputs", fix=fix, path=str(path))


def _words(shape: Shape) -> str:
    sizes = ["any" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def _reshaping(own: Shape, shape: tuple[int, ...]) -> str:
    """What most often went wrong with the layout of x, and the line that mends it."""
    if shape == own[:-1] and own[-1] == 1:
        return "add the channel: x[..., numpy.newaxis]"
    if len(shape) == len(own) > 1 and (*shape[1:], shape[0]) == own:
        return "x has channels first, the model takes them last: numpy.moveaxis(x, 1, -1)"
    return "give x as the model takes it: one item a row, prepared as for its training"


def first_line(error: BaseException) -> str:
    """The first line of what an error of another library says, short enough to be read."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= 160 else f"{line[:159]}…"
