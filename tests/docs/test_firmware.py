"""docs/firmware.md says what the headers, the compiler and the build say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from firmware import emulator

from edgeops.compile.compiler import OPERATORS
from edgeops.compile.network import ALIASES
from edgeops.core.features.operations import OPERATIONS
from edgeops.tflite.operators import shown

CHECKOUT = Path(__file__).resolve().parents[2]
FIRMWARE = CHECKOUT / "firmware_stubs"
INCLUDE = FIRMWARE / "include" / "edgeops"
TEXT = (CHECKOUT / "docs" / "firmware.md").read_text()
WARNINGS = [
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wmissing-prototypes",
    "-Werror",
    "-fsyntax-only",
]
NEAR = 0.1
"""A compiler of another patch level makes code of another size."""


def table(first_cell: str) -> list[list[str]]:
    """The rows of the table whose first heading is ``first_cell``, as cells."""
    (found,) = re.findall(rf"^\| {re.escape(first_cell)} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in found.splitlines()]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def structure(header: str, name: str) -> str:
    (body,) = re.findall(
        rf"typedef struct {name} {{(.*?)\n}} {name};", (INCLUDE / header).read_text(), re.DOTALL
    )
    return re.sub(r"/\*.*?\*/", "", str(body), flags=re.DOTALL)


def test_every_field_of_a_plans_header_is_in_the_table_and_no_other() -> None:
    declared = re.findall(
        r"^\s*(?:u?int\d+_t|eo_plan_tensor) (\w+);", structure("plan.h", "eo_plan_header"), re.M
    )
    said = [name for row in table("header field") for name in quoted(row[0])]
    assert len(said) > 10
    assert said == declared


def test_every_operation_of_a_plan_is_in_the_table_and_no_other() -> None:
    declared = re.findall(r"EO_OP_(\w+) = (\d+)", (INCLUDE / "plan.h").read_text())
    said = [(quoted(row[1])[0], row[0]) for row in table("code")]
    assert len(said) > 10
    assert said == declared[:-1]
    assert declared[-1][0] == "END"


def test_every_operator_that_is_compiled_is_said_to_be() -> None:
    said = {name for row in table("code") for name in quoted(row[3])}
    assert said == {shown(name) for name in OPERATORS}
    for name in ALIASES:
        assert f"`{name}`" in TEXT


def test_every_limit_of_the_build_is_in_the_table_with_its_default() -> None:
    declared = re.findall(r"#ifndef (EO_\w+)\n#define \1 (\d+)\n", (INCLUDE / "config.h").read_text())
    said = [(quoted(row[0])[0], row[1]) for row in table("macro")]
    assert len(said) > 5
    assert said == declared


def test_the_ten_functions_of_a_port_are_explained_in_their_order() -> None:
    declared = re.findall(r"\(\*(\w+)\)", structure("port.h", "eo_port"))
    assert re.findall(r"^\d+\. `(\w+)`:", TEXT, re.MULTILINE) == declared
    assert len(declared) == 10


def test_every_front_end_step_is_named_as_python_and_c_have_it() -> None:
    (said,) = re.findall(r"run in C as they do in Python: (.*?)\. ", TEXT)
    in_c = re.findall(
        r'^    \{"(\w+)", \d+', (FIRMWARE / "src/features/parameters.c").read_text(), re.MULTILINE
    )
    assert sorted(quoted(said)) == sorted(OPERATIONS) == sorted(in_c)


def test_what_it_says_of_numbers_in_headers() -> None:
    features = (INCLUDE / "features.h").read_text()
    assert "#define EO_FEATURES_NUMBERS 144u" in features
    assert "#define EO_FEATURES_MAX_STEPS 16u" in features
    assert "16 steps and 144 numbers (`EO_FEATURES_NUMBERS`)" in TEXT


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:src|port|include|mk|tests|edgeops)/[\w./]+)`", TEXT)))
)
def test_the_files_that_it_names_exist(path: str) -> None:
    assert (FIRMWARE / path).exists() or (CHECKOUT / path).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+_test)`", TEXT))))
def test_the_c_tests_that_it_names_exist(name: str) -> None:
    assert (FIRMWARE / "tests" / f"{name}.c").exists()


def test_the_skeleton_of_a_port_compiles(tmp_path: Path) -> None:
    (skeleton,) = (block for block in re.findall(r"```c\n(.*?)```", TEXT, re.DOTALL) if "int main" in block)
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "main.c").write_text(skeleton)
    command = [compiler, *WARNINGS, f"-I{INCLUDE.parent}", str(tmp_path / "main.c")]
    made = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr


def test_the_command_line_of_the_porting_guide_compiles_the_library() -> None:
    """As far as the syntax; building an image brings the deps."""
    emulator.build("build/an385/edgeops_agent.elf")
    (line,) = re.findall(
        r"^arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb (.*?) -r -nostdlib", TEXT, re.M | re.DOTALL
    )
    command = ["sh", "-c", f"arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -fsyntax-only {line}"]
    made = subprocess.run(command, cwd=FIRMWARE, check=False, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr


def test_its_flash_layout_is_the_codes(tmp_path: Path) -> None:
    """The library's own function, compiled by itself and asked for each row."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "ask.c").write_text(
        """
        #include <stdio.h>
        #include <stdlib.h>
        #include "store/flash_map.h"
        #include "store/flash_io.h"
        uint32_t eo_round_up(uint32_t value, uint32_t unit) { return (value + unit - 1u) / unit * unit; }
        int main(int count, char **words) {
            static uint64_t base;
            eo_flash_map map;
            for (uint32_t kib = 512; count == 2 && kib <= 1024; kib *= 2) {
                const eo_flash_geometry flash = {(const uint8_t *)&base, kib * 1024u,
                                                 (uint32_t)atoi(words[1]) * 1024u, 8};
                const eo_status status = eo_flash_map_of(&map, &flash);
                const unsigned slot = status == EO_OK ? (unsigned)map.slot_bytes / 1024u : 0u;
                printf("%u %u\\n", (unsigned)map.slots_at / 1024u, slot);
            }
            return 0;
        }
        """
    )
    program = tmp_path / "ask"
    includes = [f"-I{FIRMWARE / 'src'}", f"-I{INCLUDE.parent}"]
    sources = [str(tmp_path / "ask.c"), str(FIRMWARE / "src/store/flash_map.c")]
    subprocess.run([compiler, "-std=c99", *includes, *sources, "-o", str(program)], check=True, timeout=60)
    rows = table("erase block")
    assert len(rows) >= 3
    for block, before, *slots in rows:
        asked = subprocess.run(
            [program, block.split()[0]], check=True, capture_output=True, text=True, timeout=10
        ).stdout.split()
        for cell, place, size in zip(slots, asked[::2], asked[1::2], strict=True):
            assert before == f"{place} KiB"
            assert cell == (f"2 x {size} KiB" if size != "0" else "none")


