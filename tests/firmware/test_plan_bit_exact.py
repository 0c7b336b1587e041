"""Whole models give the same bytes in the C runtime as in TensorFlow Lite Micro, with either set of kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware import plan_runner

from edgeops.compile import compile_plan

VECTORS = Path(__file__).parents[1] / "vectors"
SMALL = ("fit/dense", "fit/dense_per_channel", "fit/mixed", "fit/residual", "fit/separable")
SMALL_WITH_VECTORS = ("inference/autoencoder_int8", "inference/small_int8")
REFERENCE = ("autoencoder", "keyword", "image", "person")
REFERENCE_INPUTS = {"autoencoder": 50, "keyword": 25, "image": 10, "person": 10}
KERNELS = pytest.mark.parametrize("kernels", plan_runner.KERNELS)


@cache
def vector(name: str) -> bytes:
    return (VECTORS / f"{name}.tflite").read_bytes()


@cache
def reference(name: str) -> bytes:
    """A model of MLPerf Tiny's architectures, with random weights."""
    pytest.importorskip("tensorflow")
    from benchmarks.mlperf_tiny import reference_model

    return reference_model(name)


@cache
def judged(load: Callable[[str], bytes], name: str, count: int) -> tuple[bytes, bytes, bytes]:
    """The model's plan, ``count`` random inputs, and what TensorFlow Lite Micro answers to them."""
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    model = load(name)
    plan = compile_plan(model)
    oracle: Any = runtime.Interpreter.from_bytes(model, arena_size=1 << 20)
    inputs = np.random.default_rng(17).integers(-128, 128, (count, *plan.input.shape), np.int8)
    answers = []
    for given in inputs:
        oracle.set_input(given, 0)
        oracle.invoke()
        answers.append(np.asarray(oracle.get_output(0)).tobytes())
    assert len(set(answers)) > 1, "a model that says the same to everything proves nothing"
    return plan.plan, inputs.tobytes(), b"".join(answers)


def differences(answer: bytes, expected: bytes) -> int:
    assert len(answer) == len(expected) > 0
    return sum(a != b for a, b in zip(answer, expected, strict=True))


@KERNELS
@pytest.mark.parametrize("name", (*SMALL, *SMALL_WITH_VECTORS))
def test_small_models_over_a_thousand_inputs(name: str, kernels: str, host_build: Path) -> None:
    plan, inputs, expected = judged(vector, name, 1000)
    answer = plan_runner.outputs(host_build / "run_plan", kernels, plan, inputs)
    assert differences(answer, expected) == 0


@KERNELS
@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCE)
def test_reference_models(name: str, kernels: str, host_build: Path) -> None:
    plan, inputs, expected = judged(reference, name, REFERENCE_INPUTS[name])
    answer = plan_runner.outputs(host_build / "run_plan", kernels, plan, inputs)
    assert differences(answer, expected) == 0


@KERNELS
@pytest.mark.soak
@pytest.mark.parametrize("name", REFERENCE)
def test_reference_models_over_a_thousand_inputs(name: str, kernels: str, host_build: Path) -> None:
    plan, inputs, expected = judged(reference, name, 1000)
    answer = plan_runner.outputs(host_build / "run_plan", kernels, plan, inputs)
    assert differences(answer, expected) == 0


@KERNELS
def test_a_model_that_keeps_no_state_forgets_what_came_before(kernels: str, host_build: Path) -> None:
    plan, inputs, _ = judged(vector, "fit/mixed", 1000)
    one = len(inputs) // 1000
    first, second = inputs[:one], inputs[one : 2 * one]
    apart = [plan_runner.outputs(host_build / "run_plan", kernels, plan, given) for given in (first, second)]
    assert plan_runner.outputs(host_build / "run_plan", kernels, plan, first + second) == b"".join(apart)
