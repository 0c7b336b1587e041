"""From a float keras model to a full int8 ``.tflite``, and what its tensors look like."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError, MissingExtra
from edgeops.core.features.quantize import quantize
from edgeops.core.tensors import TensorSpec
from edgeops.training.arrays import Float32
from edgeops.training.backend import load_tensorflow, quiet

SCHEMES = ("int8", "int16x8", "dynamic", "float16", "float32")
CALIBRATED = ("int8", "int16x8")  # those that need representative data


def quantize_int8(model: Any, representative: Float32, per_channel_dense: bool = True) -> bytes:
    """The model as ``.tflite`` bytes, int8 inside and at both ends, for one input at a time.

    ``representative`` (N, *shape) float32 are model inputs that show the range of every tensor. The same
    weights and inputs give the same bytes. Nothing is written to stdout or stderr.
    """
    return convert(model, "int8", representative, per_channel_dense)


def convert(
    model: Any, scheme: str, representative: Float32 | None = None, per_channel_dense: bool = True
) -> bytes:
    """A keras model as ``.tflite`` bytes by one of ``SCHEMES``, for one input at a time.

    int8: weights and activations of 8 bits. int16x8: activations of 16, weights of 8. Both need
    ``representative`` (N, *shape) float32. dynamic: int8 weights, activations quantized as they come. float16:
    weights of 16 bits. float32: as trained. The last three take and give float32.
    """
    tensorflow, _ = load_tensorflow()
    lite = tensorflow.lite

    def examples() -> Iterator[list[Float32]]:
        assert representative is not None
        for item in representative:
            yield [item[np.newaxis].astype(np.float32)]

    with quiet():
        # a batch of one, fixed: no operators that compute shapes on the device
        signature = tensorflow.TensorSpec((1, *model.input_shape[1:]), tensorflow.float32, name="input")
        call = tensorflow.function(lambda x: model(x, training=False), input_signature=[signature])
        converter = lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function()])
        _configure(tensorflow, converter, scheme, examples)
        if not per_channel_dense:
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        return bytes(converter.convert())


def _configure(tensorflow: Any, converter: Any, scheme: str, examples: Any) -> None:
    lite = tensorflow.lite
    if scheme not in SCHEMES:
        raise InputError(f"no quantization scheme {scheme!r}; there are {', '.join(SCHEMES)}")
    if scheme == "float32":
        return
    converter.optimizations = [lite.Optimize.DEFAULT]
    if scheme == "int8":
        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tensorflow.int8
    elif scheme == "int16x8":
        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [
            lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
        converter.inference_input_type = converter.inference_output_type = tensorflow.int16
    elif scheme == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]


def representative_rows(targets: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Up to ``count`` rows of ``targets`` (N,), the classes taken in turn: each is shown, however rare it is.

    Drawn without repetition; in ascending order.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(targets))
    turn = np.empty(len(targets), np.int64)
    for label in np.unique(targets):
        of_label = order[targets[order] == label]
        turn[of_label] = np.arange(len(of_label))
    place = np.empty(len(targets), np.int64)
    place[order] = np.arange(len(targets))
    return np.sort(np.lexsort((place, turn))[:count])


def quantize_inputs(x_float: Float32, scale: float, zero_point: int) -> NDArray[np.int8]:
    """Model inputs as int8 of the same shape, exactly as a device does it."""
    return quantize(x_float, scale, zero_point)


def tensor_contract(tflite: bytes) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a model without their batch dimension; raises ``InputError`` if it is not int8."""
    interpreter = open_model(tflite)
    taken, given = interpreter.get_input_details(), interpreter.get_output_details()
    if len(taken) != 1 or len(given) != 1:
        raise InputError(f"the model has {len(taken)} inputs and {len(given)} outputs; one of each is needed")
    return _spec(taken[0]), _spec(given[0])


def _spec(details: dict[str, Any]) -> TensorSpec:
    name = np.dtype(details["dtype"]).name
    if name != "int8":
        raise InputError(f"the tensor {details['name']} is {name}, not int8")
    scale, zero_point = details["quantization"]
    return TensorSpec(tuple(int(size) for size in details["shape"][1:]), name, float(scale), int(zero_point))


def open_model(tflite: bytes) -> Any:
    """A single-threaded interpreter with its tensors allocated: LiteRT, else the one inside TensorFlow.

    Raises ``InputError`` for bytes that are not a model.
    """
    factory = _interpreter_class()
    try:
        with quiet():
            interpreter = factory(model_content=tflite, num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"the model does not load: {error}") from error
    return interpreter


def _interpreter_class() -> Any:
    for module in ("ai_edge_litert.interpreter", "tensorflow.lite.python.interpreter"):
        try:
            return importlib.import_module(module).Interpreter
        except ImportError:
            continue
    raise MissingExtra(
        "no interpreter of .tflite models is installed", fix='pip install "edgeops[train]"', extra="train"
    )
