"""A thousand random inputs and every real one: no byte differs from TensorFlow Lite Micro, on this machine and on every
emulated core. Models: the four of MLPerf Tiny with random weights, and those of the recipes, trained on real data.

The emulator counts some 4e8 instructions a second: a thousand inputs of the largest model take a minute where the core
has the DSP extension and three where it has not, so that no core is let off with fewer.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware import emulator, plan_runner, recipe_models
from firmware.emulator import BOARDS, Board

from edgeops.compile import CompiledPlan, compile_plan

pytestmark = pytest.mark.soak

REFERENCE = ("autoencoder", "keyword", "image", "person")
MODELS = (*(f"mlperf-{name}" for name in REFERENCE), *(f"recipe-{name}" for name in recipe_models.NAMES))
RANDOM_INPUTS = 1_000
LIMIT_S = 3_000.0
NOT_ON_M0 = {*(f"mlperf-{name}" for name in REFERENCE), "recipe-keyword", "recipe-anomaly", "recipe-image"}
"""What is too large for the microbit; the other cores run all."""
M0_FLASH, M0_RAM = 256 * 1024, 16 * 1024
ON_BOARDS = [
    pytest.param(board, model, id=f"{board.core}-{model}")
    for board in BOARDS
    for model in MODELS
    if board.core != "Cortex-M0" or model not in NOT_ON_M0
]
EVERY_MODEL = pytest.mark.parametrize("model", MODELS)


@dataclass(frozen=True, eq=False)
class Judged:
    """A plan, the inputs (random ones first) and what TensorFlow Lite Micro answers to them."""

    plan: CompiledPlan
    inputs: bytes
    expected: bytes
    random: int
    real: int


@cache
def judged(model: str) -> Judged:
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    kind, _, name = model.partition("-")
    content, real = _reference(name) if kind == "mlperf" else _recipe(name)
    plan = compile_plan(content)
    random = np.random.default_rng(17).integers(-128, 128, (RANDOM_INPUTS, *plan.input.shape), np.int8)
    inputs = np.concatenate([random, real.reshape(-1, *plan.input.shape)])
    oracle: Any = runtime.Interpreter.from_bytes(content, arena_size=1 << 20)
    answers = []
    for one in inputs:
        oracle.set_input(one, 0)
        oracle.invoke()
        answers.append(np.asarray(oracle.get_output(0)).tobytes())
    assert len(set(answers)) > 1, "a model that says the same to everything proves nothing"
    return Judged(plan, inputs.tobytes(), b"".join(answers), len(random), len(real))


def _reference(name: str) -> tuple[bytes, np.ndarray[Any, np.dtype[np.int8]]]:
    """Its weights are random, so that no real input belongs to it."""
    pytest.importorskip("tensorflow")
    from benchmarks.mlperf_tiny import reference_model

    return reference_model(name), np.empty(0, np.int8)


def _recipe(name: str) -> tuple[bytes, np.ndarray[Any, np.dtype[np.int8]]]:
    made = recipe_models.trained(name)
    assert len(made.test_inputs) > 0
    return made.tflite, made.test_inputs


def assert_no_difference(model: str, answer: bytes, where: str, seconds: float) -> None:
    """Zero differences over all inputs; the counts are printed for those who read the log."""
    wanted = judged(model)
    assert len(answer) == len(wanted.expected) == (wanted.random + wanted.real) * wanted.plan.output.bytes
    found = np.count_nonzero(np.frombuffer(answer, np.int8) != np.frombuffer(wanted.expected, np.int8))
    row = {
        "model": model,
        "on": where,
        "random": wanted.random,
        "real": wanted.real,
        "differences": int(found),
    }
    print(json.dumps({**row, "seconds": round(seconds, 1)}))
    assert found == 0


@pytest.mark.parametrize("kernels", plan_runner.KERNELS)
@EVERY_MODEL
def test_on_this_machine(model: str, kernels: str, host_build: Path) -> None:
    wanted, start = judged(model), time.perf_counter()
    answer = plan_runner.outputs(host_build / "run_plan", kernels, wanted.plan.plan, wanted.inputs, LIMIT_S)
    assert_no_difference(model, answer, kernels, time.perf_counter() - start)


@pytest.mark.parametrize(("board", "model"), ON_BOARDS)
def test_on_every_core(board: Board, model: str, tmp_path: Path) -> None:
    wanted, elf = judged(model), emulator.image(board, "run_vectors", fast=True)
    plan, inputs, outputs = (tmp_path / name for name in ("model.plan", "inputs", "outputs"))
    plan.write_bytes(wanted.plan.plan)
    inputs.write_bytes(wanted.inputs)
    arguments = {"plan": wanted.plan.plan_bytes, "inputs": inputs, "outputs": outputs}
    start = time.perf_counter()
    ended = emulator.run(board, elf, arguments, model=plan, limit_s=LIMIT_S)
    assert ended.code == 0, ended.text
    assert ended.values["inferences"] == wanted.random + wanted.real
    assert_no_difference(model, outputs.read_bytes(), board.core, time.perf_counter() - start)


@EVERY_MODEL
def test_only_what_does_not_fit_is_kept_from_the_smallest_core(model: str) -> None:
    plan = judged(model).plan
    stack_and_code = 1_536, 12_288
    fits = plan.arena_bytes + stack_and_code[0] <= M0_RAM and plan.plan_bytes + stack_and_code[1] <= M0_FLASH
    assert fits == (model not in NOT_ON_M0)