def test_the_arenas_and_instructions_keep_to_the_limits_and_the_published_ones_are_those_of_the_benchmark() -> (
    None
):
    limits = tomllib.loads((CHECKOUT / "benchmarks" / "limits.toml").read_text())["firmware"]
    source = (CHECKOUT / "benchmarks" / "mlperf_tiny.py").read_text()
    published = {
        name: number(size.replace("_", ""))
        for name, size in re.findall(r'"(\w+)": \(([\d_]+), [\d.e]+\)', source)
    }
    rows = table("model")
    assert {quoted(row[0])[0] for row in rows} == published.keys()
    for cell, arena, theirs, dsp, portable in rows:
        (name,) = quoted(cell)
        assert number(theirs) == published[name]
        assert number(arena) <= limits[f"plan_arena_{name}"]["at_most"]
        assert number(dsp) <= limits[f"plan_dsp_{name}"]["at_most"]
        assert number(portable) <= limits[f"plan_portable_{name}"]["at_most"]


def test_the_sizes_are_those_of_the_build() -> None:
    """``make sizes``, which needs the cross compiler."""
    for name in ("an385/edgeops_agent", "an386/run_vectors"):
        emulator.build(f"build/{name}.elf")
    command = ["make", "--silent", "--no-print-directory", f"PYTHON={sys.executable}", "sizes", "JSON=1"]
    said = subprocess.run(
        command, cwd=FIRMWARE, check=True, capture_output=True, text=True, timeout=300
    ).stdout
    measured = json.loads(said)
    sizes = {
        **measured["modules"],
        "kernels, DSP extension (Cortex-M4, -Os)": measured["dsp_kernels_cortex_m4"],
        "stack, deepest chain of calls": {"flash": 0, "ram": measured["stack"]["bytes"]},
        "the agent with signature verification": measured["agent"],
    }
    rows = {row[0].removeprefix("* ").replace("**", ""): row[1:] for row in table("module")}
    assert rows.keys() == sizes.keys()
    for name, (flash, ram) in rows.items():
        assert number(flash) == pytest.approx(sizes[name]["flash"], rel=NEAR, abs=300), name
        assert number(ram) == pytest.approx(sizes[name]["ram"], rel=NEAR, abs=300), name
