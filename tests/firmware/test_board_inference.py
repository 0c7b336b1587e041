"""Inference on every emulated core: the same bytes as TensorFlow Lite Micro, 50 inputs for each model.

``test_plan_soak.py`` asks the same of more models, over a thousand inputs and all real ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from firmware import emulator, recipe_models
from firmware.emulator import BOARDS, Board, Ended

from edgeops.compile import CompiledPlan, compile_plan

MODELS = sorted((Path(__file__).parents[1] / "vectors" / "inference").glob("*.tflite"))
INPUTS = 50
EVERY_BOARD = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.core)


@cache
def compiled(model: Path) -> CompiledPlan:
    return compile_plan(model.read_bytes())


@cache
def inputs_of(model: Path) -> bytes:
    """Seeded inputs over the whole range of an int8."""
    shape = (INPUTS, compiled(model).input.bytes)
    return np.random.default_rng(50).integers(-128, 128, shape, dtype=np.int8).tobytes()


@cache
def expected(model: Path) -> bytes:
    """What TensorFlow Lite Micro answers, on this machine."""
    return answers(model.read_bytes(), compiled(model), inputs_of(model))


def answers(content: bytes, plan: CompiledPlan, inputs: bytes) -> bytes:
    """What TensorFlow Lite Micro makes of each input."""
    micro = pytest.importorskip("tflite_micro", reason="the pinned tflite-micro wheel is in edgeops[train]")
    interpreter = micro.runtime.Interpreter.from_bytes(content)
    outputs = []
    for one in np.frombuffer(inputs, dtype=np.int8).reshape(-1, *plan.input.shape):
        interpreter.set_input(one, 0)
        interpreter.invoke()
        outputs.append(np.asarray(interpreter.get_output(0)).tobytes())
    return b"".join(outputs)


def run_plan(board: Board, model: Path, folder: Path, elf: Path) -> tuple[Ended, bytes]:
    """A model on a board, over its seeded inputs."""
    return run_inputs(board, compiled(model), inputs_of(model), folder, elf)


def run_inputs(
    board: Board, plan: CompiledPlan, inputs: bytes, folder: Path, elf: Path
) -> tuple[Ended, bytes]:
    """The plan in the board's flash, the inputs and outputs as files of the host."""
    (folder / "model.plan").write_bytes(plan.plan)
    (folder / "inputs").write_bytes(inputs)
    arguments = {
        "plan": plan.plan_bytes,
        "inputs": folder / "inputs",
        "outputs": folder / "outputs",
    }
    ended = emulator.run(board, elf, arguments, model=folder / "model.plan")
    assert ended.code == 0, ended.text
    return ended, (folder / "outputs").read_bytes()


@EVERY_BOARD
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.stem)
def test_every_core_answers_as_tflm_does(board: Board, model: Path, tmp_path: Path) -> None:
    ended, outputs = run_plan(board, model, tmp_path, emulator.image(board, "run_vectors"))
    assert outputs == expected(model)
    assert len(outputs) == INPUTS * compiled(model).output.bytes
    assert ended.values["inferences"] == INPUTS
    assert ended.values["arena_bytes"] == compiled(model).arena_bytes
    assert ended.values["macs"] == compiled(model).macs
    assert compiled(model).macs < ended.values["instructions"] <= ended.values["instructions_max"]


@EVERY_BOARD
@pytest.mark.slow
def test_a_trained_recipe_answers_real_inputs_as_tflm_does(board: Board, tmp_path: Path) -> None:
    trained = recipe_models.trained("digits")
    plan, real = compile_plan(trained.tflite), trained.test_inputs[:INPUTS]
    assert len(real) == INPUTS
    expected_outputs = answers(trained.tflite, plan, real.tobytes())
    assert len({expected_outputs[at : at + 10] for at in range(0, len(expected_outputs), 10)}) > INPUTS / 2
    elf = emulator.image(board, "run_vectors")
    ended, outputs = run_inputs(board, plan, real.tobytes(), tmp_path, elf)
    assert outputs == expected_outputs
    assert ended.values["inferences"] == INPUTS


@EVERY_BOARD
def test_an_inference_needs_little_stack(board: Board, tmp_path: Path) -> None:
    """The microbit has 1 KB for everything."""
    ended, _ = run_plan(board, MODELS[-1], tmp_path, emulator.image(board, "run_vectors"))
    assert 0 < ended.values["stack_bytes"] <= 512


@EVERY_BOARD
def test_built_for_speed_it_answers_the_same(board: Board, tmp_path: Path) -> None:
    _, outputs = run_plan(board, MODELS[-1], tmp_path, emulator.image(board, "run_vectors", fast=True))
    assert outputs == expected(MODELS[-1])


class TestWhatDoesNotFit:
    def test_a_plan_that_is_larger_than_the_flash_is_refused(self, tmp_path: Path) -> None:
        board = BOARDS[-1]
        ended = emulator.run(board, emulator.image(board, "run_vectors"), {"plan": 256 * 1024})
        assert ended.code == emulator.TOO_LARGE
        assert "flash" in ended.text

    def test_an_arena_that_is_larger_than_the_ram_is_refused(self, tmp_path: Path) -> None:
        board = BOARDS[-1]
        plan = bytearray(compiled(MODELS[-1]).plan)
        plan[12:16] = (1 << 20).to_bytes(4, "little")  # arena_bytes of its header
        (tmp_path / "large.plan").write_bytes(plan)
        elf = emulator.image(board, "run_vectors")
        ended = emulator.run(board, elf, {"plan": len(plan)}, model=tmp_path / "large.plan")
        assert ended.code == emulator.TOO_LARGE
        assert "RAM" in ended.text

    def test_a_damaged_plan_is_refused_with_its_status(self, tmp_path: Path) -> None:
        board = BOARDS[0]
        plan = b"\x00" + compiled(MODELS[-1]).plan[1:]
        (tmp_path / "damaged.plan").write_bytes(plan)
        elf = emulator.image(board, "run_vectors")
        ended = emulator.run(board, elf, {"plan": len(plan)}, model=tmp_path / "damaged.plan")
        assert ended.code == 2
        assert ended.values["status"] == 5  # EO_MALFORMED
