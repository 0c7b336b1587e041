"""The interpreter seam, on LiteRT for real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent import flatbuffer, inference
from device_agent.flatbuffer import check_model
from device_agent.inference import Interpreter, TensorSpec, installed_runtime, open_interpreter
from edgeops.core.errors import InputError, MissingExtra, UsageError, WireError

FOLDER = Path(__file__).parents[1] / "vectors" / "inference"
VECTORS = json.loads((FOLDER / "small_int8.json").read_text())
MODEL = (FOLDER / VECTORS["model"]).read_bytes()


def spec_of(values: dict) -> TensorSpec:
    return TensorSpec(tuple(values["shape"]), values["dtype"], values["scale"], values["zero_point"])


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    return open_interpreter(MODEL, "ai_edge_litert")


def array(case: dict, side: str) -> np.ndarray:
    return np.array(case[side], np.int8).reshape(VECTORS[side]["shape"])


def test_says_what_runs_and_what_it_takes(interpreter: Interpreter) -> None:
    name, version = interpreter.runtime.split(" ")
    assert name == "ai_edge_litert"
    assert version.split(".")[0].isdigit()
    assert interpreter.input == spec_of(VECTORS["input"])
    assert interpreter.output == spec_of(VECTORS["output"])


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["output"]))
def test_agrees_with_the_vectors(interpreter: Interpreter, case: dict) -> None:
    output = interpreter.invoke(array(case, "input"))
    assert output.dtype == np.int8
    assert output.shape == interpreter.output.shape
    difference = output.astype(int) - array(case, "output").astype(int)
    assert np.abs(difference).max() <= VECTORS["tolerance"]


def test_the_result_is_the_callers_and_the_input_stays(interpreter: Interpreter) -> None:
    first, second = (array(case, "input") for case in VECTORS["cases"][:2])
    before = first.copy()
    kept = interpreter.invoke(first)
    copy = kept.copy()
    interpreter.invoke(second)
    assert np.array_equal(kept, copy)
    assert np.array_equal(first, before)


def test_takes_views_that_are_not_contiguous(interpreter: Interpreter) -> None:
    values = array(VECTORS["cases"][4], "input")
    turned = np.asfortranarray(values)
    assert np.array_equal(interpreter.invoke(turned), interpreter.invoke(values))


def test_the_first_runtime_that_is_installed_is_taken() -> None:
    assert open_interpreter(MODEL, threads=2).runtime.startswith("ai_edge_litert ")
    assert installed_runtime() == open_interpreter(MODEL).runtime


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_tensorflow_runs_the_same_vectors_when_it_is_named() -> None:
    interpreter = open_interpreter(MODEL, "tensorflow.lite")
    assert interpreter.runtime.startswith("tensorflow.lite 2.")
    for case in VECTORS["cases"]:
        difference = interpreter.invoke(array(case, "input")).astype(int) - array(case, "output")
        assert np.abs(difference).max() <= VECTORS["tolerance"]


def test_opening_does_not_import_tensorflow() -> None:
    program = (
        "import sys; from pathlib import Path; from device_agent.inference import open_interpreter;"
        "open_interpreter(Path(sys.argv[1]).read_bytes());"
        "print([name for name in ('tensorflow', 'keras', 'sqlmodel', 'typer') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(FOLDER / VECTORS["model"])],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((8, 8), np.int8), "shape [8, 8] where the model takes [8, 8, 1]"),
        (np.zeros((1, 8, 8, 1), np.int8), "shape [1, 8, 8, 1]"),
        (np.zeros((), np.int8), "shape []"),
        (np.zeros((8, 8, 1), np.float32), "dtype float32 where the model takes int8"),
        (np.zeros((8, 8, 1), np.uint8), "dtype uint8"),
    ],
)
def test_an_input_that_does_not_fit_is_named(interpreter: Interpreter, values: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("[", r"\[")):
        interpreter.invoke(values)


@pytest.mark.parametrize(
    "model",
    [b"", b"TFL3", b"\x00" * 64, MODEL[:4] + b"TFL2" + MODEL[8:]],
    ids=["empty", "4", "zeros", "TFL2"],
)
def test_bytes_that_are_no_model(model: bytes) -> None:
    with pytest.raises(WireError, match="TFL3"):
        open_interpreter(model)


def test_a_model_cut_short_anywhere_is_refused_before_native_code_sees_it() -> None:
    for length in range(len(MODEL)):
        with pytest.raises(WireError):
            check_model(MODEL[:length])


def test_a_model_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatbuffer, "MAX_MODEL_BYTES", len(MODEL) - 1)
    with pytest.raises(WireError, match=f"{len(MODEL)} bytes where at most {len(MODEL) - 1}"):
        open_interpreter(MODEL)


@given(st.binary(max_size=300))
def test_junk_behind_the_identifier_only_ever_raises_wire_error(junk: bytes) -> None:
    with pytest.raises(WireError):
        check_model(MODEL[:8] + junk)


@given(st.integers(8, len(MODEL) - 1), st.integers(0, 255))
def test_an_altered_byte_passes_or_raises_wire_error(at: int, value: int) -> None:
    try:
        check_model(MODEL[:at] + bytes([value]) + MODEL[at + 1 :])
    except WireError:
        pass


def test_what_the_library_refuses_is_an_input_error() -> None:
    # the operator codes of this file, turned into one that no library knows
    broken = bytearray(MODEL)
    table = flatbuffer._Walk(MODEL)._table(int.from_bytes(MODEL[:4], "little"))
    code = flatbuffer._Walk(MODEL)._tables(table, 1)[0]
    for slot in (0, 3):
        if slot in code.fields:
            broken[code.fields[slot]] = 126
    with pytest.raises(InputError, match="cannot load the model"):
        open_interpreter(bytes(broken))


@pytest.mark.parametrize(("runtime", "extra"), [(None, "agent"), ("tflite_runtime", "agent-legacy")])
def test_no_interpreter_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, runtime: str | None, extra: str
) -> None:
    for name in ("ai_edge_litert", "tflite_runtime", "tensorflow"):
        hide(monkeypatch, name)
    with pytest.raises(MissingExtra, match="is installed|is not installed") as caught:
        open_interpreter(MODEL, runtime)
    assert caught.value.fix == f'pip install "edgeops[{extra}]"'


def test_a_library_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text("raise ImportError('built for another NumPy')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingExtra, match="tflite_runtime does not load: built for another NumPy"):
        open_interpreter(MODEL, "tflite_runtime")


def test_an_unknown_runtime_and_no_threads_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="'onnx'"):
        open_interpreter(MODEL, "onnx")
    with pytest.raises(UsageError, match="at least one thread"):
        open_interpreter(MODEL, threads=0)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"get_output_details": lambda: []}, "0 outputs"),
        ({"get_input_details": lambda: [{}, {}]}, "2 inputs"),
        ({"get_input_details": lambda: [{"shape": [4, 8]}]}, r"\[4, 8\] where a batch of one"),
    ],
)
def test_models_that_the_seam_cannot_run(changed: dict, says: str) -> None:
    detail = {"shape": [1, 8], "dtype": np.int8, "quantization": (1.0, 0), "index": 0}
    native = type("Native", (), {})()
    native.get_input_details = native.get_output_details = lambda: [detail]
    vars(native).update(changed)
    with pytest.raises(InputError, match=says):
        inference.TfliteInterpreter("fake 1", native)


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make ``package`` look as if it were not installed, whatever was imported before."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    original = inference.importlib.import_module

    def absent(name: str) -> object:
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return original(name)

    monkeypatch.setattr(inference.importlib, "import_module", absent)
