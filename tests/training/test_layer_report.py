"""Where int8 lost accuracy: by layer, by channel, and at the ends of the range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeops.core.errors import InputError
from edgeops.training.backend import load_tensorflow
from edgeops.training.layer_report import LayerFigures, _names, layer_report
from edgeops.training.quantize import convert

X = np.random.default_rng(1).normal(size=(40, 8, 8, 2)).astype(np.float32)


def model_of(spread: tuple[float, ...] = (1, 1, 1, 1)) -> Any:
    """A convolution with channels of those scales, and scores."""
    _, keras = load_tensorflow()
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(3, name="scores"),
        ]
    )
    kernel, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([kernel * np.array(spread, np.float32), bias])
    return model


def report(model: Any, examples: Any = X, shown: Any = X) -> list[LayerFigures]:
    return layer_report(convert(model, "float32"), convert(model, "int8", examples), shown)


def test_each_operator_that_computes_is_there_in_order() -> None:
    found = report(model_of())
    assert [layer.op for layer in found] == ["CONV_2D", "FULLY_CONNECTED"]
    assert found[0].name == "conv_1/Relu"
    assert found[0].shape == (1, 6, 6, 4)
    assert all(layer.snr_db > 25 and layer.worst_snr_db <= layer.snr_db + 1e-9 for layer in found)


def test_the_worst_channel_is_the_one_that_the_common_scale_is_too_coarse_for() -> None:
    found = report(model_of((1, 1, 0.01, 1)))[0]
    assert found.worst_channel == 2
    assert found.worst_snr_db < found.snr_db - 20
    assert found.snr_db == pytest.approx(report(model_of())[0].snr_db, abs=3)


def test_examples_that_show_too_small_a_range_saturate() -> None:
    assert report(model_of())[0].saturated < 0.001
    narrow = report(model_of(), examples=0.1 * X)[0]
    assert narrow.saturated > 0.1
    assert narrow.snr_db < 10


def test_other_models_do_not_match() -> None:
    _, keras = load_tensorflow()
    other = keras.Sequential([keras.Input((8, 8, 2)), keras.layers.MaxPooling2D(name="other")])
    with pytest.raises(InputError, match="no tensor of the int8 model"):
        layer_report(convert(other, "float32"), convert(model_of(), "int8", X), X)


def test_plain_values_are_rounded() -> None:
    figures = LayerFigures("conv", "CONV_2D", (1, 3), 39.84567, 2, 12.34567, 0.00012345).to_dict()
    assert (figures["snr_db"], figures["worst_snr_db"], figures["saturated"]) == (39.85, 12.35, 0.000123)


@pytest.mark.parametrize(
    ("tensors", "names"),
    [
        (
            ["net/conv/Relu;net/conv/Bias", "net/scores/MatMul", "Identity"],
            ["conv/Relu", "scores/MatMul", "Identity"],
        ),
        (["a/conv/Relu", "b/conv/Relu"], ["a/conv/Relu", "b/conv/Relu"]),
        (["conv/Relu"], ["conv/Relu"]),
    ],
)
def test_names_are_without_the_model_that_all_are_in(tensors: list[str], names: list[str]) -> None:
    assert _names(tensors) == names
