"""How much flash and RAM the C runtime takes that runs execution plans: measured from cross-built code.

``plan_code.toml`` has the bytes of each family of cores, written by ``firmware_stubs/tools/plan_code.py``; a kernel
that no operator of a plan names is not linked in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from edgeops.targets.catalogue import Target

FAMILY_OF_ISA: Mapping[str, str] = MappingProxyType(
    {
        "armv6-m": "cortex-m0plus",
        "armv7-m": "cortex-m3",
        "armv7e-m": "cortex-m4",
        "armv8-m.base": "cortex-m0plus",
        "armv8-m.main": "cortex-m33",
        "armv8.1-m.main": "cortex-m55",
    }
)
# Nothing is cross-built for other instruction sets. Compressed RISC-V and Xtensa code of the same C is larger than
# Thumb-2 by 10 to 20%; this is above that, so that a yes holds.
ELSEWHERE = 1.25
MEASURED, ESTIMATED = "measured", "estimated"
# what `make -C firmware_stubs sizes` lets the agent take at most, on a Cortex-M3, with signatures and its stack
AGENT_FLASH, AGENT_RAM = 40_960, 8_192
LIMITS = "the limits that the firmware's build keeps"


@dataclass(frozen=True)
class RuntimeCode:
    """What the runtime and the agent take on a core, in bytes; ``source`` says how it was found.

    ``runtime_bytes`` is the code and tables of the runtime with the kernels that were asked for, ``stack_bytes`` the
    deepest stack of one inference. The agent's flash and RAM (with its stack) come beside them where it is linked in;
    a network stack comes beside both.
    """

    family: str
    source: str
    runtime_bytes: int
    stack_bytes: int
    agent_flash_bytes: int
    agent_ram_bytes: int
    agent_source: str


def runtime_code(target: Target, operators: Iterable[str]) -> RuntimeCode:
    """The code that a plan with these operators (``CONV_2D``, …, as plans name them) needs on ``target``."""
    used = sorted(set(operators))
    table = _table()
    family = FAMILY_OF_ISA.get(target.isa)
    if family is not None:
        return _code(family, MEASURED, table["cores"][family], used, 1.0)
    largest = max(table["cores"], key=lambda name: _sum(table["cores"][name], used))
    source = f"{ESTIMATED}: that of {largest} and a quarter more; nothing is built for {target.isa}"
    return _code(target.core, source, table["cores"][largest], used, ELSEWHERE)


def built_with() -> str:
    """The compiler and flags that the figures are of."""
    return str(_table()["built_with"])


def measured_operators() -> frozenset[str]:
    """The operators of plans that the table has code for, or that need none of their own."""
    return frozenset(*[set(core["operators"]) for core in list(_table()["cores"].values())[:1]])


def _code(family: str, source: str, core: Mapping[str, Any], used: list[str], factor: float) -> RuntimeCode:
    return RuntimeCode(
        family,
        source,
        round(_sum(core, used) * factor),
        round(core["stack"] * factor),
        AGENT_FLASH,
        AGENT_RAM,
        LIMITS,
    )


def _sum(core: Mapping[str, Any], used: Iterable[str]) -> int:
    sections = {section for name in used for section in core["operators"][name]}
    return int(core["base"] + sum(core["sections"][section] for section in sections))


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files("edgeops.targets").joinpath("plan_code.toml").read_text("utf-8"))
