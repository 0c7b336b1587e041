"""Counts the instructions of each operator of plans on emulated cores, and writes them down for `edgeops check`.

    .venv/bin/python firmware_stubs/tools/plan_speed.py     # writes edgeops/targets/plan_speed.toml, some minutes

Each operator runs alone in several sizes; a line through what the emulator counted gives what it takes at all, for
each multiply-accumulate (or value that is read), for each run of values that lie together, and for each output value.
Needs the cross compiler and QEMU. The cycles for an instruction are not measured: they are written down here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from compile.op_models import Model  # noqa: E402
from compile.test_recurrent import lstm_model, svdf_model  # noqa: E402
from firmware import emulator  # noqa: E402

from edgeops.compile import compile_plan  # noqa: E402
from edgeops.targets.plan_speed import work_of_plan  # noqa: E402

TABLE = ROOT / "edgeops" / "targets" / "plan_speed.toml"
FAMILIES = {"cortex-m0": "microbit", "cortex-m3": "an385", "cortex-m4": "an386"}
BUILDS = {"speed": True, "size": False}
ACCURACY = "from published MLPerf Tiny results"
CYCLES = f"""\
# Cycles for an instruction, kernels and weights in flash. Nothing here was measured with this runtime: Cortex-M4 is
# what microTVM with CMSIS-NN takes on a NUCLEO-L4R5ZI (3.7 to 4.8 cycles a multiply-accumulate on the convolutional
# models) over the 2.2 to 3.2 instructions that an emulator counts for CMSIS-NN; other cores by the ratio that
# X-CUBE-AI shows between boards, or by the instruction timings of the core's technical reference manual.
[cycles]
cortex-m0plus = {{ low = 1.2, high = 2.0, source = "its reference manual: loads and taken branches take 2" }}
cortex-m3 = {{ low = 1.3, high = 2.2, source = "Cortex-M4's, and a cycle more for a multiply-accumulate" }}
cortex-m4 = {{ low = 1.1, high = 1.9, source = "{ACCURACY} with CMSIS-NN on an STM32L4R5" }}
cortex-m7 = {{ low = 0.65, high = 1.2, source = "Cortex-M4's by the ratio of X-CUBE-AI's published results" }}
cortex-m33 = {{ low = 1.0, high = 1.7, source = "Cortex-M4's by the ratio of X-CUBE-AI's published results" }}
cortex-m55 = {{ low = 0.9, high = 1.7, source = "taken to be as Cortex-M33's; no result is published without Helium" }}
cortex-m85 = {{ low = 0.55, high = 1.2, source = "taken to be as Cortex-M7's; no result is published without Helium" }}
"""


def main() -> int:
    """Measure and write."""
    compiler = ["arm-none-eabi-gcc", "-dumpfullversion"]
    version = subprocess.run(compiler, capture_output=True, text=True, check=True).stdout.strip()
    lines = [
        "# Instructions of each operator of an execution plan: [at all, for each multiply-accumulate or value that is",
        "# read, for each run of values that lie together, for each output value]. Written by",
        "# firmware_stubs/tools/plan_speed.py from what QEMU counted; do not edit it.",
        f'built_with = "arm-none-eabi-gcc {version}, -O2 (speed) and -Os (size), newlib, no FPU"',
        "",
        CYCLES.rstrip(),
    ]
    for family, board in FAMILIES.items():
        for built, fast in BUILDS.items():
            lines += ["", f"[cores.{family}.{built}]"]
            for name, prices in measured(board, fast).items():
                lines.append(f"{name} = [{', '.join(f'{price:.4g}' for price in prices)}]")
    TABLE.write_text("\n".join([*lines, ""]))
    return 0


def measured(name: str, fast: bool) -> dict[str, list[float]]:
    """The prices of every operator on a board."""
    board = next(board for board in emulator.BOARDS if board.name == name)
    elf = emulator.image(board, "run_vectors", fast=fast)
    found: dict[str, list[tuple[tuple[int, ...], int]]] = {}
    for content in models():
        plan = compile_plan(content)
        ops = list(work_of_plan(plan.plan))
        if name == "microbit" and plan.arena_bytes > 12_000:
            continue
        counted = instructions(board, elf, plan)
        assert len(ops) == 1
        found.setdefault(ops[-1][0], []).append((ops[-1][1], counted))
    prices = {name: fitted(rows) for name, rows in found.items()}
    # never alone in a plan; it costs no more than a MOVE of one run
    prices["FILL"] = [prices["MOVE"][0] + prices["MOVE"][2], 0.0, 0.0, prices["MOVE"][3]]
    return prices


def fitted(rows: list[tuple[tuple[int, ...], int]]) -> list[float]:
    """Prices by least squares of relative errors, none of them negative."""
    counts = np.array([(1, *work) for work, _ in rows], float)
    counted = np.array([count for _, count in rows], float)
    first = (
        1 if counts[:, 1].any() and counts[:, 2].any() else 0
    )  # what a convolution takes at all is nothing
    used = [column for column in range(first, 4) if counts[:, column].any()]
    while True:
        a = counts[:, used] / counted[:, None]
        prices = np.linalg.lstsq(a, np.ones(len(rows)), rcond=None)[0]
        if (prices >= 0).all():
            break
        del used[int(prices.argmin())]
    return [float(prices[used.index(column)]) if column in used else 0.0 for column in range(4)]


def instructions(board: emulator.Board, elf: Path, plan: Any) -> int:
    """Those of one inference of random input."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "plan").write_bytes(plan.plan)
        inputs = np.random.default_rng(1).integers(-128, 128, plan.input.bytes, np.int8).tobytes()
        if plan.input.dtype == "float32":
            inputs = np.random.default_rng(1).normal(0, 2, plan.input.bytes // 4).astype("<f4").tobytes()
        (folder / "inputs").write_bytes(inputs)
        arguments = {"plan": plan.plan_bytes, "inputs": folder / "inputs", "outputs": folder / "outputs"}
        ended = emulator.run(board, elf, arguments, model=folder / "plan")
    assert ended.code == 0, ended.text
    return ended.values["instructions"]


def models() -> Iterator[bytes]:
    """One operator each, in sizes that tell its prices apart."""
    for size, in_c, out_c, kernel in (
        (6, 16, 16, (3, 3)),
        (6, 8, 8, (3, 3)),
        (12, 3, 16, (3, 3)),
        (12, 1, 16, (10, 4)),
        (12, 1, 8, (3, 3)),
        (6, 32, 32, (1, 1)),
        (6, 64, 64, (1, 1)),
        (8, 8, 16, (1, 1)),
    ):
        yield convolution("CONV_2D", size, in_c, out_c, kernel)
    for size, channels, kernel in (
        (12, 16, (3, 3)),
        (6, 64, (3, 3)),
        (20, 8, (3, 3)),
        (3, 128, (3, 3)),
        (10, 8, (5, 5)),
        (8, 32, (5, 3)),
    ):
        yield convolution("DEPTHWISE_CONV_2D", size, channels, channels, kernel)
    for inputs, outputs in ((640, 16), (128, 128), (8, 128), (64, 10)):
        yield dense(inputs, outputs)
    for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        for size, channels, window in ((8, 32, 2), (9, 16, 3), (8, 16, 8)):
            yield pooling(name, size, channels, window)
    for size, channels in ((8, 32), (4, 64), (2, 128)):
        yield mean(size, channels)
    for count in (256, 2048):
        for name in ("ADD", "MUL", "SOFTMAX", "LOGISTIC", "QUANTIZE", "DEQUANTIZE"):
            yield elementwise(name, count)
    for size, channels in ((4, 2), (8, 16), (4, 64)):
        yield transposition(size, channels)
        yield slice_of(2 * size, 8 * channels)
    for units, memory, inputs in ((3, 4, 5), (16, 8, 32), (32, 10, 16)):
        yield svdf_model(1, wide=False, units=units, memory=memory, inputs=inputs)
    for steps, inputs, units in ((4, 3, 5), (8, 16, 16), (4, 8, 24)):
        yield lstm_model(1, steps, inputs, units)


def convolution(name: str, size: int, in_c: int, out_c: int, kernel: tuple[int, int]) -> bytes:
    """CONV_2D or DEPTHWISE_CONV_2D of an image that keeps its size."""
    rng, model = np.random.default_rng(1), Model()
    depthwise = name == "DEPTHWISE_CONV_2D"
    x, y = model.tensor((1, size, size, in_c), 0.05, 3), model.tensor((1, size, size, out_c), 0.05, -5)
    scale = rng.uniform(1e-3, 0.01, out_c).astype(np.float32)
    shape = (1, *kernel, out_c) if depthwise else (out_c, *kernel, in_c)
    w = model.weights(rng, shape, scale, axis=3 if depthwise else 0)
    fields: dict[str, Any] = {
        "padding": 0,
        "strideH": 1,
        "strideW": 1,
        "dilationHFactor": 1,
        "dilationWFactor": 1,
    }
    if depthwise:
        fields["depthMultiplier"] = 1
    options = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    model.add(name, [x, w, model.bias(rng, out_c, scale)], [y], options, **fields)
    return model.content([x], [y])


def dense(inputs: int, outputs: int) -> bytes:
    """FULLY_CONNECTED, quantized per tensor."""
    rng, model = np.random.default_rng(1), Model()
    x, y = model.tensor((1, inputs), 0.05, 3), model.tensor((1, outputs), 0.05, -5)
    w = model.weights(rng, (outputs, inputs), 0.005)
    model.add("FULLY_CONNECTED", [x, w, model.bias(rng, outputs, 0.00025)], [y], "FullyConnectedOptions")
    return model.content([x], [y])


def pooling(name: str, size: int, channels: int, window: int) -> bytes:
    """A pooling whose windows do not overlap."""
    model = Model()
    x, y = (
        model.tensor((1, size, size, channels)),
        model.tensor((1, size // window, size // window, channels)),
    )
    step = {"filterHeight": window, "filterWidth": window, "strideH": window, "strideW": window}
    model.add(name, [x], [y], "Pool2DOptions", padding=1, **step)
    return model.content([x], [y])


def mean(size: int, channels: int) -> bytes:
    """MEAN over height and width."""
    model = Model()
    x, y = model.tensor((1, size, size, channels)), model.tensor((1, channels))
    model.add("MEAN", [x, model.integers([1, 2])], [y], "ReducerOptions", keepDims=False)
    return model.content([x], [y])


def elementwise(name: str, count: int) -> bytes:
    """An operator of one size."""
    model = Model()
    kinds = {"QUANTIZE": ("float32", "int8"), "DEQUANTIZE": ("int8", "float32")}.get(name, ("int8", "int8"))
    x = model.tensor((1, count), None if kinds[0] == "float32" else 0.05, dtype=kinds[0])
    fixed = name in ("SOFTMAX", "LOGISTIC")
    y = model.tensor(
        (1, count),
        None if kinds[1] == "float32" else 1 / 256 if fixed else 0.1,
        -128 if fixed else 0,
        dtype=kinds[1],
    )
    options = {"ADD": "AddOptions", "MUL": "MulOptions", "SOFTMAX": "SoftmaxOptions"}.get(name, "")
    fields = {"beta": 1.0} if name == "SOFTMAX" else {}
    model.add(name, [x, x] if name in ("ADD", "MUL") else [x], [y], options, **fields)
    return model.content([x], [y])


def transposition(size: int, channels: int) -> bytes:
    """MOVE of values that do not lie together."""
    model = Model()
    x, y = model.tensor((1, size, channels)), model.tensor((1, channels, size))
    model.add("TRANSPOSE", [x, model.integers([0, 2, 1])], [y], "TransposeOptions")
    return model.content([x], [y])


def slice_of(size: int, channels: int) -> bytes:
    """MOVE of every other row."""
    model = Model()
    x, y = model.tensor((1, 2 * size, channels)), model.tensor((1, size, channels))
    bounds = [model.integers(values) for values in ([0, 0, 0], [1, 2 * size, channels], [1, 2, 1])]
    model.add("STRIDED_SLICE", [x, *bounds], [y], "StridedSliceOptions")
    return model.content([x], [y])


if __name__ == "__main__":
    sys.exit(main())
