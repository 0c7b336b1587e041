"""``edgeops quantize``: what a person sees, for good files and for each kind of bad one."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from edgeops.cli.main import run
from edgeops.training.backend import load_tensorflow, quiet
from edgeops.training.quantize import open_model


class Said(NamedTuple):
    code: int
    out: str
    err: str


Quantize = Callable[..., Said]
X = np.random.default_rng(1).normal(size=(60, 8, 8, 1)).astype(np.float32)
Y = np.arange(60) % 3
SPOILT = X.copy()
SPOILT[3, 2, 1] = np.nan


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models as they come from elsewhere, good and bad."""
    folder = tmp_path_factory.mktemp("models")
    _, keras = load_tensorflow()
    layers = keras.layers
    keras.utils.set_random_seed(1)

    class Own(layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return 2 * x

    def stack(*parts: Any, shape: tuple[int | None, ...] = (8, 8, 1)) -> Any:
        return keras.Sequential([keras.Input(shape), *parts])

    good = stack(
        layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3, activation="softmax")
    )
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    pooled = layers.GlobalAveragePooling2D()
    with quiet():
        good.save(folder / "good.keras")
        good.export(folder / "saved", verbose=False)
        stack(layers.Conv2D(4, 3), pooled, layers.Dense(3), shape=(None, None, 1)).save(folder / "any.keras")
        stack(layers.LSTM(3), layers.Dense(3), shape=(5, 4)).save(folder / "lstm.keras")
        stack(layers.LSTM(3), layers.Dense(3), shape=(5, 4)).export(folder / "lstm", verbose=False)
        stack(layers.Flatten(), layers.Dense(1, activation="sigmoid")).save(folder / "two_classes.keras")
        stack(layers.Conv2D(1, 1)).save(folder / "image.keras")
        stack(Own(), layers.Flatten(), layers.Dense(3)).save(folder / "own.keras")
        stack(layers.Lambda(lambda x: 2 * x), layers.Flatten()).save(folder / "lambda.keras")
        keras.Model([a, b], layers.Dense(3)(layers.Concatenate()([a, b]))).save(folder / "inputs.keras")
        keras.Model(a, [layers.Dense(3)(a), layers.Dense(2)(a)]).save(folder / "outputs.keras")
        whole = keras.Input((5,), dtype="int32")
        keras.Model(whole, layers.Flatten()(layers.Embedding(9, 2)(whole))).save(folder / "whole.keras")
        keras.Sequential([layers.Dense(3)]).save(folder / "unbuilt.keras")
    content = (folder / "good.keras").read_bytes()
    (folder / "cut.keras").write_bytes(content[: len(content) // 2])
    (folder / "text.keras").write_text("hello")
    (folder / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    (folder / "model.onnx").write_bytes(b"\x08\x07")
    (folder / "folder").mkdir()
    shutil.copytree(folder / "saved", folder / "cut_saved")
    whole_pb = (folder / "saved" / "saved_model.pb").read_bytes()
    (folder / "cut_saved" / "saved_model.pb").write_bytes(whole_pb[: len(whole_pb) // 2])
    return folder


@pytest.fixture
def quantize(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Quantize:
    """``quantize("good.keras", {"x": X}, *options)``, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def asked(model: str, arrays: dict[str, Any] | None, *options: str) -> Said:
        if arrays is not None:
            np.savez(tmp_path / "data.npz", **arrays)
        line = ["edgeops", "quantize", str(models / model), "--data", "data.npz", *options]
        monkeypatch.setattr(sys, "argv", line)
        capfd.readouterr()
        code = 0
        try:
            run()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return Said(code, out, err.replace(f"{models}/", ""))

    return asked


GOOD = {"x": X, "y": Y}


class TestAGoodModel:
    def test_the_table_fits_in_80_columns(self, quantize: Quantize) -> None:
        said = quantize("good.keras", GOOD, "--layers")
        assert (said.code, said.err) == (0, "the data has 60 items: all of them are representative\n")
        lines = said.out.splitlines()
        assert lines[0].split() == ["scheme", "bytes", "accuracy", "agreement", "snr", "db", "representative"]
        assert [line.split()[0] for line in lines[1:6]] == [
            "int8",
            "int16x8",
            "dynamic",
            "float16",
            "float32",
        ]
        assert lines[7].split() == ["layer", "snr", "db", "worst", "db", "channel", "saturated", "op"]
        assert [line.split()[-1] for line in lines[8:]] == ["CONV_2D", "FULLY_CONNECTED", "SOFTMAX"]
        assert max(map(len, lines)) <= 80

    def test_json_is_one_document(self, quantize: Quantize) -> None:
        said = quantize("good.keras", GOOD, "--scheme", "int8", "--scheme", "float32", "--layers", "--json")
        document = json.loads(said.out, parse_constant=pytest.fail)
        int8, float32 = document["variants"]
        assert (int8["scheme"], int8["representative"], int8["taken"]) == ("int8", 60, True)
        assert (float32["agreement"], float32["snr_db"], float32["representative"]) == (1.0, None, None)
        assert {"layer", "op", "snr_db", "worst_channel", "worst_snr_db", "saturated"} <= set(
            document["layers"][0]
        )

    @pytest.mark.parametrize(("more", "first"), [((), "scheme"), (("--layers",), "layer")])
    def test_csv_is_of_one_thing(self, quantize: Quantize, more: tuple[str, ...], first: str) -> None:
        said = quantize("good.keras", GOOD, "--scheme", "int8", "-o", "csv", *more)
        assert said.out.startswith(f"{first},")
        assert len({line.count(",") for line in said.out.splitlines() if "[" not in line}) == 1

    def test_the_files_are_written_into_new_folders(self, quantize: Quantize, tmp_path: Path) -> None:
        said = quantize("good.keras", GOOD, "--out", "new/m.tflite", "--plot", "new/layers.svg")
        assert said.code == 0
        assert said.err.endswith("int8 written to new/m.tflite\nlayers drawn into new/layers.svg\n")
        model = open_model((tmp_path / "new" / "m.tflite").read_bytes())
        assert model.get_input_details()[0]["dtype"] is np.int8
        assert "</svg>" in (tmp_path / "new" / "layers.svg").read_text()

    def test_a_sweep_says_which_size_is_taken_and_writes_that(
        self, quantize: Quantize, tmp_path: Path
    ) -> None:
        options = ["--scheme", "int8", "--scheme", "dynamic", "--sweep", "30,1,5000"]
        said = quantize("good.keras", GOOD, *options, "--json", "--out", "m.tflite")
        *int8, dynamic = json.loads(said.out)["variants"]
        assert [row["representative"] for row in (*int8, dynamic)] == [1, 30, 60, None]
        best = max(int8, key=lambda row: (row["accuracy"], row["snr_db"]))
        assert [row["taken"] for row in int8] == [row is best for row in int8]
        assert (tmp_path / "m.tflite").stat().st_size == best["bytes"]
        assert "taken" in quantize("good.keras", GOOD, *options).out.splitlines()[0]

    @pytest.mark.parametrize(
        ("model", "arrays"),
        [
            ("saved", GOOD),
            ("any.keras", GOOD),
            ("lstm.keras", {"x": np.random.default_rng(1).normal(size=(9, 5, 4))}),
            ("two_classes.keras", {"x": X, "y": Y % 2}),
            ("image.keras", {"x": X}),
        ],
    )
    def test_of_other_kinds(self, quantize: Quantize, model: str, arrays: dict[str, Any]) -> None:
        said = quantize(model, arrays, "--scheme", "int8", "--json", "--layers")
        assert said.code == 0
        row = json.loads(said.out)["variants"][0]
        assert row["snr_db"] > 15
        assert (row["accuracy"] is not None) == ("y" in arrays)
        assert (row["agreement"] is None) == (model == "image.keras")


SHAPES = "error: the model takes inputs of shape (8, 8, 1); those in x are of "
SAVE = "save the whole model: model.save('model.keras') or model.export('folder')"
WRITE = "write it with numpy.savez(path, x=inputs, y=targets)"
NUMBER = "number the classes from 0, in the order of the model's outputs"
EXPORT = "where it was made, model.export('folder'); then give that folder"
CUT = "keras.Model(inputs, outputs) with one of each, saved on its own"
LEAVE = "leave y out: signal to noise then says what is lost"
TIDY = "leave those items out, of y too, or put numbers in their place"
LOOP = "give the .keras file, whose recurrent layers are unrolled, or build them with unroll=True"


def assert_refused(said: Said, message: str, fix: str, folder: Path, code: int = 2) -> None:
    """Two lines, the exit code, and nothing written beside the data."""
    assert (said.code, said.out, said.err) == (code, "", f"error: {message}\nFix: {fix}\n")
    assert {path.name for path in folder.iterdir()} <= {"data.npz"}


OUT = ("--out", "m.tflite", "--plot", "layers.svg")


@pytest.mark.parametrize(
    ("arrays", "message", "fix"),
    [
        ({"X": X, "y": Y}, "data.npz has no array 'x'; it has X, y", WRITE),
        (
            {"x": np.array([1, None], object)},
            "data.npz cannot be read: array 'x' holds Python objects, not numbers or text",
            WRITE,
        ),
        (
            {"x": np.full((5, 8, 8, 1), "a")},
            "data.npz: x holds text, not real numbers",
            "save the numbers as float32",
        ),
        ({"x": X * 1j}, "data.npz: x holds complex64, not real numbers", "save the numbers as float32"),
        (
            {"x": SPOILT},
            "data.npz: x has NaN, infinite or too large values in 1 of 60 items, first item 3",
            TIDY,
        ),
        (
            {"x": X.astype(float) * 1e300},
            "data.npz: x has NaN, infinite or too large values in 60 of 60 items, first item 0",
            TIDY,
        ),
        (
            {"x": X[:0]},
            "data.npz: x is empty: its shape is (0, 8, 8, 1)",
            "save at least one input; some hundred do well",
        ),
        ({"x": 3.0}, "data.npz: x has the shape (); one item a row is needed", "x.reshape(items, ...)"),
        ({"x": X, "y": Y[:-5]}, "data.npz: x has 60 inputs, y 55 targets", "save as many of each"),
        (
            {"x": X, "y": np.eye(3)[Y]},
            "data.npz: y has the shape (60, 3); a class index for each input is needed",
            "where it is one-hot, save y.argmax(axis=1)",
        ),
        (
            {"x": X, "y": Y[:, None]},
            "data.npz: y has the shape (60, 1); a class index for each input is needed",
            "save y.reshape(-1)",
        ),
        (
            {"x": X, "y": Y + 0.5},
            "data.npz: y holds 0.5, which is no class index",
            "save whole numbers from 0, or leave y out",
        ),
        (
            {"x": X, "y": np.where(Y, Y, np.nan)},
            "data.npz: y holds nan, which is no class index",
            "save whole numbers from 0, or leave y out",
        ),
        (
            {"x": X, "y": np.array(["a", "b", "c"])[Y]},
            "data.npz: y holds text, not class indices",
            "save numpy.unique(y, return_inverse=True)[1] if the model's classes are sorted",
        ),
        ({"x": X, "y": Y + 1}, "y goes from 1 to 3, but the model has 3 classes: 0 to 2", NUMBER),
        ({"x": X, "y": Y - 1}, "y goes from -1 to 1, but the model has 3 classes: 0 to 2", NUMBER),
        (
            {"x": X[:, :7]},
            f"{SHAPES[7:]}(7, 8, 1)",
            "give x as the model takes it: one item a row, prepared as for its training",
        ),
        ({"x": X[..., 0]}, f"{SHAPES[7:]}(8, 8)", "add the channel: x[..., numpy.newaxis]"),
        (
            {"x": X.transpose(0, 3, 1, 2)},
            f"{SHAPES[7:]}(1, 8, 8)",
            "x has channels first, the model takes them last: numpy.moveaxis(x, 1, -1)",
        ),
    ],
)
def test_bad_data(quantize: Quantize, tmp_path: Path, arrays: dict[str, Any], message: str, fix: str) -> None:
    assert_refused(quantize("good.keras", arrays, *OUT), message, fix, tmp_path)


def test_whole_floats_are_class_indices(quantize: Quantize) -> None:
    rows = [json.loads(quantize("good.keras", {"x": X, "y": y}, "--json").out) for y in (Y, Y.astype(float))]
    assert rows[0] == rows[1]


def test_data_that_is_not_there(quantize: Quantize, tmp_path: Path) -> None:
    assert_refused(quantize("good.keras", None), "no data at data.npz", WRITE, tmp_path, 4)


def test_data_that_was_cut_off(quantize: Quantize, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **GOOD)
    content = (tmp_path / "data.npz").read_bytes()
    (tmp_path / "data.npz").write_bytes(content[:-200])
    said = quantize("good.keras", None, *OUT)
    assert (said.code, said.err.count("\n")) == (2, 2)
    assert said.err.startswith("error: data.npz cannot be read: ")
    assert said.err.endswith(f"Fix: {WRITE}\n")


FLAT = {"x": np.ones((9, 4), np.float32)}
STEPS = {"x": np.random.default_rng(1).normal(size=(9, 5, 4))}


@pytest.mark.parametrize(
    ("model", "arrays", "message", "fix"),
    [
        ("cut.keras", GOOD, "cut.keras is not a Keras file, or it was cut off", SAVE),
        ("text.keras", GOOD, "text.keras is not a Keras file, or it was cut off", SAVE),
        ("folder", GOOD, "folder is no SavedModel folder: it has no saved_model.pb", SAVE),
        (
            "model.tflite",
            GOOD,
            "model.tflite is a .tflite already; this starts from the float model",
            "edgeops check says whether it fits",
        ),
        (
            "model.onnx",
            GOOD,
            "model.onnx is ONNX",
            "onnx2tf -i MODEL.onnx -o folder -osd; then give that folder (docs/guides/quantization.md)",
        ),
        ("own.keras", GOOD, "own.keras needs code that is not in it: Own", EXPORT),
        ("lambda.keras", GOOD, "lambda.keras has a Lambda layer, and code inside a file is not run", EXPORT),
        ("inputs.keras", FLAT, "inputs.keras has 2 inputs (a, b) and 1 output; one of each is needed", CUT),
        ("outputs.keras", FLAT, "outputs.keras has 1 input and 2 outputs; one of each is needed", CUT),
        (
            "whole.keras",
            FLAT,
            "whole.keras takes int32; quantizing needs float inputs",
            "begin where the values are float, after the embedding: keras.Model(inputs, outputs)",
        ),
        (
            "unbuilt.keras",
            FLAT,
            "unbuilt.keras does not say what shape its inputs have",
            "call the model on data once, then save it",
        ),
        (
            "lstm",
            STEPS,
            "float32 is not possible for this model: it has a loop, as recurrent layers make (TensorListReserve)",
            LOOP,
        ),
        ("image.keras", GOOD, "y holds class indices, but the model gives outputs of shape (8, 8, 1)", LEAVE),
        ("two_classes.keras", GOOD, "y goes from 0 to 2, but the model has 2 classes: 0 to 1", NUMBER),
    ],
)
def test_bad_models(
    quantize: Quantize, tmp_path: Path, model: str, arrays: dict[str, Any], message: str, fix: str
) -> None:
    assert_refused(quantize(model, arrays, *OUT), message, fix, tmp_path)


def test_a_saved_model_that_was_cut_off(quantize: Quantize) -> None:
    said = quantize("cut_saved", GOOD, *OUT)
    assert (said.code, said.err.count("\n")) == (2, 2)
    assert said.err.startswith("error: cut_saved does not load: ")


def test_a_model_that_is_not_there(quantize: Quantize, tmp_path: Path) -> None:
    said = quantize("missing.keras", GOOD)
    assert_refused(
        said, "no model at missing.keras", "name a .keras file or a SavedModel folder", tmp_path, 4
    )


@pytest.mark.parametrize(
    ("options", "message", "fix"),
    [
        (
            ["--scheme", "int8", "--scheme", "int4"],
            "no quantization scheme 'int4'",
            "--scheme with one of int8, int16x8, dynamic, float16, float32",
        ),
        (
            ["--scheme", "float16", "--plot", "p.svg"],
            "the report of layers is of int8, which is not among the schemes",
            "add --scheme int8",
        ),
        (["--plot", "p.png"], "--plot p.png does not end in .svg", "--plot p.svg"),
        (["--out", "m.bin"], "--out m.bin does not end in .tflite", "--out m.tflite"),
        (["--out", "."], "--out . is a folder", "--out model.tflite"),
        (
            ["--out", "data.npz/m.tflite"],
            "--out data.npz/m.tflite lies in something that is a file",
            "--out m.tflite",
        ),
        (
            ["--representative", "0"],
            "--representative 0: whole numbers from 1 are needed",
            "--representative 200",
        ),
        (["--representative", "1,2"], "--representative is one size", "--sweep 1,2"),
        (["--sweep", "16,x"], "--sweep 16,x: whole numbers from 1 are needed", "--sweep 16,64,256"),
        (
            ["--sweep", "16", "--representative", "7"],
            "--sweep and --representative exclude each other",
            "--sweep 16,7",
        ),
    ],
)
def test_bad_options(quantize: Quantize, tmp_path: Path, options: list[str], message: str, fix: str) -> None:
    assert_refused(quantize("good.keras", GOOD, *options), message, fix, tmp_path)
