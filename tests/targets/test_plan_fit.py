"""``check --runtime plan``: the arena and the flash of the C runtime, to the byte."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from targets.fit_models import FOLDER, model

from edgeops.cli.main import run as run_app
from edgeops.compile import compile_plan
from edgeops.compile.plan_format import OpCode
from edgeops.core.errors import DataError, UsageError
from edgeops.targets import catalogue, check_fit, find_target
from edgeops.targets.plan_code import (
    AGENT_FLASH,
    AGENT_RAM,
    ELSEWHERE,
    FAMILY_OF_ISA,
    measured_operators,
    runtime_code,
)

SMALL = find_target("stm32f103")
MICROCONTROLLERS = [name for name, part in catalogue().items() if part.runtime != "linux"]
SCRIPT = Path(__file__).parents[2] / "firmware_stubs" / "tools" / "plan_code.py"


def test_arena_and_flash_are_those_of_the_compiled_plan() -> None:
    made = compile_plan(model("separable"))
    report = check_fit(model("separable"), SMALL, "plan")
    code = runtime_code(SMALL, made.ops)
    assert report.fits and report.reasons == () and report.runtime == "plan"
    assert report.arena_bytes == made.arena_bytes
    assert report.flash_bytes == made.plan_bytes + code.runtime_bytes
    assert report.ram_bytes == made.arena_bytes + code.stack_bytes
    assert report.arena_source.startswith("exact")


def test_the_document_has_the_form_that_it_has_under_tflm() -> None:
    document = check_fit(model("separable"), SMALL, "plan").document()
    assert document.keys() == check_fit(model("separable"), SMALL, "tflm").document().keys()
    assert document == json.loads(json.dumps(document))
    assert document["runtime"] == "plan"
    assert document["plan"]["plan_bytes"] == compile_plan(model("separable")).plan_bytes
    assert check_fit(model("separable"), SMALL).document()["plan"] is None


def test_it_needs_less_than_tensorflow_lite_micro() -> None:
    plan, tflm = (check_fit(model("separable"), SMALL, runtime) for runtime in ("plan", "tflm"))
    assert plan.arena_bytes is not None and tflm.arena_bytes is not None
    assert plan.arena_bytes < tflm.arena_bytes
    assert plan.flash_bytes < tflm.flash_bytes


@pytest.mark.parametrize("name", MICROCONTROLLERS)
def test_every_microcontroller_of_the_catalogue_has_an_answer(name: str) -> None:
    part = find_target(name)
    report = check_fit(model("mixed"), part, "plan")
    assert report.fits
    assert report.plan is not None
    measured = part.isa in FAMILY_OF_ISA
    assert report.plan.code.source.startswith("measured" if measured else "estimated")


def test_a_linux_board_runs_no_plans() -> None:
    with pytest.raises(UsageError, match="runs models under linux, not plan"):
        check_fit(model("dense"), find_target("raspberry-pi-zero-2w"), "plan")


def test_flash_and_ram_to_the_byte() -> None:
    report = check_fit(model("dense"), SMALL, "plan")
    assert report.ram_bytes is not None and report.arena_bytes is not None
    needed = {
        "flash_bytes": report.flash_bytes,
        "ram_bytes": report.ram_bytes,
        "arena_ram_bytes": report.arena_bytes,
    }
    assert check_fit(model("dense"), dataclasses.replace(SMALL, **needed), "plan").fits
    for key, size in needed.items():
        short = dataclasses.replace(SMALL, **{**needed, key: size - 1})
        (reason,) = check_fit(model("dense"), short, "plan").reasons
        assert f"{size:,} bytes" in reason and f"{size - 1:,}" in reason


def test_the_agent_is_counted_where_it_is_asked_for() -> None:
    alone, both = (check_fit(model("dense"), SMALL, "plan", with_agent=agent) for agent in (False, True))
    assert both.flash_bytes == alone.flash_bytes + AGENT_FLASH
    assert both.ram_bytes is not None and alone.ram_bytes is not None
    assert both.ram_bytes == alone.ram_bytes + AGENT_RAM


def test_an_operator_that_plans_lack_is_named() -> None:
    report = check_fit(model("unsupported"), SMALL, "plan")
    assert not report.fits and report.unsupported_ops == ("TILE",)
    assert len(report.reasons) == 1 and "TILE" in report.reasons[0]
    document = report.document()
    assert [document[key] for key in ("flash_bytes", "arena_bytes", "ram_bytes", "plan")] == [None] * 4


def test_bytes_that_are_no_model_are_refused_as_under_every_runtime() -> None:
    with pytest.raises(DataError):
        check_fit(b"not a model", SMALL, "plan")


class TestCode:
    def test_every_operator_of_plans_has_a_figure(self) -> None:
        assert measured_operators() == {code.name for code in OpCode}

    def test_a_kernel_that_is_not_named_is_not_counted_and_shared_code_is_counted_once(self) -> None:
        none = runtime_code(SMALL, []).runtime_bytes
        conv = runtime_code(SMALL, ["CONV_2D"]).runtime_bytes
        both = runtime_code(SMALL, ["CONV_2D", "CONV_2D", "SOFTMAX"]).runtime_bytes
        assert none < conv < both
        assert both < conv + runtime_code(SMALL, ["SOFTMAX"]).runtime_bytes

    def test_other_instruction_sets_get_the_largest_family_and_a_quarter_more(self) -> None:
        used = ["CONV_2D", "SOFTMAX"]
        cores = [find_target(name) for name in ("stm32f103", "rp2040", "stm32l4r5", "rp2350")]
        riscv = runtime_code(find_target("esp32c3"), used).runtime_bytes
        assert riscv >= ELSEWHERE * max(runtime_code(core, used).runtime_bytes for core in cores) - 1

    @pytest.mark.skipif(
        shutil.which("arm-none-eabi-gcc") is None,
        reason="needs gcc-arm-none-eabi and newlib; make system-packages",
    )
    def test_the_table_is_what_the_sources_give(self) -> None:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "--check"], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


class TestCommand:
    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["edgeops", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_app()
        return int(ended.value.code or 0)

    def test_the_table_says_how_each_figure_was_found(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = str(FOLDER / "separable.tflite")
        assert self.run(monkeypatch, "check", path, "--target", "stm32f103", "--runtime", "plan") == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[0].endswith("runtime plan")
        (flash,) = [line for line in shown if line.startswith("flash ") and "OK" in line]
        (arena,) = [line for line in shown if line.startswith("arena ") and "OK" in line]
        assert flash.endswith("measured") and arena.endswith("exact")
        assert any(line.startswith("agent ") and "--agent" in line for line in shown)

    def test_a_no_is_exit_status_3_and_says_what_to_ship_instead(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = str(FOLDER / "unsupported.tflite")
        assert self.run(monkeypatch, "check", path, "--target", "rp2040", "--runtime", "plan") == 3
        told = capsys.readouterr().err
        assert "TILE" in told and "--runtime tflm" in told

    def test_the_agent_is_of_plans_alone(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = str(FOLDER / "separable.tflite")
        assert self.run(monkeypatch, "check", path, "--target", "rp2040", "--agent") == 2
        assert "--runtime plan" in capsys.readouterr().err
