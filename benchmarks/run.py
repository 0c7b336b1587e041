"""Measure everything in this folder against ``limits.toml``.

    python benchmarks/run.py [--only NAME] [--json]

Each ``bench_<name>.py`` has ``rows()``, which measures and returns dictionaries with the keys ``name``,
``value``, ``unit``, ``better`` ("lower" or "higher"), ``peer`` (``{"name", "version", "value"}`` or None) and
``note``. The table goes to stdout and the rows, each with its limit, to ``results.json``.

Exit status: 0 all within limits, 1 a module failed, 2 wrong usage, 3 a figure misses its limit.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import json
import math
import sys
import time
import tomllib
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).parent
KEYS = {"name", "value", "unit", "better", "peer", "note"}
WIDTH = 80


@dataclass(frozen=True)
class Limit:
    """What an issue asks of one figure."""

    module: str
    value: float
    better: Literal["lower", "higher"]


@dataclass(frozen=True)
class Row:
    """One figure, as it stands in ``results.json``."""

    name: str
    value: float | None
    unit: str
    limit: float | None
    better: str
    peer: dict[str, Any] | None
    note: str

    @property
    def state(self) -> str:
        """``OK``, ``FAIL``, or ``INFO`` for a figure that no issue limits."""
        if self.value is None:
            return "FAIL"
        if self.limit is None:
            return "INFO"
        met = self.value <= self.limit if self.better == "lower" else self.value >= self.limit
        return "OK" if met else "FAIL"


class BenchError(Exception):
    """A module, a row or the file of limits is not what it has to be."""


def read_limits(folder: Path) -> dict[str, Limit]:
    """The limits of ``folder/limits.toml`` by the row's name."""
    limits: dict[str, Limit] = {}
    for module, rows in tomllib.loads((folder / "limits.toml").read_text()).items():
        for name, entry in rows.items():
            bounds = entry.keys() & {"at_least", "at_most"}
            if name in limits or len(bounds) != 1 or entry.keys() - bounds - {"issue"}:
                raise BenchError(f"limits.toml: {module}.{name} needs at_least or at_most, once")
            (bound,) = bounds
            limits[name] = Limit(module, float(entry[bound]), "lower" if bound == "at_most" else "higher")
    return limits


def choose(folder: Path, limits: dict[str, Limit], only: str | None) -> list[str]:
    """The names of the modules to run: all, or the one that ``only`` names itself or by one of its rows."""
    modules = sorted(path.stem.removeprefix("bench_") for path in folder.glob("bench_*.py"))
    if only is None:
        return sorted({*modules, *(limit.module for limit in limits.values())})
    wanted = only.removeprefix("bench_").removesuffix(".py")
    if wanted in limits:
        wanted = limits[wanted].module
    if wanted not in modules:
        near = difflib.get_close_matches(wanted, [*modules, *limits], n=1)
        raise BenchError(
            f"no benchmark is called {only!r}; "
            + (f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(modules)}")
        )
    return [wanted]


def measure(folder: Path, module: str, limits: dict[str, Limit]) -> list[Row]:
    """Run one module; whatever goes wrong in it becomes a row without a value."""
    expected = {name: limit for name, limit in limits.items() if limit.module == module}
    try:
        rows = [_row(raw, limits, module) for raw in _load(folder, module).rows()]
        names = [row.name for row in rows]
        if len(set(names)) != len(names):
            raise BenchError("two rows have the same name")
    except KeyboardInterrupt:
        raise
    except SystemExit as asked:  # it cannot run here, and says what to do
        note = asked.code if isinstance(asked.code, str) else f"the benchmark ended with {asked.code}"
        return [Row(f"bench_{module}", None, "", None, "lower", None, note)]
    except BaseException as error:  # noqa: BLE001 - a benchmark may fail in any way; it must not hide the others
        traceback.print_exc()
        note = f"the benchmark failed: {type(error).__name__}: {error}"
        return [Row(f"bench_{module}", None, "", None, "lower", None, note)]
    missing = [
        Row(name, None, "", limit.value, limit.better, None, f"bench_{module} has no such row")
        for name, limit in expected.items()
        if name not in names
    ]
    return rows + missing


def _load(folder: Path, module: str) -> Any:
    path = folder / f"bench_{module}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise BenchError(f"limits.toml names {path.name}, which does not exist")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # a dataclass looks its own module up
    spec.loader.exec_module(loaded)
    return loaded


def _row(raw: dict[str, Any], limits: dict[str, Limit], module: str) -> Row:
    if raw.keys() != KEYS:
        raise BenchError(f"row {raw.get('name')!r} has the keys {sorted(raw)}, not {sorted(KEYS)}")
    name, better = raw["name"], raw["better"]
    if better not in ("lower", "higher"):
        raise BenchError(f"row {name!r}: better is {better!r}, neither 'lower' nor 'higher'")
    value = None if raw["value"] is None else float(raw["value"])
    if value is not None and not math.isfinite(value):
        raise BenchError(f"row {name!r}: {value} is not a figure")
    peer = raw["peer"]
    if peer is not None and peer.keys() != {"name", "version", "value"}:
        raise BenchError(f"row {name!r}: a peer has name, version and value")
    limit = limits.get(name)
    if limit is not None and (limit.better != better or limit.module != module):
        raise BenchError(f"row {name!r} contradicts limits.toml: {better} is better, in bench_{module}")
    row = Row(name, value, raw["unit"], limit.value if limit else None, better, peer, raw["note"])
    return row if value is not None else replace(row, note=row.note or "it could not be measured")


def render(rows: Sequence[Row]) -> str:
    """The table, at most 80 columns wide; names are never cut, peers give way first."""
    head = ("FIGURE", "STATE", "VALUE", "LIMIT", "UNIT", "PEER")
    table = [head] + [
        (row.name, row.state, _number(row.value), _limit(row), row.unit or "-", _peer(row)) for row in rows
    ]
    columns = len(head)
    while True:
        widths = [max(len(line[column]) for line in table) for column in range(columns)]
        if sum(widths) + 2 * (columns - 1) <= WIDTH or columns == 4:
            break
        columns -= 1
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)) for line in table
    ]
    if columns < len(head):
        lines.append(f"Not shown at {WIDTH} columns: {', '.join(head[columns:])} (see results.json)")
    lines += [f"FAIL {row.name}: {row.note}" for row in rows if row.state == "FAIL" and row.note]
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _limit(row: Row) -> str:
    if row.limit is None:
        return "-"
    return f"{'≤' if row.better == 'lower' else '≥'} {_number(row.limit)}"


def _peer(row: Row) -> str:
    if row.peer is None:
        return "-"
    return f"{row.peer['name']} {row.peer['version']}: {_number(row.peer['value'])}"


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> int:
    """Run the benchmarks in ``folder``; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description="Measure against limits.toml.")
    parser.add_argument("--only", metavar="NAME", help="one benchmark, or one figure of it")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead of the table")
    options = parser.parse_args(arguments)
    try:
        limits = read_limits(folder)
        modules = choose(folder, limits, options.only)
    except BenchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for number, module in enumerate(modules, 1):
        print(f" {number}/{len(modules)}  {module}", file=sys.stderr, flush=True)
        started = time.monotonic()
        rows += measure(folder, module, limits)
        print(f"      {module} took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    document = json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n"
    (folder / "results.json").write_text(document)
    sys.stdout.write(document if options.json else render(rows) + "\n")
    if any(row.value is None for row in rows):
        return 1
    return 3 if any(row.state == "FAIL" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
