"""What each scheme makes of a model: types at its ends, types inside, and bytes that repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeops.core.errors import InputError
from edgeops.tflite.flatbuffer import read_graph
from edgeops.training.backend import load_tensorflow
from edgeops.training.foreign import run_tflite
from edgeops.training.quantize import SCHEMES, convert, open_model, tensor_contract

X = np.random.default_rng(1).normal(size=(40, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Any:
    _, keras = load_tensorflow()
    keras.utils.set_random_seed(1)
    layers = keras.layers
    return keras.Sequential([keras.Input((64,)), layers.Dense(64, activation="relu"), layers.Dense(3)])


def types(tflite: bytes) -> tuple[str, set[str]]:
    """The type at both ends, and those of constants of two dimensions: the kernels."""
    interpreter = open_model(tflite)
    ends = {
        np.dtype(detail["dtype"]).name
        for detail in (*interpreter.get_input_details(), *interpreter.get_output_details())
    }
    (end,) = ends
    kernels = {t.dtype for t in read_graph(tflite).main.tensors if t.is_constant and len(t.shape) == 2}
    return end, kernels


@pytest.mark.parametrize(
    ("scheme", "end", "kernels", "least_db"),
    [
        ("int8", "int8", {"int8"}, 25),
        ("int16x8", "int16", {"int8"}, 30),
        ("dynamic", "float32", {"int8"}, 25),
        ("float16", "float32", {"float16"}, 50),
        ("float32", "float32", {"float32"}, 100),
    ],
)
def test_types_and_what_is_lost(
    model: Any, scheme: str, end: str, kernels: set[str], least_db: float
) -> None:
    tflite = convert(model, scheme, X)
    found_end, found_kernels = types(tflite)
    assert found_end == end
    # a second layer of 192 weights is below what the converter quantizes dynamically
    assert found_kernels - {"float32"} == kernels - {"float32"}
    wanted, found = np.asarray(model(X), np.float64), run_tflite(tflite, X)
    assert 10 * np.log10((wanted**2).sum() / (((wanted - found) ** 2).sum() + 1e-20)) > least_db


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_bytes_each_time(model: Any, scheme: str) -> None:
    assert convert(model, scheme, X) == convert(model, scheme, X)


def test_a_scale_for_each_unit_or_for_the_layer(model: Any) -> None:
    def scales(per_channel: bool) -> set[int]:
        graph = read_graph(convert(model, "int8", X, per_channel)).main
        return {t.scales for t in graph.tensors if t.is_constant and len(t.shape) == 2}

    assert scales(True) == {64, 3}
    assert scales(False) == {1}


def test_only_int8_has_the_contract_of_devices(model: Any) -> None:
    taken, given = tensor_contract(convert(model, "int8", X))
    assert (taken.shape, given.shape) == ((64,), (3,))
    with pytest.raises(InputError, match="is int16, not int8"):
        tensor_contract(convert(model, "int16x8", X))


def test_an_unknown_scheme_names_those_that_there_are(model: Any) -> None:
    with pytest.raises(InputError, match="no quantization scheme 'int4'; there are int8, int16x8"):
        convert(model, "int4", X)
