"""Cheap updates: the parent's file with other numbers in some of its buffers, and nothing else changed."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.small_models import SMALL, blobs, random_model, settle, small_recipe

from edgeops.core.errors import DataError, InputError
from edgeops.tflite.flatbuffer import read_graph
from edgeops.training.backend import load_tensorflow
from edgeops.training.finetune import FineTuned, Strategy, fine_tune
from edgeops.training.fit import TrainingSet
from edgeops.training.foreign import run_tflite
from edgeops.training.pruning import prunable_kernels
from edgeops.training.quantize import convert
from edgeops.training.recipe import Recipe
from edgeops.training.requantize import Requantizer
from edgeops.training.weights import rebuilt, to_bytes

KINDS = ["ds_cnn", *(pytest.param(kind, marks=pytest.mark.slow) for kind in SMALL if kind != "ds_cnn")]
FURTHER = "[training]\nepochs = 8\nbatch_size = 20\nlearning_rate = 0.01\n"


def parent_of(folder: Path, kind: str, more: str = FURTHER) -> tuple[Recipe, Any, bytes, TrainingSet]:
    recipe = small_recipe(folder, kind, more)
    data = blobs(SMALL[kind][0])
    model = random_model(recipe, SMALL[kind][0])
    settle(model, data.inputs)
    return recipe, model, convert(model, "int8", data.inputs), data


def differing(parent: bytes, child: bytes) -> set[str]:
    """The tensors in whose data the two differ; they must not differ anywhere else."""
    assert len(parent) == len(child)
    places = np.flatnonzero(np.frombuffer(parent, np.uint8) != np.frombuffer(child, np.uint8))
    names = {}
    for tensor in read_graph(parent).main.tensors:
        for place in range(tensor.data_at, tensor.data_at + tensor.constant_bytes):
            names[place] = tensor.name
    return {names[place] for place in places}


class TestTheProof:
    """The parent's own weights give the parent's own bytes: that is how the buffers are known."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("per_channel_dense", [True, False])
    def test_the_same_weights_give_the_same_file(
        self, tmp_path: Path, kind: str, per_channel_dense: bool
    ) -> None:
        _, model, _, data = parent_of(tmp_path, kind)
        parent = convert(model, "int8", data.inputs, per_channel_dense)
        in_float = convert(model, "float32")
        requantizer = Requantizer(parent, in_float)
        operators = read_graph(parent).main.operators
        weighted = [op for op in operators if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
        assert len(requantizer) == 2 * len(weighted)  # a kernel and a bias each
        done = requantizer.apply(in_float)
        assert (done.tflite, done.changed, done.saturated) == (parent, 0, 0)

    def test_a_channel_that_is_all_zero_stays_so(self, tmp_path: Path) -> None:
        _, model, _, data = parent_of(tmp_path, "ds_cnn")
        for name in ("conv", "pointwise_1"):
            kernel, bias = model.get_layer(name).get_weights()
            kernel[..., 2] = 0
            model.get_layer(name).set_weights([kernel, bias])
        parent, in_float = convert(model, "int8", data.inputs), convert(model, "float32")
        done = Requantizer(parent, in_float).apply(in_float)
        assert (done.tflite, done.saturated) == (parent, 0)

    def test_other_weights_are_refused(self, tmp_path: Path) -> None:
        recipe, _, parent, _ = parent_of(tmp_path, "ds_cnn")
        other = random_model(recipe, SMALL["ds_cnn"][0], seed=2)
        with pytest.raises(
            InputError, match="stored weights and int8 model do not belong together"
        ) as caught:
            Requantizer(parent, convert(other, "float32"))
        assert caught.value.fix == "train the model again"

    def test_another_architecture_is_refused(self, tmp_path: Path) -> None:
        _, model, parent, _ = parent_of(tmp_path, "ds_cnn")
        wider = small_recipe(tmp_path, "ds_cnn", parameters="filters = 12\nblocks = 2")
        deeper = small_recipe(tmp_path, "ds_cnn", parameters="filters = 8\nblocks = 3")
        requantizer = Requantizer(parent, convert(model, "float32"))
        for changed in (wider, deeper):
            other = convert(random_model(changed, SMALL["ds_cnn"][0]), "float32")
            with pytest.raises(InputError, match="another architecture than its parent"):
                requantizer.apply(other)
        with pytest.raises(InputError, match="do not have the same operators"):
            Requantizer(parent, other)
        with pytest.raises(InputError, match="has none of the float model's weights"):
            Requantizer(convert(model, "float32"), convert(model, "float32"))
        with pytest.raises(DataError, match="not a usable TensorFlow Lite model"):
            Requantizer(parent[:500], convert(model, "float32"))


class TestRequantizing:
    @pytest.fixture(scope="class")
    @classmethod
    def dense(cls, tmp_path_factory: pytest.TempPathFactory) -> Any:
        """A model of dense layers, its int8 version, and how to write other weights into it."""
        _, model, parent, _ = parent_of(tmp_path_factory.mktemp("dense"), "dense")
        requantizer = Requantizer(parent, convert(model, "float32"))
        weights = model.get_weights()

        def with_change(change: Any, **how: Any) -> Any:
            model.set_weights([change(values) if values.ndim == 2 else values for values in weights])
            done = requantizer.apply(convert(model, "float32"), **how)
            model.set_weights(weights)
            return done

        return parent, weights, with_change

    def test_what_does_not_fit_is_set_to_the_end_and_counted(self, dense: Any) -> None:
        parent, weights, with_change = dense
        done = with_change(lambda values: 2 * values)
        kernels = sum(values.size for values in weights if values.ndim == 2)
        assert 0 < done.saturated < kernels
        for tensor in read_graph(parent).main.tensors:
            if tensor.dtype == "int8" and tensor.is_constant:
                raw = np.frombuffer(done.tflite, np.int8, tensor.elements, tensor.data_at)
                assert raw.max() <= 127 and raw.min() >= -127

    @settings(max_examples=12)
    @given(st.floats(0, 3))
    def test_a_weight_that_moved_too_little_is_left(self, dense: Any, keep_within: float) -> None:
        parent, weights, with_change = dense
        kernel = weights[0]
        step = (
            np.abs(kernel).max(axis=0) / 127
        )  # every weight moves by 1.6 steps, away from the end of its range

        def move(values: Any) -> Any:
            return values - 1.6 * step * np.sign(values) if values.shape == kernel.shape else values

        done = with_change(move, keep_within=keep_within)
        moved = done.changed > 0
        assert moved == (keep_within < 1.6)
        assert moved or done.tflite == parent

    def test_two_kernels_that_were_equal_share_a_buffer_and_must_stay_equal(self, tmp_path: Path) -> None:
        model, requantizer = self.with_twins(tmp_path, bias=1.0)
        kernel, bias = model.get_layer("dense_1").get_weights()
        model.get_layer("dense_1").set_weights([kernel * 0.5, bias])
        with pytest.raises(InputError, match="shares its data with another tensor that changed otherwise"):
            requantizer.apply(convert(model, "float32"))
        model.get_layer("dense_2").set_weights([kernel * 0.5, bias])
        assert requantizer.apply(convert(model, "float32")).changed > 0

    def test_a_bias_that_the_converter_left_out_cannot_come_back(self, tmp_path: Path) -> None:
        model, requantizer = self.with_twins(tmp_path, bias=0.0)
        kernel, bias = model.get_layer("dense_1").get_weights()
        model.get_layer("dense_1").set_weights([kernel, bias + 1])
        with pytest.raises(InputError, match="changed, and has no place in the int8 model"):
            requantizer.apply(convert(model, "float32"))

    @staticmethod
    def with_twins(folder: Path, bias: float) -> tuple[Any, Requantizer]:
        """A model whose first two layers have equal kernels, and equal biases of one value."""
        recipe = small_recipe(folder, "dense", parameters="units = [6, 6]")
        model = random_model(recipe, (6,))
        kernel = model.get_layer("dense_1").get_weights()[0]
        for name in ("dense_1", "dense_2"):
            model.get_layer(name).set_weights([kernel, np.full(6, bias, np.float32)])
        return model, Requantizer(convert(model, "int8", blobs((6,)).inputs), convert(model, "float32"))


def tuned(folder: Path, kind: str, strategy: Strategy, **how: Any) -> tuple[bytes, FineTuned, TrainingSet]:
    recipe, model, parent, data = parent_of(folder, kind)
    return parent, fine_tune(recipe, model, parent, data, strategy, 1, **how), data


def accuracy(tflite: bytes, data: TrainingSet) -> float:
    return float((run_tflite(tflite, data.inputs).argmax(axis=1) == data.targets).mean())


class TestStrategies:
    def test_of_the_head_only_its_kernel_and_bias_change(self, tmp_path: Path) -> None:
        parent, done, data = tuned(tmp_path, "ds_cnn", Strategy.HEAD, epochs=8)
        changed = differing(parent, done.tflite)
        assert changed and all("scores" in name for name in changed), changed
        assert done.values > done.changed > 0
        assert accuracy(done.tflite, data) > accuracy(parent, data) + 0.1

    def test_within_frozen_scales_every_weight_may_change(self, tmp_path: Path) -> None:
        how = {"epochs": 6, "learning_rate": 0.01, "keep_within": 0.0}
        parent, done, data = tuned(tmp_path, "ds_cnn", Strategy.FROZEN_SCALE, **how)
        assert len(differing(parent, done.tflite)) == 12  # kernel and bias of six layers
        assert accuracy(done.tflite, data) > accuracy(parent, data) + 0.1

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", [kind for kind in SMALL if kind != "ds_cnn"])
    @pytest.mark.parametrize("strategy", Strategy)
    def test_no_other_byte_changes(self, tmp_path: Path, kind: str, strategy: Strategy) -> None:
        parent, done, _ = tuned(tmp_path, kind, strategy, keep_within=0.0)
        assert differing(parent, done.tflite)

    def test_the_int8_model_is_that_of_the_float_one(self, tmp_path: Path) -> None:
        """What training learned reaches the device: both say the same of nearly every input."""
        _, done, data = tuned(tmp_path, "ds_cnn", Strategy.HEAD)
        in_float = run_tflite(convert(done.model, "float32"), data.inputs).argmax(axis=1)
        assert (run_tflite(done.tflite, data.inputs).argmax(axis=1) == in_float).mean() > 0.9

    def test_a_head_costs_less_than_all_weights_and_both_less_than_the_whole(self, tmp_path: Path) -> None:
        def cost(parent: bytes, child: bytes) -> int:
            difference = np.frombuffer(child, np.uint8) - np.frombuffer(parent, np.uint8)
            return len(zlib.compress(difference.tobytes(), 9))

        parent, head, _ = tuned(tmp_path, "ds_cnn", Strategy.HEAD)
        _, frozen, _ = tuned(tmp_path, "ds_cnn", Strategy.FROZEN_SCALE)
        assert cost(parent, head.tflite) < cost(parent, frozen.tflite) < len(zlib.compress(parent, 9))

    def test_repeats(self, tmp_path: Path) -> None:
        first, again = (tuned(tmp_path, "small_cnn", Strategy.FROZEN_SCALE)[1].tflite for _ in range(2))
        assert first == again

    def test_starts_from_stored_weights(self, tmp_path: Path) -> None:
        recipe, model, parent, data = parent_of(tmp_path, "small_cnn")
        again = rebuilt(recipe, SMALL["small_cnn"][0], 3, to_bytes(model))
        done = fine_tune(recipe, again, parent, data, Strategy.HEAD, 1)
        assert done.model is again
        assert len(done.curves) == 2  # a quarter of eight epochs

    def test_pruned_weights_stay_zero(self, tmp_path: Path) -> None:
        recipe, model, _, data = parent_of(tmp_path, "small_cnn", FURTHER + "pruning = { sparsity = 0.5 }\n")
        holes = {}
        for kernel in prunable_kernels(model):
            holes[kernel.path] = kernel.numpy() < np.median(kernel.numpy())
            kernel.assign(np.where(holes[kernel.path], 0, kernel.numpy()))
        parent = convert(model, "int8", data.inputs)
        fine_tune(recipe, model, parent, data, Strategy.FROZEN_SCALE, 1)
        for kernel in prunable_kernels(model):
            assert ((kernel.numpy() == 0) == holes[kernel.path]).all()

    def test_a_model_without_a_dense_head_is_refused(self, tmp_path: Path) -> None:
        _, keras = load_tensorflow()
        recipe, _, _, data = parent_of(tmp_path, "small_cnn")
        image = keras.Input((8, 8, 1))
        x = keras.layers.Conv2D(3, 8, name="all_of_it")(image)
        model = keras.Model(image, keras.layers.Softmax()(keras.layers.Flatten()(x)))
        parent = convert(model, "int8", data.inputs)
        with pytest.raises(InputError, match="'all_of_it', is not dense") as caught:
            fine_tune(recipe, model, parent, data, Strategy.HEAD, 1)
        assert caught.value.fix == "use the strategy frozen_scale"
        assert fine_tune(recipe, model, parent, data, Strategy.FROZEN_SCALE, 1).changed
