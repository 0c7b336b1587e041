"""Measures what the runtime of execution plans takes on each family of cores, and writes it down for `edgeops check`.

    .venv/bin/python firmware_stubs/tools/plan_code.py          # writes edgeops/targets/plan_code.toml
    .venv/bin/python firmware_stubs/tools/plan_code.py --check  # exits with 1 where that file is out of date

Each family's runtime is cross-compiled and linked once for every operator, with nothing else in the program; the
linker's map says which sections of which object, and which members of the C library, came into it. Needs
`arm-none-eabi-gcc` with newlib.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIRMWARE = Path(__file__).resolve().parents[1]
TABLE = FIRMWARE.parent / "edgeops" / "targets" / "plan_code.toml"
CROSS = "arm-none-eabi-"
# as in mk/30-boards.mk: no FPU, the kernels with the DSP extension where a core has it
FAMILIES = {
    "cortex-m0plus": (["-mcpu=cortex-m0plus"], "portable"),
    "cortex-m3": (["-mcpu=cortex-m3"], "portable"),
    "cortex-m4": (["-mcpu=cortex-m4", "-mfloat-abi=soft"], "dsp"),
    "cortex-m33": (["-mcpu=cortex-m33", "-mfloat-abi=soft"], "dsp"),
    "cortex-m55": (["-mcpu=cortex-m55+nomve+nofp", "-mfloat-abi=soft"], "dsp"),
}
FLAGS = [
    "-std=c99",
    "-Os",
    "-mthumb",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-common",
    "-fno-unwind-tables",
]
MORE_FLAGS = ["-fno-asynchronous-unwind-tables", "-fcallgraph-info=su", "-Iinclude", "-Isrc"]
LINK = ["-nostartfiles", "-static", "-Wl,--gc-sections", "-Wl,--unresolved-symbols=ignore-all", "-Wl,-e,main"]
ENTRIES = ("eo_plan_open", "eo_plan_run", "eo_plan_reset_state", "eo_plan_input", "eo_plan_output")
MAIN = "int main(void) { return 0; }\n"
IN_FLASH = (".text", ".rodata", ".data", ".ARM.ex", ".glue")
NEAR = 0.1
LIBRARY_FRAME = 32  # of a function of the C library, whose frames the compiler does not tell
SECTION = re.compile(r"^ (\.[\w.]+|COMMON)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(\S.*)$")
NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*?\\n(\d+) bytes')
EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


@dataclass(frozen=True)
class Core:
    """One family: bytes by section, those of each operator and of every program, and the deepest stack."""

    sections: Mapping[str, int]
    base: int
    operators: Mapping[str, tuple[str, ...]]
    stack: int


def main() -> int:
    """Measure and write, or compare; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    parser.add_argument("--table", type=Path, default=TABLE)
    chosen = parser.parse_args()
    text = measured()
    if not chosen.check:
        chosen.table.write_text(text)
        return 0
    if alike(chosen.table.read_text(), text):
        return 0
    sys.stderr.write(
        f"{chosen.table} is not what the sources give; python {Path(__file__).name} writes it anew\n"
    )
    return 1


def alike(written: str, text: str) -> bool:
    """Whether two tables say the same: to the byte of one compiler, within ``NEAR`` where compilers differ."""
    one, two = tomllib.loads(written), tomllib.loads(text)
    if one["built_with"] == two["built_with"]:
        return written == text
    sums = [{name: _whole(core) for name, core in table["cores"].items()} for table in (one, two)]
    return sums[0].keys() == sums[1].keys() and all(
        abs(sums[0][name] - size) <= NEAR * size for name, size in sums[1].items()
    )


def _whole(core: Mapping[str, Any]) -> int:
    return int(core["base"] + sum(core["sections"].values()))


def measured() -> str:
    """The table as TOML."""
    version = _run([f"{CROSS}gcc", "-dumpfullversion"]).strip()
    lines = [
        "# What the C runtime of execution plans takes in flash and stack, in bytes, by family of cores. Written by",
        "# firmware_stubs/tools/plan_code.py from cross-built code; do not edit it.",
        f'built_with = "{CROSS}gcc {version} -Os, newlib, no FPU"',
    ]
    for name in FAMILIES:
        core = measure(name)
        lines += ["", f"[cores.{name}]", f"base = {core.base}", f"stack = {core.stack}"]
        lines += ["", f"[cores.{name}.operators]"]
        lines += [f"{op} = [{', '.join(map(_quoted, names))}]" for op, names in core.operators.items()]
        lines += ["", f"[cores.{name}.sections]"]
        lines += [f"{_quoted(name)} = {size}" for name, size in sorted(core.sections.items())]
    return "\n".join([*lines, ""])


def measure(family: str) -> Core:
    """Compile and link the runtime of a family of cores, once without and once with each operator."""
    flags, kernels = FAMILIES[family]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        objects = _compiled(folder, flags, kernels)
        common = [o for o, source in objects.items() if source.parent.name == "runtime"]
        defined = {o: _symbols(o, defined=True) for o in objects}
        needed = {o: _symbols(o, defined=False) for o in objects}
        base = _linked(folder, flags, common, ENTRIES)
        # what comes into every program: the entries, and the library that they use
        sections: dict[str, int] = {}
        operators: dict[str, tuple[str, ...]] = {}
        for operator in operators_of_plans():
            symbol = _symbol(operator, kernels, defined)
            own = _closure(symbol, {o: defined[o] for o in objects if o not in common}, needed)
            found = _linked(folder, flags, [*common, *own], (*ENTRIES, symbol))
            more = {name: size for name, size in found.items() if name not in base}
            operators[operator] = tuple(sorted(more))
            sections |= more
        table = 4 * (len(operators) + 1)  # of pointers to kernels, which a firmware gives (EO_KERNELS)
        return Core(sections, sum(base.values()) + table, operators, _deepest(folder, kernels))


