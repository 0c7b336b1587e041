"""The catalogue of microcontrollers and boards: what each has, and where the figures come from."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeops.core.errors import ConfigError, NotFoundError
from edgeops.core.known_keys import refuse_unknown

RUNTIMES = ("tflm", "plan", "linux")
_ALSO = {"tflm": ("tflm", "plan"), "plan": ("plan", "tflm"), "linux": ("linux",)}


@dataclass(frozen=True, slots=True)
class Target:
    """One part that a model can run on. Sizes in bytes, clock in MHz.

    ``ram_bytes`` is all RAM of the chip, ``arena_ram_bytes`` the largest piece of it: an arena is one array.
    ``runtime`` is ``tflm`` (TensorFlow Lite Micro), ``plan`` (execution plans and the C runtime of EdgeOps) or
    ``linux`` (LiteRT): what it is checked for where nothing else is said.
    """

    name: str
    variant: str
    vendor: str
    core: str
    mhz: int
    flash_bytes: int
    flash_where: str
    ram_bytes: int
    arena_ram_bytes: int
    isa: str
    extensions: tuple[str, ...]
    runtime: str
    source: str

    @property
    def runtimes(self) -> tuple[str, ...]:
        """All that it can run models under, its own first: a microcontroller takes a ``.tflite`` or a plan."""
        return _ALSO[self.runtime]

    def document(self) -> dict[str, Any]:
        """The same as a dictionary for JSON."""
        return {**asdict(self), "extensions": list(self.extensions), "runtimes": list(self.runtimes)}


_TEXTS = ("variant", "vendor", "core", "isa", "runtime", "source")
_NUMBERS = ("mhz", "flash", "ram", "arena_ram")
_OPTIONAL = ("flash_where", "extensions")


@cache
def catalogue() -> Mapping[str, Target]:
    """All targets by name, in the catalogue's order: from the smallest core to the largest."""
    text = resources.files("edgeops.targets").joinpath("catalogue.toml").read_text("utf-8")
    return MappingProxyType(_parse(text, "catalogue.toml"))


def find_target(name: str) -> Target:
    """The target called ``name``: a name of the catalogue, an order code of that part, or a file ``*.toml``.

    Upper and lower case are the same, and ``STM32L4R5ZIT6`` is found as ``stm32l4r5``. A file describes one
    part, with the keys of the catalogue. Raises ``NotFoundError`` with the nearest name, ``ConfigError`` for a
    file that is not a description.
    """
    if name.endswith(".toml"):
        return _from_file(Path(name))
    wanted = name.lower().strip()
    known = catalogue()
    if wanted in known:
        return known[wanted]
    families = [target for target in known.values() if wanted.startswith(target.name)]
    if families:
        return max(families, key=lambda target: len(target.name))
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise NotFoundError(
        f"no target is called {name!r}; {hint}",
        fix="edgeops target list shows all; a part of your own is a file: --target board.toml",
        target=name,
        nearest=near[0] if near else None,
    )


def _from_file(path: Path) -> Target:
    try:
        found = _parse(path.read_text("utf-8"), str(path))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", target=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", file=str(path)) from error
    if len(found) != 1:
        raise ConfigError(
            f"{path}: {len(found)} targets where one is described", fix="keep one [table]", file=str(path)
        )
    return next(iter(found.values()))


def _parse(text: str, file: str) -> dict[str, Target]:
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: {error}", fix="mend the TOML at that place", file=file) from error
    return {name: _target(name, table, file) for name, table in tables.items()}


def _target(name: str, table: Any, file: str) -> Target:
    if not isinstance(table, dict):
        raise ConfigError(
            f"{file}: {name} is not a table; a target begins with [{name}]", file=file, key=name
        )
    refuse_unknown(table, (*_TEXTS, *_NUMBERS, *_OPTIONAL), file, name)
    for key in _TEXTS:
        _require(isinstance(table.get(key), str), name, key, table, file, "a text")
    for key in _NUMBERS:
        value = table.get(key)
        whole = isinstance(value, int) and not isinstance(value, bool)
        _require(whole and value > 0, name, key, table, file, "a whole number above 0")  # type: ignore[operator]
    extensions = table.get("extensions", [])
    _require(
        isinstance(extensions, list) and all(isinstance(entry, str) for entry in extensions),
        name,
        "extensions",
        table,
        file,
        "a list of texts",
    )
    _require(table["runtime"] in RUNTIMES, name, "runtime", table, file, f"one of {', '.join(RUNTIMES)}")
    _require(
        table["arena_ram"] <= table["ram"], name, "arena_ram", table, file, f"at most ram, {table['ram']}"
    )
    return Target(
        name=name,
        variant=table["variant"],
        vendor=table["vendor"],
        core=table["core"],
        mhz=table["mhz"],
        flash_bytes=table["flash"],
        flash_where=str(table.get("flash_where", "on chip")),
        ram_bytes=table["ram"],
        arena_ram_bytes=table["arena_ram"],
        isa=table["isa"],
        extensions=tuple(extensions),
        runtime=table["runtime"],
        source=table["source"],
    )


def _require(right: bool, name: str, key: str, table: Mapping[str, Any], file: str, wanted: str) -> None:
    if not right:
        found = repr(table[key]) if key in table else "missing"
        raise ConfigError(
            f"{file}: {name}.{key} is {found}; it has to be {wanted}",
            fix=f"write {name}.{key} as {wanted}",
            file=file,
            key=f"{name}.{key}",
            value=table.get(key),
        )
