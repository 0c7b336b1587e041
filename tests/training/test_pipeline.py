"""Real trainings, short ones: what comes out, that it repeats, and that stdout stays clean."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeops.core.errors import ConfigError, DataError, InputError
from edgeops.data.dataset import Dataset, Part, extend, new_dataset
from edgeops.data.items import Items
from edgeops.data.sources import read_source
from edgeops.training.evaluate import evaluate_int8, predict_int8
from edgeops.training.pipeline import TrainingResult, evaluate_part, train
from edgeops.training.prepare import prepare
from edgeops.training.quantize import quantize_inputs, tensor_contract
from edgeops.training.recipe import Recipe, find_recipe, load_recipe

ROOT = Path(__file__).resolve().parents[2]
TINY = """\
[recipe]
name = "tiny"
[data]
name = "digits"
[preprocessing]
steps = [{ op = "scale", factor = 0.0625 }]
[architecture]
ARCHITECTURE
[training]
epochs = 2
learning_rate = 0.005
augmentation = { rotation_degrees = 5, shift_pixels = 0.5, copies = 1 }
[quantization]
representative = [50]
[retrain]
captured_weight = 3
"""
BUILT_IN = 'kind = "small_cnn"\nfilters = [4, 8]\ndense = 16'


def tiny(folder: Path, architecture: str = BUILT_IN) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(TINY.replace("ARCHITECTURE", architecture))
    return load_recipe(path)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return new_dataset("digits", read_source("sklearn:digits"))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def result(recipe: Recipe, digits: Dataset) -> TrainingResult:
    return train(recipe, digits, seed=3)


@pytest.mark.slow
def test_the_shipped_recipe_reaches_its_gates_and_says_nothing(
    digits: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, int, dict[str, float]]] = []
    recipe = load_recipe(find_recipe("digits"))
    result = train(recipe, digits, 1, lambda *call: seen.append(call))
    assert capfd.readouterr() == ("", "")
    assert result.passed
    assert result.int8_metrics.accuracy >= 0.97
    assert abs(result.float_metrics.accuracy - result.int8_metrics.accuracy) <= 0.01
    assert len(result.tflite) <= 40_960
    assert [epoch for epoch, _, _ in seen] == list(range(1, recipe.training.epochs + 1))
    assert {epochs for _, epochs, _ in seen} == {recipe.training.epochs}
    assert set(seen[-1][2]) == {"loss", "accuracy", "val_accuracy"}
    assert seen[-1][2]["loss"] < seen[0][2]["loss"]


def test_the_contract_is_int8_at_both_ends(result: TrainingResult) -> None:
    assert (result.input.shape, result.input.dtype) == ((8, 8, 1), "int8")
    assert (result.output.shape, result.output.dtype) == ((10,), "int8")
    assert (result.output.scale, result.output.zero_point) == (1 / 256, -128)
    assert np.float32(result.input.scale) == result.input.scale
    assert tensor_contract(result.tflite) == (result.input, result.output)


def test_what_the_manifest_needs_is_there(result: TrainingResult, recipe: Recipe, digits: Dataset) -> None:
    counts = digits.counts()
    assert result.reference_inputs.shape == (counts["train"] + counts["validation"], 8, 8, 1)
    assert result.validation_outputs.shape == (counts["validation"], 10)
    assert result.test_inputs.shape == (counts["test"], 8, 8, 1)
    for array in (result.reference_inputs, result.validation_inputs, result.test_inputs, result.test_outputs):
        assert array.dtype == np.int8
    assert set(result.versions) == {"tensorflow", "keras", "numpy", "edgeops", "threads"}
    assert (result.test_outputs.argmax(axis=1) == result.test_targets).mean() == result.int8_metrics.accuracy
    assert (predict_int8(result.tflite, result.test_inputs) == result.test_outputs).all()
    assert evaluate_part(recipe, result.tflite, digits, "test") == result.int8_metrics
    assert evaluate_int8(result.tflite, *prepare(recipe, digits).part(Part.TEST)) == result.int8_metrics
    assert result.gates[0].name == "min_int8_accuracy"


def test_quantizing_covers_the_range_of_the_pixels(result: TrainingResult) -> None:
    ends = quantize_inputs(np.array([0, 1], np.float32), result.input.scale, result.input.zero_point)
    assert ends.tolist() == [-128, 127]


def test_the_same_seed_gives_the_same_bytes_in_one_process(
    result: TrainingResult, recipe: Recipe, digits: Dataset
) -> None:
    assert train(recipe, digits, seed=3).tflite == result.tflite
    assert train(recipe, digits, seed=4).tflite != result.tflite


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_another_process(
    result: TrainingResult, recipe: Recipe
) -> None:
    """On one core and with another hash seed, too: neither may reach the bytes."""
    code = (
        "import hashlib, os, sys\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from edgeops.data.dataset import new_dataset\n"
        "from edgeops.data.sources import read_source\n"
        "from edgeops.training.pipeline import train\n"
        "from edgeops.training.recipe import load_recipe\n"
        "data = new_dataset('digits', read_source('sklearn:digits'))\n"
        "print(hashlib.sha256(train(load_recipe(sys.argv[1]), data, 3).tflite).hexdigest())\n"
    )
    command = [sys.executable, "-c", code, str(recipe.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == hashlib.sha256(result.tflite).hexdigest() + "\n"


def test_retraining_learns_what_was_captured(result: TrainingResult, recipe: Recipe, digits: Dataset) -> None:
    """A world turned upside down: images that the first model cannot read, the second can."""
    inputs, targets = digits.part(Part.FIELD)
    flipped = np.ascontiguousarray(inputs[:, ::-1].astype(np.float32) * np.float32(0.5))
    parts = np.where(np.arange(len(flipped)) % 3 == 0, Part.CAPTURE_HOLDOUT, Part.TRAIN).astype(np.uint8)
    longer = extend(digits, flipped, targets, ["captured:d1"] * len(flipped), parts)
    again = train(recipe, longer, seed=3)
    old = evaluate_part(recipe, result.tflite, longer, Part.CAPTURE_HOLDOUT)
    new = evaluate_part(recipe, again.tflite, longer, Part.CAPTURE_HOLDOUT)
    assert new.accuracy > old.accuracy + 0.2
    # the original test part is what it was
    assert again.int8_metrics.n == result.int8_metrics.n


def test_a_recipe_brings_its_own_code(tmp_path: Path, digits: Dataset) -> None:
    (tmp_path / "model.py").write_text(
        "import keras\n"
        "def build(input_shape, n_classes, *, width):\n"
        "    image = keras.Input(input_shape, name='image')\n"
        "    x = keras.layers.Flatten(name='flatten')(image)\n"
        "    x = keras.layers.Dense(width, activation='relu', name='hidden')(x)\n"
        "    return keras.Model(image, keras.layers.Dense(n_classes, activation='softmax', name='out')(x))\n"
        "def wrong(input_shape, n_classes):\n"
        "    return build(input_shape, n_classes + 1, width=4)\n"
    )
    own = tiny(tmp_path, 'python = "model.py:build"\nparameters = { width = 32 }')
    assert train(own, digits, 1).int8_metrics.accuracy > 0.7
    with pytest.raises(ConfigError, match=r"not \(None, 8, 8, 1\) to \(None, 10\)"):
        train(tiny(tmp_path, 'python = "model.py:wrong"'), digits, 1)
    with pytest.raises(ConfigError, match="model.py:missing does not load"):
        train(tiny(tmp_path, 'python = "model.py:missing"'), digits, 1)


def test_a_dataset_that_does_not_belong_is_refused(recipe: Recipe, digits: Dataset) -> None:
    other = new_dataset("letters", Items(digits.inputs, digits.targets, digits.labels, (), "image"))
    with pytest.raises(ConfigError, match="'data.name' is 'digits', but the dataset letters@1"):
        train(recipe, other, 1)
    few = new_dataset("digits", Items(digits.inputs[:1], digits.targets[:1], digits.labels, (), "image"))
    with pytest.raises(DataError, match="is empty"):
        train(recipe, few, 1)
    with pytest.raises(DataError, match="'capture_holdout' of digits@1 is empty"):
        evaluate_part(recipe, b"", digits, "capture_holdout")


def test_bytes_and_inputs_that_do_not_fit_are_refused(result: TrainingResult) -> None:
    with pytest.raises(InputError, match="does not load"):
        tensor_contract(b"not a model")
    for wrong in (np.zeros((1, 8, 8), np.int8), np.zeros((1, 8, 8, 1), np.float32)):
        with pytest.raises(InputError, match=r"takes int8 inputs of shape \(8, 8, 1\)"):
            predict_int8(result.tflite, wrong)
