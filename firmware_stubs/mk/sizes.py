"""Flash and RAM of each module of the agent's image, and the deepest stack: read from the linker's map and from the
call graphs that the compiler writes. Only what the linker kept counts.

    sizes.py --agent edgeops_agent.map --dsp run_vectors.map --graphs build/an385/src build/an385/deps [--json]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FLASH_LIMIT = 40 * 1024
RAM_LIMIT = 8 * 1024
AGENT = ("counters", "wire", "trust", "trust: Monocypher, SHA-2", "store", "agent", "C library")
"""What "the agent with signature verification" is: no network stack, model, runtime, front ends or port."""

# The first that matches an object's path decides.
MODULES = (
    ("kernels, DSP extension", r"/src/runtime/dsp/"),
    ("kernels, portable", r"/src/runtime/portable/"),
    ("runtime", r"/src/runtime/"),
    ("front ends", r"/src/features/"),
    ("counters", r"/src/counters/"),
    ("wire", r"/src/wire/"),
    ("trust: Monocypher, SHA-2", r"/monocypher/|/mbedtls/"),
    ("trust", r"/src/trust/"),
    ("store", r"/src/store/"),
    ("agent", r"/src/agent/"),
    ("network stack (lwIP)", r"/lwip/"),
    ("port", r"/port/"),
    # the processor has none: what calculates in floating point (front ends, quantize) brings it, with libm's errno
    ("floating point in software", r"libm\.a|libgcc\.a\(.*(sf|df|float)|-(errno|impure)\.o"),
    # tests/firmware/test_sizes.py holds that nothing of the agent needs these
    ("64-bit division (port, front ends)", r"libgcc\.a\(.*(ldivmod|divmoddi4|dvmd_tls)"),
    ("reading of text (port, network stack)", r"libc(_nano)?\.a\(lib_a-(ato|str(chr|n?cmp|c?spn))"),
    ("C library", r"libgcc\.a|libc\.a|libc_nano\.a"),
)
AGENT_MEMORY = ".bss.agent"
"""The agent's own memory is the caller's: a variable of the port's main.c."""

FLASH_SECTIONS = re.compile(r"\.(text|rodata|vectors|data)\b")
RAM_SECTIONS = re.compile(r"\.(data|bss)\b|COMMON")
PLACED = re.compile(r"^ (\.\S+|COMMON)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S+)$")

NODE = re.compile(r'node: { title: "([^"]+)" label: "[^"]*?\\n(\d+) bytes')
EDGE = re.compile(r'edge: { sourcename: "([^"]+)" targetname: "([^"]+)"')
INDIRECT = "__indirect_call"
ENTRIES = re.compile(r"eo_agent_\w+")
UNKNOWN_BYTES = 32
"""What a function takes that was compiled elsewhere (memcpy, a division)."""
TABLES = (
    # who calls through a table of functions, and which functions are in it; all other indirect calls go to the port
    (r"eo_plan_run_with", r"eo_(portable|dsp)_\w+"),
    (r"eo_plan_open|.*verify\.c:.*", r".*verify\.c:check_\w+"),
    (r"eo_model_\w+|eo_predict", r".*infer\.c:(open_plan|run_plan|arena_bytes_of)"),
)


@dataclass
class Size:
    """Bytes of one module."""

    flash: int = 0
    ram: int = 0


@dataclass(frozen=True)
class Stack:
    """The deepest chain of calls from the agent's functions, without what the port's own take."""

    bytes: int
    calls: list[str]


def module_of(section: str, path: str) -> str:
    """The module that a section of an object counts for."""
    if section == AGENT_MEMORY:
        return "agent"
    return next((name for name, pattern in MODULES if re.search(pattern, path)), "other")


def placed(text: str) -> Iterator[tuple[str, int, str]]:
    """Section, size and object of all that the linker placed; long names stand on a line of their own."""
    _, _, text = text.partition("Linker script and memory map")
    for line in re.sub(r"(?m)^( \.\S+)\n +(?=0x)", r"\1 ", text).splitlines():
        found = PLACED.match(line)
        if found:
            yield found[1], int(found[2], 16), found[3]


