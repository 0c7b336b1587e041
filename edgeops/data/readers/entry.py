"""What a reader gives, and what it can be asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

from numpy.typing import NDArray

from edgeops.core.errors import MissingExtra
from edgeops.data.splitting import Part

HIDDEN = "hidden file"
NO_CLASS = "in no class folder"
DECIMAL_COMMA = "numbers with a decimal comma"
OTHER_CHANNELS = "other channels than"
# reasons that say nothing about the data: they are listed, and do not count towards the share that stops
HARMLESS = frozenset({HIDDEN, "background noise, not a class", "a link, not a file"})


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of an ingest; empty values mean that the source decides.

    ``size`` is (height, width) in pixels; images are stretched to it, or with ``crop`` cut in the middle to its
    proportions first. ``channels`` is that of the images that are there already, ``slices``
    names columns that are metadata and not values, ``group`` the one whose items stay together.
    """

    kind: str = ""
    pattern: str = ""
    label: str = ""
    group: str = ""
    slices: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    crop: bool = False
    channels: int = 0
    sample_rate_hz: float = 0.0


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a source: its values in the dtype that is stored, and what is known about it.

    ``part`` is where the source's own folders put it: test or validation, train for "not those", or None.
    """

    file: str
    values: NDArray[Any]
    label: str
    slices: Mapping[str, str] = field(default_factory=dict)
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file, or an item of one, that is not used, and why."""

    file: str
    reason: str


class Reader(Protocol):
    """Iterating over it once gives everything that the source holds, and nothing twice.

    ``total`` is the number of files (0: unknown); ``done`` of them were read so far. ``sample_rate_hz`` and
    ``notes`` (sentences for people about what was assumed) are complete when the iteration has ended;
    ``labels`` are in the order that the source gives them, or empty; so are ``columns``, the names of what a
    table's row holds or of the channels of a recording.
    """

    kind: str
    total: int
    done: int
    sample_rate_hz: float
    notes: list[str]
    labels: tuple[str, ...]
    columns: tuple[str, ...]

    def __iter__(self) -> Iterator[Item | SetAside]: ...


def required(module: str, reads: str) -> ModuleType:
    """A module of the train extra; raises ``MissingExtra`` where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"PIL": "pillow"}.get(module.partition(".")[0], module.partition(".")[0])
        raise MissingExtra(
            f"{reads} need {package}, which is not installed",
            fix='pip install "edgeops[train]"',
            extra="train",
        ) from error


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def printable(text: str) -> str:
    """A text that can be shown and stored: white space is a blank, other control characters question marks."""
    if text.isprintable():
        return text
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in encodable)


def one_line(error: BaseException) -> str:
    """The first line of what an error says, without addresses of objects; its class where it says nothing."""
    text = str(error).strip().splitlines()
    line = text[0] if text else type(error).__name__
    return line if "object at 0x" not in line else line.partition("<")[0].rstrip(" :'\"") or "not readable"
