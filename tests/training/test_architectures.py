"""The built-in architectures: shapes, and the reference ones against their published MACs and parameters."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edgeops.training.architectures import ARCHITECTURES
from edgeops.training.backend import load_tensorflow

# MLPerf Tiny 1.0 reference models: input, outputs, million MACs, parameters
REFERENCES = {
    "ds_cnn": ((49, 10, 1), 12, 2.66, 24_908),
    "resnet_8": ((32, 32, 3), 10, 12.5, 78_666),
    "mobilenet_v1": ((96, 96, 3), 2, 7.49, 221_794),
    "autoencoder": ((640,), 640, 0.264, 269_992),
}


def defaults(name: str) -> dict[str, Any]:
    return {key: spec.default for key, spec in ARCHITECTURES[name].parameters.items()}


def made(name: str, shape: tuple[int, ...], outputs: int, **changed: Any) -> Any:
    _, keras = load_tensorflow()
    return ARCHITECTURES[name].build(keras, shape, outputs, **{**defaults(name), **changed})


def macs(model: Any) -> int:
    """Multiplications of every layer that has a kernel: each output value takes one per kernel weight."""
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        positions = math.prod(layer.output.shape[1:-1]) if len(layer.output.shape) > 2 else 1
        total += positions * math.prod(kernel.shape)
    return total


@pytest.mark.parametrize("name", REFERENCES)
def test_the_reference_architectures_have_their_published_size(name: str) -> None:
    shape, outputs, million_macs, parameters = REFERENCES[name]
    model = made(name, shape, outputs)
    assert macs(model) / 1e6 == pytest.approx(million_macs, rel=0.005)
    assert model.count_params() == parameters


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("small_cnn", (8, 8, 1)),
        ("ds_cnn", (20, 8, 1)),
        ("cnn_1d", (32, 2)),
        ("cnn_1d", (3, 1)),
        ("dense", (6,)),
        ("dense", (4, 2)),
        ("resnet_8", (16, 16, 1)),
        ("mobilenet_v1", (48, 48, 1)),
    ],
)
def test_a_classifier_gives_a_probability_for_each_class(name: str, shape: tuple[int, ...]) -> None:
    model = made(name, shape, 3)
    assert (model.input_shape, model.output_shape) == ((None, *shape), (None, 3))
    assert model.layers[-1].activation.__name__ == "softmax"


@pytest.mark.parametrize("shape", [(16,), (8, 2)])
def test_an_autoencoder_gives_back_its_inputs_shape(shape: tuple[int, ...]) -> None:
    assert made("autoencoder", shape, 0).output_shape == (None, *shape)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_layer_has_a_name_of_its_own_whatever_was_built_before(name: str) -> None:
    shape = {0: (6,), 2: (32, 2), 3: (32, 32, 1)}[ARCHITECTURES[name].rank]
    first = [layer.name for layer in made(name, shape, 3).layers]
    assert [layer.name for layer in made(name, shape, 3).layers] == first


def test_every_parameter_is_explained() -> None:
    for name, entry in ARCHITECTURES.items():
        for key, spec in entry.parameters.items():
            assert spec.about, f"{name}.{key}"
