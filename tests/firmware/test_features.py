"""Front ends in C against Python's: what a microcontroller feeds its model is what the model was trained on."""

from __future__ import annotations

import base64
import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware.features_tool import MALFORMED, OK, RANGE, UNSUPPORTED, Tensor, pairs, run

from edgeops.core.features.parameters import LIMIT
from edgeops.core.features.quantize import quantize
from edgeops.core.features.steps import apply_to_batch, make_step, output_shape
from edgeops.core.manifest import NANO, Step
from edgeops.core.tensors import scale_to_integers

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors" / "front_ends"
FILES = sorted(path.stem for path in VECTORS.glob("*.json") if path.stem != "reconstruction")


@pytest.fixture(scope="session")
def tool(host_build: Path) -> Path:
    return host_build / "run_features"


@pytest.mark.parametrize("name", FILES)
def test_the_vectors_are_met_to_the_int8_value(tool: Path, tmp_path: Path, name: str) -> None:
    cases: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())
    assert cases
    for case in cases:
        values = np.frombuffer(base64.b64decode(case["input"]), "<f4").reshape(1, *case["raw_shape"])
        tensor = Tensor(
            tuple(case["shape"]), case["scale_mantissa"], case["scale_exponent"], case["zero_point"]
        )
        steps = [(step["op"], step["billionths"]) for step in case["steps"]]
        made = run(tool, tmp_path, steps, values, tensor)
        assert made.status == OK, made.message
        np.testing.assert_array_equal(made.values, np.frombuffer(base64.b64decode(case["int8"]), "i1"))


