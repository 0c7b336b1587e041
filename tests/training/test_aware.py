"""Training under rounding: where it rounds, that it rounds as the device does, and that it helps."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_models import SMALL, blobs, random_model, settle, small_recipe, unsettle

from edgeops.core.errors import ConfigError
from edgeops.tflite.flatbuffer import read_graph
from edgeops.training.aware import train_aware
from edgeops.training.backend import load_tensorflow
from edgeops.training.fit import Fitted, TrainingSet, predict_float, train_float
from edgeops.training.foreign import run_tflite
from edgeops.training.pruning import prunable_kernels
from edgeops.training.quantize import convert, tensor_contract
from edgeops.training.recipe import Recipe
from edgeops.training.rounding import _rounded_kernel, rounded_clone, rounding_forward

AWARE = "[training]\nepochs = 2\nbatch_size = 20\n[quantization]\naware_epochs = 1\n"
# each layer whose channels are scaled, and the one that reads them
STAGES = (
    ("conv_norm", "depthwise_1"),
    ("depthwise_1_norm", "pointwise_1"),
    ("pointwise_1_norm", "depthwise_2"),
    ("depthwise_2_norm", "pointwise_2"),
)
BLOCKS = (("stack_1_a_norm", "stack_1_b"), ("stack_2_a_norm", "stack_2_b"))


def made(folder: Path, kind: str, more: str = AWARE) -> tuple[Recipe, Any, TrainingSet]:
    recipe = small_recipe(folder, kind, more)
    return recipe, random_model(recipe, SMALL[kind][0]), blobs(SMALL[kind][0])


def accuracy(model: Any, data: TrainingSet) -> float:
    tflite = convert(model, "int8", data.inputs)
    return float((run_tflite(tflite, data.validation[0]).argmax(axis=1) == data.validation[1]).mean())


def reads(clone: Any, name: str) -> str:
    """The layer whose output this one reads."""
    return str(clone.get_layer(name).input._keras_history.operation.name)


class TestWhereItRounds:
    def test_not_within_an_operator(self, tmp_path: Path) -> None:
        _, model, data = made(tmp_path, "ds_cnn")
        clone = rounded_clone(model, data.inputs)
        fused = {"conv_norm": "conv", "conv_relu": "conv_norm", "pointwise_1_norm": "pointwise_1"}
        assert {name: reads(clone, name) for name in fused} == fused

    def test_at_the_input_and_between_operators(self, tmp_path: Path) -> None:
        _, model, data = made(tmp_path, "ds_cnn")
        clone = rounded_clone(model, data.inputs)
        for name in ("conv", "conv_dropout", "pointwise_1", "dropout"):
            assert reads(clone, name).startswith("rounded"), name
        # what only moves values about is not rounded once more
        assert (reads(clone, "scores"), reads(clone, "pool")) == ("flatten", "dropout")
        assert (reads(clone, "flatten"), reads(clone, reads(clone, "dropout"))) == (
            "pool",
            "pointwise_2_relu",
        )

    def test_both_sides_of_a_sum(self, tmp_path: Path) -> None:
        _, model, data = made(tmp_path, "resnet_8")
        clone = rounded_clone(model, data.inputs)
        for tensor in clone.get_layer("stack_2_add").input:
            assert tensor._keras_history.operation.name.startswith("rounded")
        assert reads(clone, "stack_2_relu") == "stack_2_add"

    def test_a_sequential_model_too(self, tmp_path: Path) -> None:
        _, keras = load_tensorflow()
        layers = [keras.layers.Dense(4, activation="relu", name="a"), keras.layers.Dense(3, name="b")]
        model = keras.Sequential([keras.Input((6,)), *layers])
        clone = rounded_clone(model, np.ones((5, 6), np.float32))
        assert all(reads(clone, name).startswith("rounded") for name in "ab")


class TestHowItRounds:
    @given(st.integers(0, 200), st.sampled_from([(0, 1, 2), (0, 1), ()]))
    def test_kernels_have_255_steps_a_scale(self, seed: int, axes: tuple[int, ...]) -> None:
        _, keras = load_tensorflow()
        values = np.random.default_rng(seed).normal(size=(3, 3, 4, 5)).astype(np.float32)
        values[0, 0] = 0
        rounded = _rounded_kernel(keras.Variable(values), axes or (0, 1, 2, 3)).numpy()
        scale = np.abs(values).max(axis=axes or None, keepdims=True) / 127
        steps = rounded / scale
        assert np.abs(steps - np.rint(steps)).max() < 1e-3
        assert np.abs(steps).max() == pytest.approx(127)
        assert np.abs(rounded - values).max(axis=axes or None, keepdims=True).max() <= 0.51 * scale.max()
        assert (rounded[0, 0] == 0).all()

    def test_gradients_pass_through(self) -> None:
        tensorflow, keras = load_tensorflow()
        variable = keras.Variable(np.array([[0.3, -1.0], [0.7, 0.2]], np.float32))
        with tensorflow.GradientTape() as tape:
            value = tensorflow.reduce_sum(_rounded_kernel(variable, (0,)) * [[1.0, 2.0], [3.0, 4.0]])
        assert tape.gradient(value, variable.value).numpy().tolist() == [[1, 2], [3, 4]]

    @pytest.mark.parametrize(
        ("kind", "last", "pairs", "spread"),
        [
            ("ds_cnn", "pointwise_2_relu", STAGES, 1.5),
            pytest.param("resnet_8", "stack_2_relu", BLOCKS, 2.0, marks=pytest.mark.slow),
        ],
    )
    def test_the_features_are_those_of_the_int8_model(
        self, tmp_path: Path, kind: str, last: str, pairs: tuple[tuple[str, str], ...], spread: float
    ) -> None:
        """Nearer by far than those of the float model, which is what makes training under it worth while.

        Channels of different scales keep int8 far from float; where they are near, little is left to compare.
        """
        _, keras = load_tensorflow()
        _, model, data = made(tmp_path, kind)
        unsettle(model, pairs, spread)
        x = data.inputs
        settle(model, x)
        model = keras.Model(model.inputs[0], model.get_layer(last).output)
        tflite = convert(model, "int8", x)
        clone, device, scale = (
            rounded_clone(model, x),
            run_tflite(tflite, x),
            tensor_contract(tflite)[1].scale,
        )
        for layer in clone.layers:
            if hasattr(layer, "kernel"):
                own = 2 if "Depthwise" in type(layer).__name__ else 1
                axes = tuple(range(len(layer.kernel.shape) - own))
                layer.kernel.assign(_rounded_kernel(layer.kernel, axes))
        # in steps of the last tensor's own scale
        found = [np.rint(predict_float(one, x) / scale).reshape(len(x), -1) for one in (clone, model)]
        missed, without = (np.abs(steps - device / scale).mean() for steps in found)
        assert without > 5
        assert missed < 0.2 * without


class TestTraining:
    @pytest.mark.parametrize(
        "kind",
        [
            "ds_cnn",
            *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("resnet_8", "autoencoder", "cnn_1d")),
        ],
    )
    def test_gives_an_int8_model_of_the_same_tensors(self, tmp_path: Path, kind: str) -> None:
        recipe, model, data = made(tmp_path, kind)
        before = [values.copy() for values in model.get_weights()]
        further = train_aware(recipe, Fitted(model, ()), data, data.inputs, 1)
        assert all((old == new).all() for old, new in zip(before, model.get_weights(), strict=True))
        assert any((old != new).any() for old, new in zip(before, further.model.get_weights(), strict=True))
        usual, aware = (convert(one, "int8", data.inputs) for one in (model, further.model))
        assert [(t.name, t.dtype, t.shape, t.scales) for t in read_graph(aware).main.tensors] == [
            (t.name, t.dtype, t.shape, t.scales) for t in read_graph(usual).main.tensors
        ]
        assert {tensor.dtype for tensor in read_graph(aware).main.tensors} <= {"int8", "int32"}
        taken, given = tensor_contract(aware)
        assert (taken.dtype, given.dtype) == ("int8", "int8")
        assert np.isfinite(run_tflite(aware, data.validation[0])).all()

    def test_repeats(self, tmp_path: Path) -> None:
        recipe, model, data = made(tmp_path, "small_cnn")
        one, two = (train_aware(recipe, Fitted(model, ()), data, data.inputs, 1).model for _ in range(2))
        assert convert(one, "int8", data.inputs) == convert(two, "int8", data.inputs)

    def test_keeps_pruned_weights_at_zero(self, tmp_path: Path) -> None:
        recipe, model, data = made(
            tmp_path, "small_cnn", AWARE.replace("[quant", "pruning = { sparsity = 0.5 }\n[quant")
        )
        for kernel in prunable_kernels(model):
            kernel.assign(np.where(kernel.numpy() > np.median(kernel.numpy()), kernel.numpy(), 0))
        further = train_aware(recipe, Fitted(model, ()), data, data.inputs, 1).model
        for before, after in zip(prunable_kernels(model), prunable_kernels(further), strict=True):
            assert ((before.numpy() == 0) == (after.numpy() == 0)).all()

    def test_updates_statistics_and_adds_penalties(self, tmp_path: Path) -> None:
        """Normalisation goes on adapting, and a layer's own penalty counts, as in any training."""
        _, model, data = made(tmp_path, "resnet_8")
        clone = rounded_clone(model, data.inputs)
        before = clone.get_layer("conv_norm").moving_mean.numpy()
        _, losses = rounding_forward(clone, True)(data.inputs)
        assert (clone.get_layer("conv_norm").moving_mean.numpy() != before).all()
        assert losses and all(float(loss) > 0 for loss in losses)

    def test_a_model_without_a_graph_is_refused(self, tmp_path: Path) -> None:
        _, keras = load_tensorflow()

        class Own(keras.Model):
            def call(self, x: Any) -> Any:
                return x

        recipe, _, data = made(tmp_path, "dense")
        own = Own()
        own(data.inputs)
        with pytest.raises(ConfigError, match="needs a functional keras model") as caught:
            train_aware(recipe, Fitted(own, ()), data, data.inputs, 1)
        assert 'aware = "never"' in (caught.value.fix or "")


@pytest.mark.slow
def test_it_regains_most_of_what_int8_lost(tmp_path: Path) -> None:
    """Channels of very different scales share one in int8: a net that loses over ten points wins most of them back."""
    recipe = small_recipe(
        tmp_path,
        "ds_cnn",
        "[training]\nepochs = 12\nlearning_rate = 0.01\n[quantization]\naware_epochs = 8\n",
    )
    data = blobs(SMALL["ds_cnn"][0], classes=6, train=600, validation=900, noise=2.0)
    unwatched = dataclasses.replace(data, validation=(data.validation[0][:0], data.validation[1][:0]))
    fitted = train_float(recipe, unwatched, 1)
    unsettle(fitted.model, STAGES, 1.8)
    in_float = float(
        (predict_float(fitted.model, data.validation[0]).argmax(axis=1) == data.validation[1]).mean()
    )
    lost = in_float - accuracy(fitted.model, data)
    still = in_float - accuracy(train_aware(recipe, fitted, data, data.inputs, 1).model, data)
    assert lost > 0.1
    assert still < 0.5 * lost