def sizes_of(text: str) -> dict[str, Size]:
    """Flash and RAM of each module in a linker's map."""
    sizes: dict[str, Size] = defaultdict(Size)
    for section, size, path in placed(text):
        module = sizes[module_of(section, path)]
        module.flash += size if FLASH_SECTIONS.match(section) else 0
        module.ram += size if RAM_SECTIONS.match(section) else 0
    return sizes


def read_graphs(files: Iterable[Path]) -> tuple[dict[str, int], dict[str, set[str]]]:
    """The stack of each function, and whom it calls."""
    stacks: dict[str, int] = {}
    calls: dict[str, set[str]] = defaultdict(set)
    for file in files:
        text = file.read_text()
        stacks.update((name, int(size)) for name, size in NODE.findall(text))
        for caller, called in EDGE.findall(text):
            calls[caller].add(called)
    for caller in [name for name in calls if INDIRECT in calls[name]]:
        for callers, targets in TABLES:
            if re.fullmatch(callers, caller):
                calls[caller] |= {name for name in stacks if re.fullmatch(targets, name)}
    return stacks, calls


def deepest(stacks: dict[str, int], calls: dict[str, set[str]]) -> Stack:
    """The deepest chain of calls from any of the agent's public functions; ends the program at a recursion."""
    known: dict[str, Stack] = {}
    open_calls: list[str] = []

    def below(name: str) -> Stack:
        if name in open_calls:
            raise SystemExit(f"sizes.py: recursion: {' -> '.join([*open_calls, name])}")
        if name not in known:
            open_calls.append(name)
            inner = [below(called) for called in sorted(calls.get(name, ())) if called != INDIRECT]
            open_calls.pop()
            most = max(inner, key=lambda stack: stack.bytes, default=Stack(0, []))
            own = stacks.get(name, UNKNOWN_BYTES)
            known[name] = Stack(own + most.bytes, [f"{name} {own}", *most.calls])
        return known[name]

    entries = [below(name) for name in sorted(stacks) if ENTRIES.fullmatch(name)]
    return max(entries, key=lambda stack: stack.bytes, default=Stack(0, []))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", type=Path, required=True)
    parser.add_argument("--dsp", type=Path, required=True)
    parser.add_argument("--graphs", type=Path, nargs="+", required=True)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    sizes = sizes_of(options.agent.read_text())
    dsp = sizes_of(options.dsp.read_text())["kernels, DSP extension"]
    stack = deepest(*read_graphs(file for folder in options.graphs for file in sorted(folder.rglob("*.ci"))))
    agent = Size(sum(sizes[name].flash for name in AGENT), sum(sizes[name].ram for name in AGENT) + stack.bytes)
    fits = agent.flash <= FLASH_LIMIT and agent.ram <= RAM_LIMIT
    if options.json:
        table = {
            "modules": {name: asdict(size) for name, size in sizes.items()},
            "dsp_kernels_cortex_m4": asdict(dsp),
            "stack": asdict(stack),
            "agent": asdict(agent),
            "limits": {"flash": FLASH_LIMIT, "ram": RAM_LIMIT},
            "fits": fits,
        }
        print(json.dumps(table, indent=2))
        return 0
    names = [name for name, _ in MODULES if name in sizes] + [name for name in sizes if name == "other"]
    print(f"{'Cortex-M3, -Os':<48}{'flash':>8}{'RAM':>8}")
    for name in names:
        print(f"{'* ' if name in AGENT else '  '}{name:<46}{sizes[name].flash:>8}{sizes[name].ram:>8}")
    print(f"  {'kernels, DSP extension (Cortex-M4, -Os)':<46}{dsp.flash:>8}{dsp.ram:>8}")
    print(f"* {'stack, deepest chain of calls':<46}{'':>8}{stack.bytes:>8}")
    print(f"{'* the agent with signature verification':<48}{agent.flash:>8}{agent.ram:>8}")
    print(f"{'  at most':<48}{FLASH_LIMIT:>8}{RAM_LIMIT:>8}{'' if fits else '   too much'}")
    print("stack: " + " > ".join(stack.calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
