"""Whatever the bytes of a plan are, the C runtime refuses them or runs them within plan and arena: the tools are built
with the address and undefined sanitizers, and run what is not refused."""

from __future__ import annotations

import fcntl
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from compile.test_recurrent import lstm_model, svdf_model
from firmware import plan_runner
from firmware.host_tools import FIRMWARE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeops.compile import CompiledPlan, compile_plan
from edgeops.compile.plan_format import HEADER, form_of

VECTORS = Path(__file__).parents[1] / "vectors"
MODELS = ("fit/dense", "fit/mixed", "fit/residual", "fit/separable", "inference/small_int8", "svdf", "lstm")
MADE: dict[str, Callable[[], bytes]] = {
    "svdf": lambda: svdf_model(seed=1, wide=True, rank=2, units=3, memory=4),
    "lstm": lambda: lstm_model(seed=1, steps=3, inputs=4, units=5, power=-15, clip=0),
}
OK, MALFORMED, UNSUPPORTED, RANGE = 0, 5, 6, 7
STATUSES = {OK, MALFORMED, UNSUPPORTED, RANGE}
INTERESTING = (0, 1, 2, 3, 4, 7, 31, 32, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000)
WORDS = (*INTERESTING, 1 << 20, 1 << 30, 0x7FFFFFFF, 0x80000000, 0xFFFFFFE0, 0xFFFFFFFC, 0xFFFFFFFF)


@cache
def compiled(name: str) -> CompiledPlan:
    return compile_plan(MADE[name]() if name in MADE else (VECTORS / f"{name}.tflite").read_bytes())


def plan_of(name: str) -> bytes:
    return compiled(name).plan


@pytest.fixture(scope="module")
def sanitized(host_build: Path) -> Path:
    """The folder with the sanitized tools."""
    assert host_build.exists()
    folder = FIRMWARE / "build" / "sanitized"
    tools = [folder.relative_to(FIRMWARE) / name for name in ("run_plan", "try_plans")]
    with (FIRMWARE / "build" / ".sanitized.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-C", FIRMWARE, "SANITIZE=1", *tools]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


def tried(sanitized: Path, plans: Sequence[bytes]) -> list[int]:
    """The status of opening each plan; those that open have been run."""
    stream = b"".join(struct.pack("<I", len(plan)) + plan for plan in plans)
    ended = subprocess.run(
        [sanitized / "try_plans"], input=stream, capture_output=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    statuses = [int(line) for line in ended.stdout.split()]
    assert len(statuses) == len(plans)
    return statuses


@pytest.mark.parametrize("name", MODELS)
def test_real_plans_run_under_the_sanitizers(name: str, sanitized: Path) -> None:
    plan = compiled(name)
    inputs = bytes(range(256)) * plan.input.bytes
    for kernels in plan_runner.KERNELS:
        assert plan_runner.outputs(sanitized / "run_plan", kernels, plan.plan, inputs)


@pytest.mark.parametrize("name", MODELS)
def test_no_beginning_of_a_plan_is_taken_for_one(name: str, sanitized: Path) -> None:
    plan = plan_of(name)
    assert tried(sanitized, [plan[:size] for size in range(len(plan))]) == [MALFORMED] * len(plan)


@pytest.mark.parametrize("name", MODELS)
def test_no_beginning_that_says_it_is_whole_reads_beyond_its_end(name: str, sanitized: Path) -> None:
    plan = plan_of(name)
    at = 8  # plan_bytes
    shorter = [plan[:at] + struct.pack("<I", size) + plan[at + 4 : size] for size in range(at + 4, len(plan))]
    found = Counter(tried(sanitized, shorter))
    assert set(found) <= {MALFORMED, RANGE}


@pytest.mark.parametrize("name", MODELS)
def test_every_word_of_header_and_records_replaced_by_every_interesting_one(
    name: str, sanitized: Path
) -> None:
    plan = plan_of(name)
    ops_at, ops_bytes = struct.unpack_from("<II", plan, 20)
    assert ops_at == form_of(HEADER).size
    changed = [
        plan[:at] + struct.pack("<I", word) + plan[at + 4 :]
        for at in range(0, ops_at + ops_bytes, 4)
        for word in WORDS
    ]
    found = Counter(tried(sanitized, changed))
    assert set(found) <= STATUSES
    assert found[OK] and found[MALFORMED] and found[UNSUPPORTED] and found[RANGE]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(MODELS),
    changes=st.lists(
        st.lists(
            st.tuples(st.integers(0, 1 << 16), st.sampled_from(INTERESTING), st.sampled_from((1, 2, 4))),
            min_size=1,
            max_size=8,
        ),
        min_size=20,
        max_size=100,
    ),
)
def test_several_fields_changed_at_once(
    name: str, changes: list[list[tuple[int, int, int]]], sanitized: Path
) -> None:
    plans = []
    for fields in changes:
        plan = bytearray(plan_of(name))
        for place, value, width in fields:
            at = place % (len(plan) // width) * width
            plan[at : at + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
        plans.append(bytes(plan))
    assert set(tried(sanitized, plans)) <= STATUSES


class TestTheTool:
    """``run_plan`` names what is wrong, and leaves with 1 for files and 2 for arguments."""

    def test_refuses_a_file_that_is_no_plan(self, host_build: Path) -> None:
        code, output, messages = plan_runner.attempt(host_build / "run_plan", "dsp", b"no plan" * 99, b"")
        assert (code, output) == (1, b"")
        assert "bytes that are not what they should be" in messages

    def test_refuses_inputs_that_end_too_early(self, host_build: Path) -> None:
        plan = compile_plan((VECTORS / "fit/dense.tflite").read_bytes())
        size = plan.input.bytes
        code, output, messages = plan_runner.attempt(
            host_build / "run_plan", "dsp", plan.plan, bytes(2 * size - 1)
        )
        assert code == 1
        assert f"ends inside input 1; one input has {size} bytes" in messages
        assert len(output) == plan.output.bytes, "the first input was whole"

    @pytest.mark.parametrize("arguments", ([], ["a", "b"], ["--kernels", "fast", "a", "b", "c"]))
    def test_explains_itself(self, arguments: list[str], host_build: Path) -> None:
        ended = subprocess.run(
            [host_build / "run_plan", *arguments], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 2
        assert ended.stderr.startswith("usage: run_plan")

    def test_names_a_file_that_is_missing(self, host_build: Path, tmp_path: Path) -> None:
        command = [host_build / "run_plan", tmp_path / "plan", tmp_path / "input", tmp_path / "output"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert ended.stderr == f"run_plan: {tmp_path / 'plan'}: cannot be opened\n"


@pytest.mark.parametrize(
    "compiler", (("cc", "-std=c99", "-xc"), ("c++", "-std=c++11", "-xc++")), ids=("C99", "C++11")
)
@pytest.mark.parametrize(
    "header", sorted((FIRMWARE / "include" / "edgeops").glob("*.h")), ids=lambda path: path.name
)
def test_headers_compile_alone(header: Path, compiler: tuple[str, ...]) -> None:
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is missing. Fix: sudo apt-get install build-essential")
    source = f'#include "edgeops/{header.name}"\n#include "edgeops/{header.name}"\ntypedef int not_empty;\n'
    flags = ["-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{FIRMWARE / 'include'}", "-fsyntax-only"]
    ended = subprocess.run(
        [*compiler, *flags, "-"], input=source, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
