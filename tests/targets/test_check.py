"""The answer for one model and one part: what it holds, and every reason for a no."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest
from targets.fit_models import NAMES, model

from edgeops.core.errors import DataError, UsageError
from edgeops.targets import check_fit, find_target
from edgeops.targets.check import LITERT_FLASH, PROGRAM_RAM
from edgeops.targets.flash import OPERATOR_CODE, RUNTIME_BASE
from edgeops.targets.measure import with_usual_scales
from edgeops.tflite.flatbuffer import read_graph
from edgeops.tflite.operators import MICRO_OPERATORS

ASKED = {
    "fits",
    "reasons",
    "flash_bytes",
    "arena_bytes",
    "macs",
    "ops",
    "unsupported_ops",
    "latency_ms",
}
SMALL = find_target("stm32f103")


def test_a_model_that_fits() -> None:
    report = check_fit(model("separable"), find_target("stm32l4r5"))
    document = report.document()
    assert document.keys() >= ASKED
    assert document == json.loads(json.dumps(document))
    assert report.fits and report.reasons == ()
    assert report.flash_bytes == len(model("separable")) + RUNTIME_BASE + sum(
        OPERATOR_CODE[op] for op in report.ops
    )
    assert report.macs == 4 * 6 * 8 * (12 + 9 + 8) + 32
    assert report.unsupported_ops == ()
    assert report.arena_source == "measured, corrected to 32 bits"
    assert report.arena is not None and report.arena_bytes == report.arena.bytes
    assert report.ram_bytes == report.arena.start_bytes + PROGRAM_RAM
    assert 0 < document["latency_ms"]["low"] < document["latency_ms"]["high"]


def test_the_same_model_gives_the_same_answer() -> None:
    one, two = (check_fit(model("residual"), SMALL).document() for _ in range(2))
    assert one == two


def at_the_edge(**sizes: int) -> tuple[bool, tuple[str, ...]]:
    report = check_fit(model("dense"), dataclasses.replace(SMALL, **sizes))
    return report.fits, report.reasons


def test_flash_to_the_byte() -> None:
    needed = check_fit(model("dense"), SMALL).flash_bytes
    assert at_the_edge(flash_bytes=needed) == (True, ())
    fits, (reason,) = at_the_edge(flash_bytes=needed - 1)
    assert not fits
    assert reason == f"it needs {needed:,} bytes of flash; stm32f103 has {needed - 1:,}"


def test_the_arena_has_to_fit_one_piece_of_ram_with_what_it_takes_to_start() -> None:
    report = check_fit(model("dense"), SMALL)
    assert report.arena is not None
    needed = report.arena.start_bytes
    assert needed > report.arena.bytes
    assert at_the_edge(arena_ram_bytes=needed)[0]
    fits, (reason,) = at_the_edge(arena_ram_bytes=needed - 1)
    assert not fits and f"{needed:,} bytes of RAM in one piece" in reason


def test_the_program_needs_ram_too() -> None:
    report = check_fit(model("dense"), SMALL)
    assert report.ram_bytes is not None and report.arena is not None
    edge = {"arena_ram_bytes": report.arena.start_bytes}
    assert at_the_edge(**edge, ram_bytes=report.ram_bytes)[0]
    assert at_the_edge(**edge, ram_bytes=report.ram_bytes - 1)[1] == (
        f"it needs {report.ram_bytes:,} bytes of RAM; stm32f103 has {report.ram_bytes - 1:,}",
    )


@pytest.mark.parametrize(("name", "operator"), [("unsupported", "TILE"), ("custom", "CUSTOM:Invert")])
def test_operators_that_the_runtime_lacks_are_listed(name: str, operator: str) -> None:
    report = check_fit(model(name), SMALL)
    assert not report.fits
    assert report.unsupported_ops == (operator,)
    assert report.reasons == (f"TensorFlow Lite Micro has no operator {operator}",)
    assert report.arena_bytes is None and report.ram_bytes is None
    assert report.document()["arena_bytes"] is None


def test_an_interpreter_that_dies_is_a_reason_and_not_a_crash() -> None:
    report = check_fit(model("vanishing"), SMALL)
    assert not report.fits
    assert "SIGABRT" in report.reasons[0] and "untrained" in report.reasons[0]


def test_a_model_that_looks_untrained_is_measured_all_the_same() -> None:
    report = check_fit(model("vanishing"), SMALL)
    assert report.arena is not None and report.arena_bytes == report.arena.bytes
    assert report.arena_source == "measured, corrected to 32 bits"
    graph = read_graph(model("vanishing"))
    copy = with_usual_scales(model("vanishing"), graph)
    assert copy is not None and len(copy) == len(model("vanishing"))
    assert check_fit(copy, SMALL).fits
    assert with_usual_scales(model("floating"), read_graph(model("floating"))) is None


def test_a_linux_board_takes_what_tflm_does_not() -> None:
    board = find_target("raspberry-pi-zero-2w")
    report = check_fit(model("unsupported"), board)
    assert report.fits
    assert report.arena_source.startswith("calculated")
    assert report.arena_bytes == 4 * 4 + 12 * 4 + 12 * 4 - 4 * 4
    assert report.flash_bytes == len(model("unsupported")) + LITERT_FLASH
    assert check_fit(model("custom"), board).reasons == ("LiteRT has no operator CUSTOM:Invert",)


def test_a_runtime_that_the_part_does_not_run_is_refused() -> None:
    assert check_fit(model("dense"), SMALL, "tflm").fits
    with pytest.raises(UsageError, match="did you mean 'tflm'"):
        check_fit(model("dense"), SMALL, "tfml")
    with pytest.raises(UsageError, match="stm32f103 runs models under tflm or plan, not linux"):
        check_fit(model("dense"), SMALL, "linux")


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(DataError):
        check_fit(b"not a model", SMALL)


def test_cmsis_nn_kernels_may_need_scratch_memory_on_cores_with_simd() -> None:
    on_m4 = check_fit(model("separable"), find_target("stm32l4r5"))
    assert on_m4.cmsis_nn_scratch_bytes == max(4 * 12, 2 * 9 * 8, 4 * 8)
    assert check_fit(model("separable"), SMALL).cmsis_nn_scratch_bytes == 0


def test_the_code_estimate_knows_operators_that_the_runtime_has() -> None:
    assert OPERATOR_CODE.keys() <= MICRO_OPERATORS


def test_damaged_models_that_can_be_read_never_end_the_tool() -> None:
    rng = random.Random(20)
    answered = 0
    while answered < 5:
        content = bytearray(model(rng.choice(NAMES)))
        for _ in range(4):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            report = check_fit(bytes(content), SMALL)
        except DataError:
            continue
        answered += 1
        assert report.fits == (not report.reasons)
