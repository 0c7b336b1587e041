"""``edgeops check`` and ``edgeops target`` as a person and a script meet them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from targets.fit_models import FOLDER, model

from edgeops.cli.main import run as run_app

MODEL = str(FOLDER / "separable.tflite")


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The console script in this process: a start of Python for each test would take the longest."""

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["edgeops", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_app()
        out, err = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    return call


def test_as_a_process_json_is_one_document_and_the_exit_status_is_the_answer() -> None:
    command = [sys.executable, "-m", "edgeops", "check", MODEL, "--target", "stm32l4r5", "--runtime", "tflm"]
    done = subprocess.run([*command, "--json"], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    document = json.loads(done.stdout)
    assert document["fits"] is True and document["reasons"] == []
    assert document["latency_ms"].keys() == {"low", "high"}


def test_a_no_is_exit_status_3_with_the_reasons_on_both_sides(run: Run) -> None:
    done = run("check", str(FOLDER / "unsupported.tflite"), "--target", "rp2040", "--json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert document["fits"] is False and document["unsupported_ops"] == ["TILE"]
    error, fix = done.stderr.splitlines()
    assert (
        error == "error: unsupported.tflite does not fit rp2040: TensorFlow Lite Micro has no operator TILE"
    )
    assert fix.startswith("Fix: ")


def test_the_table_shows_what_it_needs_beside_what_the_part_has(run: Run) -> None:
    done = run("check", MODEL, "--target", "nrf52840")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "target     nrf52840: nRF52840-QIAA, cortex-m4, 64 MHz, runtime tflm"
    assert "arena      measured, corrected to 32 bits" in lines
    (arena,) = [line for line in lines if line.startswith("arena ") and "OK" in line]
    assert arena.split() == ["arena", "1.7", "KiB", "256", "KiB", "OK", "measured"]
    assert any(line.startswith("cmsis_nn ") and line.endswith("published") for line in lines)


def test_a_terminal_of_80_columns_shows_everything_that_says_how_a_figure_was_found() -> None:
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [
        sys.executable,
        "-m",
        "edgeops",
        "check",
        str(FOLDER / "mixed.tflite"),
        "--target",
        "stm32l4r5",
    ]
    process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side)
    os.close(side)
    shown = b""
    while select.select([main], [], [], 60)[0]:
        try:
            shown += (piece := os.read(main, 4096))
        except OSError:
            break
        if not piece:
            break
    os.close(main)
    assert process.wait(60) == 0
    text = shown.decode()
    assert max(map(len, text.splitlines())) <= 80
    assert "left out" not in text and "\x1b[" not in text
    assert "except CONCATENATION" in text


@pytest.mark.parametrize(
    ("content", "target", "status", "words"),
    [
        (b"", "rp2040", 2, "the file is empty"),
        (model("separable")[:999], "rp2040", 2, "not a usable TensorFlow Lite model"),
        (None, "rp2040", 4, "there is no file"),
        (model("separable"), "rp2041", 4, "did you mean 'rp2040'?"),
    ],
)
def test_what_a_person_sees_of_a_mistake(
    content: bytes | None, target: str, status: int, words: str, tmp_path: Path, run: Run
) -> None:
    path = tmp_path / "m.tflite"
    if content is not None:
        path.write_bytes(content)
    done = run("check", str(path), "--target", target)
    assert done.returncode == status
    assert done.stdout == ""
    assert words in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Fix: ")


def test_csv_is_one_row(run: Run) -> None:
    done = run("check", MODEL, "--target", "stm32u575", "-o", "csv")
    head, row = done.stdout.splitlines()
    assert head.split(",")[:3] == ["target", "fits", "reasons"]
    assert row.startswith("stm32u575,True,[],")


def test_the_list_names_every_part(run: Run) -> None:
    rows = json.loads(run("target", "list", "--json").stdout)
    assert len(rows) >= 14
    assert {"stm32l4r5", "stm32h743", "nrf52840", "rp2040", "esp32s3"} <= {row["target"] for row in rows}
    assert all(
        row["source"] and row["flash_bytes"] and row["ram_bytes"] and row["mhz"] and row["isa"]
        for row in rows
    )
    table = run("target", "list").stdout.splitlines()
    assert table[0].split() == ["target", "core", "mhz", "flash", "ram", "runtime", "extensions"]
    assert len(table) == len(rows) + 1


def test_one_part_is_shown_with_its_source(run: Run) -> None:
    document = json.loads(run("target", "show", "stm32l4r5", "--json").stdout)
    assert (document["flash_bytes"], document["ram_bytes"], document["mhz"]) == (2_097_152, 655_360, 120)
    assert "DS12023" in document["source"]
    shown = run("target", "show", "STM32L4R5ZI").stdout
    assert "2,097,152 (2 MiB)" in shown
    assert run("target", "show", "nothing").returncode == 4


def test_help_loads_neither_numpy_nor_the_interpreter() -> None:
    program = (
        "import sys\nfrom edgeops.cli import check, target\n"
        "heavy = {'numpy', 'tensorflow', 'tflite_micro', 'edgeops.targets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
