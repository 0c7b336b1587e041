"""Execution plans on microcontrollers: arenas, instructions a multiply-accumulate, code, and the agent's size.

Instructions are counted by the emulator of a Cortex-M4 (one inference of random input, ``-O2``); bytes of code are
those that the cross linker kept at ``-Os``. Needs ``gcc-arm-none-eabi``, ``libnewlib-arm-none-eabi`` and
``qemu-system-arm``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mlperf_tiny import PUBLISHED, reference_model

from edgeops.compile import CompiledPlan, compile_plan
from edgeops.targets import find_target
from edgeops.targets.plan_code import built_with, runtime_code

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE = ROOT / "firmware_stubs"
MODELS = ("autoencoder", "keyword", "image", "person")
KERNELS = {"dsp": "", "portable": "PORTABLE=1"}
EIGHT = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "AVERAGE_POOL_2D",
    "MEAN",
    "ADD",
    "SOFTMAX",
    "MOVE",
    "FILL",
)
"""What the MLPerf Tiny models need, reshape being nothing and padding being FILL and MOVE."""
INPUTS = 2


def rows() -> list[dict[str, Any]]:
    """Arena and instructions of each model, code of the operators, flash and RAM of the agent."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            found += _rows_of(name, compile_plan(reference_model(name)), Path(folder))
    return [*found, _operators(), *_agent()]


def _rows_of(name: str, plan: CompiledPlan, folder: Path) -> list[dict[str, Any]]:
    live, published = plan.live_tensor_bytes, PUBLISHED[name][0]
    note = f"tensors that live at once {live}; TFLM, published, {published}; plan {plan.plan_bytes}"
    found = [_row(f"plan_arena_{name}", plan.arena_bytes, "B", note)]
    for kernels, variable in KERNELS.items():
        counted = _on_cortex_m4(plan, variable, folder)
        note = f"{counted['instructions']} instructions, {counted['macs']} MACs, stack {counted['stack_bytes']} B"
        ratio = counted["instructions"] / counted["macs"]
        found.append(_row(f"plan_{kernels}_{name}", ratio, "instructions/MAC", note))
    return found


def _on_cortex_m4(plan: CompiledPlan, variable: str, folder: Path) -> dict[str, int]:
    """What ``run_vectors`` prints: figures of one inference, the mean of ``INPUTS``."""
    suffix = "-speed-portable" if variable else "-speed"
    elf = f"build/an386{suffix}/run_vectors.elf"
    _made("SPEED=1", *([variable] if variable else []), elf)
    model, inputs = folder / "model.plan", folder / "inputs"
    model.write_bytes(plan.plan)
    values = np.random.default_rng(1).integers(-128, 128, INPUTS * plan.input.bytes, dtype=np.int8)
    inputs.write_bytes(values.tobytes())
    listed = subprocess.run(
        ["arm-none-eabi-nm", str(FIRMWARE / elf)], capture_output=True, text=True, check=True
    )
    at = next(line.split()[0] for line in listed.stdout.splitlines() if line.endswith(" board_model_start"))
    words = ["run_vectors", f"plan={plan.plan_bytes}", f"inputs={inputs}", f"outputs={folder / 'outputs'}"]
    semihosting = ",".join(["enable=on", "target=native", *(f"arg={word}" for word in words)])
    emulator = [
        "qemu-system-arm",
        "-M",
        "mps2-an386",
        "-display",
        "none",
        "-monitor",
        "none",
        "-serial",
        "none",
    ]
    emulator += ["-nic", "none", "-icount", "shift=0", "-semihosting-config", semihosting]
    emulator += ["-device", f"loader,file={model},addr=0x{at},force-raw=on", "-kernel", str(FIRMWARE / elf)]
    ended = subprocess.run(
        emulator, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    if ended.returncode:
        raise RuntimeError(f"run_vectors ended with {ended.returncode}: {ended.stdout[-800:]}")
    pairs = (line.partition("=") for line in ended.stdout.splitlines())
    return {key: int(value) for key, _, value in pairs if value.isdecimal()}


def _operators() -> dict[str, Any]:
    code = runtime_code(find_target("stm32l4r5"), EIGHT)
    note = f"with verifier and dispatch; {code.family}, {built_with()}"
    return _row("plan_code_eight", code.runtime_bytes, "B", note)


def _agent() -> list[dict[str, Any]]:
    sizes = json.loads(_made("-s", "sizes", "JSON=1"))
    stack = sizes["stack"]["bytes"]
    return [
        _row(
            "firmware_agent_flash", sizes["agent"]["flash"], "B", "Cortex-M3, -Os; no network stack, no model"
        ),
        _row("firmware_agent_ram", sizes["agent"]["ram"], "B", f"with a stack of {stack} B"),
    ]


def _made(*arguments: str) -> str:
    """``make`` in ``firmware_stubs``; what it prints."""
    done = subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={sys.executable}", *arguments],
        cwd=FIRMWARE,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"make {' '.join(arguments)}: {done.stderr[-800:]}")
    return done.stdout


def _row(name: str, value: float, unit: str, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": "lower", "peer": None, "note": note}
