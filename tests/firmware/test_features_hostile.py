"""Whatever steps and shapes a manifest claims, C refuses what Python refuses, and stays within its memory."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from firmware.emulator import FIRMWARE
from firmware.features_tool import (
    FULL,
    MALFORMED,
    OK,
    RANGE,
    SAMPLE_TYPES,
    TOO_SMALL,
    UNSUPPORTED,
    Tensor,
    run,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeops.core.errors import InputError
from edgeops.core.features.operations import OPERATIONS
from edgeops.core.features.steps import output_shape
from edgeops.core.manifest import NANO, Step


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory, host_build: Path) -> Path:
    """The same tool under the address and undefined-behaviour sanitizers."""
    compiler = shutil.which("cc")
    assert compiler is not None, host_build
    built = tmp_path_factory.mktemp("sanitized") / "run_features"
    sources = [*sorted(FIRMWARE.glob("src/features/*.c")), FIRMWARE / "src" / "runtime" / "status.c"]
    flags = ["-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    folders = ["-I", FIRMWARE / "include", "-I", FIRMWARE / "src"]
    subprocess.run(
        [compiler, *flags, *folders, *sources, FIRMWARE / "tools" / "run_features.c", "-lm", "-o", built],
        check=True,
    )
    return built


def nano(low: float, high: float) -> st.SearchStrategy[int]:
    return st.integers(round(low * NANO), round(high * NANO))


def whole(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high).map(lambda value: value * NANO)


# narrow enough that most steps suit what is before them
LIKELY = {
    "sample_rate_hz": st.sampled_from([1000 * NANO, 8000 * NANO]),
    "fft_length": st.sampled_from([32 * NANO, 64 * NANO, 128 * NANO]),
    "frame_length": whole(2, 40),
    "frame_step": whole(0, 40),
    "mels": whole(1, 6),
    "bands": whole(1, 6),
    "coefficients": whole(1, 4),
    "low_hz": nano(0, 60),
    "high_hz": nano(200, 500),
    "samples": whole(1, 150),
    "height": whole(1, 12),
    "width": whole(1, 12),
    "first": whole(0, 2),
    "share": nano(0, 1),
    "deviation": nano(0.1, 9),
    "floor": nano(1e-9, 1),
    "offset": nano(0, 1),
}
HOSTILE = st.one_of(
    st.sampled_from([0, 1, -1, NANO // 2, NANO, NANO + 1, 2**24 * NANO, 2**63 - 1, -(2**63)]),
    whole(0, 20_000),
    st.integers(-(2**63), 2**63 - 1),
)
OPS = st.sampled_from(sorted(OPERATIONS))
Steps = list[tuple[str, tuple[int, ...]]]


def python_shape(steps: Steps, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return output_shape([Step(*step) for step in steps], shape)
    except InputError:
        return None


@st.composite
def likely_step(draw: st.DrawFn) -> tuple[str, tuple[int, ...]]:
    op, many, flat = draw(OPS), draw(st.integers(1, 3)), []
    for parameter in OPERATIONS[op].parameters:
        values = whole(0, len(parameter.choices) - 1) if parameter.choices else nano(-3, 3)
        values = LIKELY.get(parameter.name, values)
        flat += [draw(values) for _ in range(many if parameter.many else 1)]
    return op, tuple(flat)


@st.composite
def chains(draw: st.DrawFn) -> tuple[Steps, tuple[int, ...]]:
    """Steps that suit each other and the raw shape, and then perhaps one that is spoilt."""
    raw = draw(
        st.sampled_from([(), (1,), (130,), (130, 1), (90, 3), (40, 2), (9, 7, 3), (5, 8, 1), (2, 3, 2, 3)])
    )
    steps: Steps = []
    for step in draw(st.lists(likely_step(), min_size=8, max_size=20)):
        if python_shape([*steps, step], raw) is not None:
            steps.append(step)
    if draw(st.booleans()):
        op, parameters = draw(
            st.tuples(st.one_of(OPS, st.text("abc_\x00", max_size=16)), st.lists(HOSTILE, max_size=16))
        )
        if steps and draw(st.booleans()):
            at = draw(st.integers(0, len(steps) - 1))
            op, good = steps.pop(at)
            parameters = list(good)
            if parameters:
                parameters[draw(st.integers(0, len(parameters) - 1))] = draw(HOSTILE)
        steps.insert(draw(st.integers(0, len(steps))), (op, tuple(parameters)))
    return steps, raw


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=300)
@given(chains(), st.sampled_from(sorted(SAMPLE_TYPES)))
def test_c_takes_exactly_the_steps_that_python_takes(
    sanitized: Path, tmp_path: Path, chain: tuple[Steps, tuple[int, ...]], dtype: str
) -> None:
    """Whatever a manifest holds: a clear status, nothing read or written outside, and the memory as announced."""
    steps, shape = chain
    values = np.random.default_rng(1).integers(0, 100, (1, *shape)).astype(dtype)
    wanted = python_shape(steps, shape)
    small = wanted is not None and np.prod(wanted, initial=1) <= 2**20
    made = run(sanitized, tmp_path, steps, values if small else values[:0], Tensor(wanted or shape))
    assert made.status in (OK, TOO_SMALL, MALFORMED, UNSUPPORTED, RANGE, FULL), made.message
    if wanted is None or len(steps) > 16:
        assert not made.opened
    elif made.status != FULL:
        assert made.opened, made.message
    if made.opened and small:
        assert made.status in (OK, RANGE)  # RANGE: infinity was made
        assert made.status == RANGE or made.values.size == np.prod(wanted, initial=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    st.lists(st.integers(0, 2**32 - 1), max_size=7),
    st.lists(st.integers(0, 2**32 - 1), max_size=7),
    st.data(),
)
def test_no_contract_breaks_anything(
    sanitized: Path, tmp_path: Path, raw_shape: list[int], shape: list[int], data: st.DataObject
) -> None:
    """Shapes that claim more than there is, scales and zero points of any kind."""
    integers = st.integers(-(2**31), 2**31 - 1)
    numbers = [data.draw(integers) for _ in range(2)]
    head = struct.pack("<i", data.draw(st.sampled_from([-1, 0, 1, 2, 3, 4])))
    both = raw_shape if data.draw(st.booleans()) else shape
    for sizes in (raw_shape, both):
        head += struct.pack(f"<{1 + len(sizes)}I", len(sizes), *sizes)
    head += struct.pack("<Iii", data.draw(st.integers(0, 2**32 - 1)), *numbers) + struct.pack("<I", 0)
    (tmp_path / "description").write_bytes(head)
    (tmp_path / "raw").write_bytes(b"")
    done = subprocess.run(
        [sanitized, tmp_path / "description", tmp_path / "raw", tmp_path / "output"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (OK, 2, MALFORMED, RANGE), done.stderr
