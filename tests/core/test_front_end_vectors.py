"""The vectors in ``tests/vectors/front_ends`` judge every language; this is Python before them."""

from __future__ import annotations

import base64
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeops.core.features.operations import OPERATIONS
from edgeops.core.features.quantize import quantize
from edgeops.core.features.steps import apply_steps, make_step, output_shape
from edgeops.core.manifest import Step
from edgeops.core.outputs import anomaly_scores, reconstruction_error
from edgeops.core.tensors import TensorSpec, scale_from_integers

VECTORS = Path(__file__).parents[1] / "vectors"
FOLDER = VECTORS / "front_ends"
MAX_BYTES = 200_000
COMPUTED = ("output", "int8")


def load(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.json").read_text())


FILES = {path.stem: load(path.stem) for path in sorted(FOLDER.glob("*.json"))}
CASES = [
    pytest.param(case, id=f"{name}-{number}")
    for name, cases in FILES.items()
    if name != "reconstruction"
    for number, case in enumerate(cases)
]


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_front_ends", VECTORS / "generate_front_ends.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def array(case: dict[str, Any], name: str, dtype: str, shape: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(case[name]), dtype).reshape(case[shape])


def test_every_operation_has_a_file_and_all_of_them_are_small() -> None:
    assert FILES.keys() == {*OPERATIONS, "chains", "reconstruction"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MAX_BYTES


def test_the_files_are_current() -> None:
    """All but what is computed in floating point, which another platform may round otherwise."""
    made = json.loads(json.dumps(generator().documents()))
    for name, cases in FILES.items():
        assert len(made[name]) == len(cases)
        for new, old in zip(made[name], cases, strict=True):
            for key in old.keys() - {*COMPUTED, "scale", "scale_mantissa", "scale_exponent", "tolerance"}:
                assert new[key] == old[key], f"{name}: {key}"


@pytest.mark.parametrize("case", CASES)
def test_the_same_input_gives_the_same_output(case: dict[str, Any]) -> None:
    steps = [Step(step["op"], tuple(step["billionths"])) for step in case["steps"]]
    assert steps == [make_step(step["op"], **step["parameters"]) for step in case["steps"]]
    assert output_shape(steps, case["raw_shape"]) == tuple(case["shape"])
    made = apply_steps(steps, array(case, "input", "<f4", "raw_shape"))
    # a language that computes in float32 needs the tolerance; ours stays far within
    np.testing.assert_allclose(
        made, array(case, "output", "<f4", "shape"), atol=case["tolerance"] / 20, rtol=0
    )
    scale = scale_from_integers(case["scale_mantissa"], case["scale_exponent"])
    assert scale == case["scale"]
    expected = array(case, "int8", "i1", "shape")
    np.testing.assert_array_equal(quantize(made, scale, case["zero_point"]), expected)


@pytest.mark.parametrize("case", CASES)
def test_any_output_within_the_tolerance_gives_the_same_int8(case: dict[str, Any]) -> None:
    output = array(case, "output", "<f4", "shape")
    for sign in (-1, 1):
        moved = (output + np.float32(sign * case["tolerance"])).astype(np.float32)
        quantized = quantize(moved, case["scale"], case["zero_point"])
        np.testing.assert_array_equal(quantized, array(case, "int8", "i1", "shape"))


@pytest.mark.parametrize("case", FILES["reconstruction"], ids=lambda case: str(case["input"]["shape"]))
def test_the_same_reconstructions_give_the_same_scores(case: dict[str, Any]) -> None:
    given, restored = (
        TensorSpec(
            tuple(case[side]["shape"]),
            "int8",
            scale_from_integers(case[side]["scale_mantissa"], case[side]["scale_exponent"]),
            case[side]["zero_point"],
        )
        for side in ("input", "output")
    )
    inputs, outputs = (
        np.stack([np.frombuffer(base64.b64decode(one), "i1") for one in case[side]])
        for side in ("inputs", "outputs")
    )
    errors = reconstruction_error(given, restored, inputs, outputs)
    assert errors.tolist() == case["errors"]
    assert anomaly_scores(errors, case["threshold"]).tolist() == case["scores"]