def sound(seed: int, *shape: int) -> np.ndarray:
    """Tones, noise and a constant part, at loudnesses that differ by a factor of a thousand; within int16."""
    rng = np.random.default_rng(seed)
    time = np.arange(shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
    each = (shape[0], 1, *shape[2:])
    values = rng.uniform(0.2, 1, each) * np.sin(2 * np.pi * time * rng.uniform(0.001, 0.49, each))
    values = values + rng.uniform(0.01, 0.3, each) * rng.normal(0, 1, shape) + rng.uniform(-0.5, 0.5, each)
    return np.clip(values * 10 ** rng.uniform(1.2, 4.2, each), -32768, 32767).astype(np.int16)


def camera(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def floats(values: np.ndarray) -> np.ndarray:
    """In -1..1, as files of sounds and accelerometers in g give them."""
    return (values / 32768).astype(np.float32)


MEL = {"sample_rate_hz": 16_000, "frame_length": 480, "frame_step": 320, "fft_length": 512}
HEARING = {**MEL, "low_hz": 80, "high_hz": 7600, "mels": 40}
MACHINE = {"sample_rate_hz": 12_000, "high_hz": 6000, "floor": 1e-7}
SEVEN = tuple(float(place) for place in range(1, 8))
CORPUS: dict[str, list[tuple[list[Step], np.ndarray]]] = {
    "scale": [([make_step("scale", factor=0.007843137, offset=-1.0)], camera(1, 20, 16, 16, 3))],
    "normalise": [
        (
            [make_step("normalise", mean=(90.1, 120.7, 130.3), deviation=(60.1, 55.5, 51.7))],
            camera(2, 8, 20, 20, 3),
        )
    ],
    "columns": [([make_step("columns", first=2, mean=SEVEN, deviation=SEVEN)], floats(sound(3, 50, 20, 11)))],
    "fit_length": [([make_step("fit_length", samples=200)], sound(4, 20, 301, 2))],
    "resize": [([make_step("resize", height=24, width=31)], camera(5, 4, 57, 43, 3))],
    "grey": [([make_step("grey")], camera(6, 10, 30, 41, 3))],
    "log_mel": [
        ([make_step("log_mel", **HEARING)], floats(sound(7, 10, 8000))),
        ([make_step("log_mel", **HEARING, spectrum="power", offset=0.001)], sound(8, 10, 8000)),
    ],
    "mfcc": [([make_step("mfcc", **HEARING, coefficients=13)], floats(sound(9, 20, 8000)))],
    "detrend": [
        ([make_step("detrend")], sound(10, 5, 700, 3)),
        ([make_step("detrend", kind="linear")], floats(sound(11, 5, 700, 3))),
    ],
    "standardise": [
        ([make_step("standardise")], sound(12, 5, 700, 3)),
        ([make_step("standardise", per="window")], floats(sound(13, 5, 700, 3))),
    ],
    "rms_scale": [
        ([make_step("rms_scale")], sound(14, 5, 700, 3)),
        ([make_step("rms_scale", per="channel")], floats(sound(15, 5, 700, 3))),
    ],
    "taper": [([make_step("taper", share=0.3)], sound(16, 5, 701, 3))],
    "fft_bands": [
        (
            [make_step("fft_bands", **MACHINE, fft_length=2048, frame_step=1024, bands=128)],
            floats(sound(17, 8, 16_384)),
        ),
        ([make_step("fft_bands", **MACHINE, fft_length=512, bands=64)], floats(sound(18, 40, 400, 3))),
        (
            [make_step("fft_bands", **MACHINE, low_hz=93.75, fft_length=16_384, bands=48, spacing="log")],
            floats(sound(19, 20, 12_000)),
        ),
    ],
}


def recipe(name: str, raw: np.ndarray) -> tuple[list[Step], np.ndarray]:
    """A recipe's steps, and the normalising that training adds to them."""
    declared = tomllib.loads((ROOT / "models" / name / "recipe.toml").read_text())["preprocessing"]
    steps = [make_step(step.pop("op"), **step) for step in declared["steps"]]
    values = apply_to_batch(steps, raw.astype(np.float32))
    if declared.get("normalise") == "whole":
        steps.append(make_step("normalise", mean=float(values.mean()), deviation=float(values.std())))
    elif declared.get("normalise") == "columns":
        columns = values.shape[-2] if values.shape[-1] == 1 else values.shape[-1]
        values = values.reshape(-1, columns)
        for first in range(0, columns, 7):
            some = values[:, first : first + 7]
            mean, deviation = some.mean(axis=0).tolist(), some.std(axis=0).tolist()
            steps.append(make_step("columns", first=first, mean=mean, deviation=deviation))
    return steps, raw


CORPUS |= {
    "recipe keyword": [recipe("keyword", sound(20, 20, 8000))],
    "recipe vibration": [recipe("vibration", floats(sound(21, 8, 16_384)))],
    "recipe anomaly": [recipe("anomaly", floats(sound(22, 8, 16_384)))],
    "recipe person": [recipe("person", camera(23, 1, 120, 160, 3))],
    "recipe image": [recipe("image", camera(24, 4, 32, 32, 3))],
}


def contract(values: np.ndarray) -> Tensor:
    """A tensor that spans the values, as TensorFlow Lite would choose it."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32((high - low) / 255))
    mantissa, exponent = scale_to_integers(scale)
    return Tensor(values.shape[1:], mantissa, exponent, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


@pytest.mark.parametrize("name", CORPUS)
def test_nearly_all_cells_lie_within_one_int8_step(tool: Path, tmp_path: Path, name: str) -> None:
    apart: list[np.ndarray] = []
    for steps, raw in CORPUS[name]:
        wanted = apply_to_batch(steps, raw.astype(np.float32))
        tensor = contract(wanted)
        made = run(tool, tmp_path, pairs(steps), raw, tensor)
        assert made.status == OK, made.message
        given_int8 = quantize(wanted, tensor.mantissa * 2.0**tensor.exponent, tensor.zero_point)
        apart.append(np.abs(made.values.astype(int) - given_int8.reshape(-1)))
    distances = np.concatenate(apart)
    assert distances.size >= 2000
    within, equal = float((distances <= 1).mean()), float((distances == 0).mean())
    print(
        f"{name}: {distances.size} cells, {within:.5%} within one step, {equal:.5%} equal, {made.scratch_bytes} B"
    )
    assert within >= 0.999
    assert equal >= 0.995


def test_a_spectrogram_takes_the_memory_of_one_frame(tool: Path, tmp_path: Path) -> None:
    """16 bit keyword audio of one second: neither its floats (32,000 B) nor a spectrogram are ever kept."""
    steps, raw = CORPUS["recipe keyword"][0]
    made = run(tool, tmp_path, pairs(steps), raw[:1], Tensor(output_shape(steps, raw.shape[1:])))
    assert made.status == OK
    assert made.scratch_bytes <= 5000


def test_pointwise_steps_take_no_memory(tool: Path, tmp_path: Path) -> None:
    steps, raw = CORPUS["recipe person"][0]
    made = run(tool, tmp_path, pairs(steps), raw, Tensor(output_shape(steps, raw.shape[1:])))
    assert (made.status, made.scratch_bytes) == (OK, 0)


SERIES = np.zeros((1, 64, 2), np.float32)
GOOD = {
    "sample_rate_hz": 1000 * NANO,
    "fft_length": 64 * NANO,
    "frame_step": 0,
    "bands": 8 * NANO,
    "low_hz": 0,
    "high_hz": 500 * NANO,
    "spacing": 0,
    "floor": 1,
}


@pytest.mark.parametrize(
    ("op", "parameters", "status"),
    [
        ("fft_band", tuple(GOOD.values()), UNSUPPORTED),
        ("", (), UNSUPPORTED),
        ("scale", (NANO,), MALFORMED),
        ("detrend", (2 * NANO,), RANGE),
        ("detrend", (NANO // 2,), RANGE),
        ("columns", (NANO, NANO, NANO, NANO), MALFORMED),
        ("columns", (NANO, NANO, NANO, NANO, NANO), MALFORMED),
        ("columns", (0, NANO, 0), RANGE),
        ("resize", (8 * NANO, 8 * NANO), MALFORMED),
        ("fft_bands", tuple({**GOOD, "fft_length": 96 * NANO}.values()), MALFORMED),
        ("fft_bands", tuple({**GOOD, "fft_length": 32 * NANO}.values()), MALFORMED),
        ("fft_bands", tuple({**GOOD, "bands": 40 * NANO}.values()), MALFORMED),
        ("fft_bands", tuple({**GOOD, "high_hz": 501 * NANO}.values()), RANGE),
        ("fft_bands", tuple({**GOOD, "spacing": NANO}.values()), RANGE),
        ("fft_bands", tuple({**GOOD, "frame_step": 2**63 - 1}.values()), RANGE),
    ],
)
def test_a_step_that_does_not_suit_is_refused(
    tool: Path, tmp_path: Path, op: str, parameters: tuple[int, ...], status: int
) -> None:
    assert run(tool, tmp_path, [("fft_bands", tuple(GOOD.values()))], SERIES, Tensor((8, 2))).status == OK
    assert run(tool, tmp_path, [(op, parameters)], SERIES, Tensor((64, 2))).status == status


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_raw_value_that_is_no_number_is_refused(tool: Path, tmp_path: Path, value: float) -> None:
    values = SERIES.copy()
    values[0, 3, 1] = value
    assert run(tool, tmp_path, [("scale", (0, 0))], values, Tensor((64, 2))).status == RANGE


def test_a_result_that_float32_cannot_hold_is_refused(tool: Path, tmp_path: Path) -> None:
    huge = [("scale", (int(LIMIT) * NANO, 0))] * 5
    assert run(tool, tmp_path, huge, SERIES + np.float32(1), Tensor((64, 2))).status == RANGE


def test_the_c_tests_pass(host_build: Path) -> None:
    done = subprocess.run(
        [host_build / "tests" / "features_test"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