def operators_of_plans() -> list[str]:
    """The operators, as include/edgeops/plan.h numbers them."""
    text = (FIRMWARE / "include" / "edgeops" / "plan.h").read_text()
    return [name for name in re.findall(r"\bEO_OP_(\w+) = \d+", text) if name != "END"]


def _compiled(folder: Path, flags: list[str], kernels: str) -> dict[Path, Path]:
    sources = sorted(FIRMWARE.glob("src/runtime/*.c")) + sorted(FIRMWARE.glob("src/runtime/portable/*.c"))
    if kernels == "dsp":
        sources += sorted(FIRMWARE.glob("src/runtime/dsp/*.c"))
    made = {}
    for source in sources:
        made[folder / f"{source.parent.name}-{source.stem}.o"] = source
    for built, source in made.items():
        name = str(source.relative_to(FIRMWARE))
        options = [*flags, *FLAGS, *MORE_FLAGS]
        _run([f"{CROSS}gcc", *options, "-c", name, "-o", str(built)])
    start = folder / "start.c"
    start.write_text(MAIN)
    _run([f"{CROSS}gcc", *flags, *FLAGS, "-c", str(start), "-o", str(folder / "start.o")])
    return made


def _symbols(built: Path, *, defined: bool) -> set[str]:
    printed = _run([f"{CROSS}nm", "--defined-only" if defined else "--undefined-only", str(built)])
    return {line.split()[-1] for line in printed.splitlines() if line.split()[-2] in "TRDBU"}


def _symbol(operator: str, kernels: str, defined: Mapping[Path, set[str]]) -> str:
    every = set().union(*defined.values())
    for kind in (kernels, "portable"):
        if (name := f"eo_{kind}_{operator.lower()}") in every:
            return name
    raise SystemExit(f"no kernel of {operator} is in src/runtime")


def _closure(symbol: str, defined: Mapping[Path, set[str]], needed: Mapping[Path, set[str]]) -> list[Path]:
    """The objects that a symbol needs, and those that they need."""
    found: list[Path] = []
    wanted = [symbol]
    while wanted:
        name = wanted.pop()
        for built, symbols in defined.items():
            if name in symbols and built not in found:
                found.append(built)
                wanted += needed[built]
    return sorted(found)


def _linked(
    folder: Path, flags: list[str], objects: Iterable[Path], entries: Iterable[str]
) -> dict[str, int]:
    """Bytes in flash by object, or member of a library, of a program with these entries."""
    image, listing = folder / "image.elf", folder / "image.map"
    forced = [f"-Wl,-u,{name}" for name in entries]
    given = [str(folder / "start.o"), *map(str, objects)]
    _run([f"{CROSS}gcc", *flags, "-mthumb", *LINK, *forced, f"-Wl,-Map={listing}", *given, "-o", str(image)])
    text = listing.read_text().split("Linker script and memory map", 1)[1]
    sizes: dict[str, int] = defaultdict(int)
    # a long name of a section stands on a line of its own
    for line in re.sub(r"^( \.\S+)\n\s+(?=0x)", r"\1 ", text, flags=re.MULTILINE).splitlines():
        found = SECTION.match(line)
        if found and found[1].startswith(IN_FLASH) and int(found[3], 16):
            name = _named(found[4], found[1])
            if not name.startswith("start:"):
                sizes[name] += int(found[3], 16)
    return dict(sizes)


def _named(path: str, section: str) -> str:
    """``portable-elementwise:eo_portable_add``, a section of ours, or ``libgcc:_udivsi3``, a member of a library."""
    file, _, member = path.partition("(")
    if member:
        return f"{Path(file).stem}:{member.rstrip(')').removesuffix('.o')}"
    return f"{Path(file).stem}:{section.split('.', 2)[-1]}"


def _deepest(folder: Path, kernels: str) -> int:
    """The deepest stack of opening and running a plan; a call by pointer is one of any kernel."""
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = defaultdict(set)
    for file in folder.glob("*.ci"):
        text = file.read_text()
        frames.update((name, int(size)) for name, size in NODE.findall(text))
        for source, target in EDGE.findall(text):
            calls[source].add(target)
    of_kernels = [name for name in frames if re.match(r"eo_(portable|dsp)_", name)]

    def depth(name: str, above: tuple[str, ...] = ()) -> int:
        if name in above:
            raise SystemExit(f"{name} calls itself: the runtime has no recursion")
        if name == "__indirect_call":
            return max(depth(kernel, above) for kernel in of_kernels)
        if name not in frames:
            return LIBRARY_FRAME
        return frames[name] + max((depth(target, (*above, name)) for target in calls[name]), default=0)

    return max(depth("eo_plan_open"), depth("eo_plan_run"))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=FIRMWARE)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} …: {done.stderr}")
    return done.stdout


def _quoted(text: str) -> str:
    return f'"{text}"'


if __name__ == "__main__":
    sys.exit(main())
