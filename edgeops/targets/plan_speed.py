"""How long an inference takes as an execution plan: instructions that an emulator counted, times cycles for each.

``plan_speed.toml`` has the instructions of each operator by family of cores, written by
``firmware_stubs/tools/plan_speed.py``: so many for each multiply-accumulate (or value that is read), for each run of
values that lie together, and for each output value. Cycles for an instruction are a range, and the widest part of the
answer: nothing of this was timed on a board.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from edgeops.compile.plan_format import HEADER, RECORDS, OpCode, unpacked
from edgeops.targets.catalogue import Target
from edgeops.targets.latency import LatencyRange

# whose instructions stand for those of an instruction set, without and with the DSP extension
FAMILY_OF_ISA: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "armv6-m": ("cortex-m0", "cortex-m0"),
        "armv8-m.base": ("cortex-m0", "cortex-m0"),
        "armv7-m": ("cortex-m3", "cortex-m3"),
        "armv7e-m": ("cortex-m3", "cortex-m4"),
        "armv8-m.main": ("cortex-m3", "cortex-m4"),
        "armv8.1-m.main": ("cortex-m3", "cortex-m4"),
    }
)
BASIS = "derived"
Counts = tuple[int, int, int]
"""Multiply-accumulates (or values read), runs of values that lie together, output values."""


def latency_of_plan(plan: bytes, target: Target) -> list[LatencyRange]:
    """The range for the kernels that the target's core runs; none where nothing is known of its core."""
    price = _table()["cycles"].get(target.core)
    families = FAMILY_OF_ISA.get(target.isa)
    if price is None or families is None:
        return []
    dsp = "dsp" in target.extensions
    family = families[dsp]
    low = instructions(plan, family, "speed") * price["low"]
    high = instructions(plan, family, "size") * price["high"]
    source = (
        f"an estimate: instructions counted by an emulator of a {family.title()}, built for speed (low) and for size "
        f"(high), times {price['low']} to {price['high']} cycles: {price['source']}"
    )
    kernels = "plan_dsp" if dsp else "plan_portable"
    cycles_a_ms = target.mhz * 1000
    return [LatencyRange(kernels, low / cycles_a_ms, high / cycles_a_ms, BASIS, source)]


def instructions(plan: bytes, family: str, built: str) -> float:
    """About how many instructions one inference takes; ``built`` for ``speed`` or for ``size``."""
    prices = _table()["cores"][family][built]
    return sum(
        sum(count * price for count, price in zip((1, *counts), prices[name], strict=True))
        for name, counts in work_of_plan(plan)
    )


def work_of_plan(plan: bytes) -> Iterator[tuple[str, Counts]]:
    """Each op of a plan and what it does."""
    header = unpacked(HEADER, plan)
    at = int(_number(header["ops_at"]))
    for _ in range(_number(header["op_count"])):
        code = OpCode(plan[at])
        record = unpacked(RECORDS[code], plan, at)
        yield code.name, _counts(code, record)
        at += _number(record["record_bytes"])


def _counts(code: OpCode, record: Mapping[str, Any]) -> Counts:
    if code in (OpCode.CONV_2D, OpCode.DEPTHWISE_CONV_2D):
        made = record["out_h"] * record["out_w"] * record["out_c"]
        reads = record["in_c"] if code is OpCode.CONV_2D else 1
        return made * record["k_h"] * record["k_w"] * reads, made * record["k_h"], made
    if code is OpCode.FULLY_CONNECTED:
        made = record["rows"] * record["out"]
        return made * record["in"], 0, made
    if code in (OpCode.AVERAGE_POOL_2D, OpCode.MAX_POOL_2D):
        made = record["out_h"] * record["out_w"] * record["channels"]
        return made * record["k_h"] * record["k_w"], 0, made
    if code is OpCode.MEAN:
        made = record["outer"] * record["inner"]
        return made * record["reduce"], 0, made
    if code is OpCode.SOFTMAX:
        return 0, record["rows"], record["rows"] * record["depth"]
    if code is OpCode.MOVE:
        runs = math.prod(record["sizes"])
        return 0, runs, runs * record["unit"]
    if code is OpCode.SVDF:
        return record["filters"] * (record["in"] + record["memory"]), 0, record["filters"]
    if code is OpCode.LSTM:
        made = record["steps"] * record["units"]
        return 4 * made * (record["in"] + record["units"]), 0, made
    return 0, 0, record["bytes"] if code is OpCode.FILL else record["elements"]


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files("edgeops.targets").joinpath("plan_speed.toml").read_text("utf-8"))
