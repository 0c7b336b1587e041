"""Bounded, deterministic CBOR with integer keys, driven by one field table per message.

A message is a frozen dataclass whose fields are declared with ``wire(key, kind)``. From that one table come
the encoder, the bounded decoder, and the CDDL in ``wire.cddl``. The rules (RFC 8949 section 4.2.1): definite
lengths, shortest integers, sorted keys, no floats, no tags, no duplicate keys. Unknown keys are skipped,
unless the message's ``critical`` list (key 0) names them.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import cbor2

from edgeops.core.errors import WireError

CRITICAL_KEY = 0
MAX_DEPTH = 8
M = TypeVar("M", bound="Message")


class FieldKind(Protocol):
    """How one field is checked and written; ``where`` names the field in errors."""

    def pack(self, value: Any, where: str) -> object:
        """Python value to CBOR item; raises ``WireError`` when out of bounds."""

    def unpack(self, item: object, where: str) -> Any:
        """CBOR item to Python value; raises ``WireError`` when of another type or out of bounds."""

    def cddl(self) -> str:
        """The type in CDDL (RFC 8610)."""


class Message:
    """Base of every message: subclasses are frozen dataclasses made of ``wire`` fields."""

    MAX_BYTES: ClassVar[int] = 4096
    AS_LIST: ClassVar[bool] = (
        False  # its fields stand in the order of their keys, 1 to n, and the keys are saved
    )


def wire(key: int, kind: FieldKind, **options: Any) -> Any:
    """A dataclass field with its integer key on the wire; ``default=None`` makes it optional."""
    return dataclasses.field(metadata={"key": key, "kind": kind}, **options)


def _bad(where: str, problem: str) -> WireError:
    return WireError(f"{where}: {problem}", where=where)


def _integer(value: object, low: int, high: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _bad(where, f"expected an integer from {low} to {high}")
    return value


def _utf8_size(text: str) -> float:
    """The bytes of a text; infinitely many where it holds a lone surrogate, which is no UTF-8."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return float("inf")


@dataclass(frozen=True, slots=True)
class UInt:
    """An unsigned integer of at most ``bits`` bits."""

    bits: int = 32

    def pack(self, value: Any, where: str) -> object:
        """See ``FieldKind``."""
        return _integer(value, 0, 2**self.bits - 1, where)

    unpack = pack

    def cddl(self) -> str:
        """See ``FieldKind``."""
        return f"(0..{2**self.bits - 1})"


@dataclass(frozen=True, slots=True)
class SInt:
    """A signed integer of at most ``bits`` bits."""

    bits: int = 32

    def pack(self, value: Any, where: str) -> object:
        """See ``FieldKind``."""
        return _integer(value, -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1, where)

    unpack = pack

    def cddl(self) -> str:
        """See ``FieldKind``."""
        return f"({-(2 ** (self.bits - 1))}..{2 ** (self.bits - 1) - 1})"


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    def pack(self, value: Any, where: str) -> object:
        """See ``FieldKind``."""
        if not isinstance(value, bool):
            raise _bad(where, "expected true or false")
        return value

    unpack = pack

    def cddl(self) -> str:
        """See ``FieldKind``."""
        return "bool"


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 text of at most ``size`` bytes."""

    size: int = 64

    def pack(self, value: Any, where: str) -> object:
        """See ``FieldKind``."""
        if not isinstance(value, str) or _utf8_size(value) > self.size:
            raise _bad(where, f"expected UTF-8 text of at most {self.size} bytes")
        return value

    unpack = pack

    def cddl(self) -> str:
        """See ``FieldKind``."""
        return f"tstr .size (0..{self.size})"


@dataclass(frozen=True, slots=True)
class Bytes:
    """A byte string of ``least`` to ``size`` bytes."""

    size: int
    least: int = 0

    def pack(self, value: Any, where: str) -> object:
        """See ``FieldKind``."""
        if not isinstance(value, bytes) or not self.least <= len(value) <= self.size:
            raise _bad(where, f"expected {self.least} to {self.size} bytes")
        return value

    unpack = pack

    def cddl(self) -> str:
        """See ``FieldKind``."""
        return (
            f"bstr .size {self.size}"
            if self.least == self.size
            else f"bstr .size ({self.least}..{self.size})"
        )


DIGEST = Bytes(32, 32)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most ``most`` items of one kind; a tuple in Python."""

    of: FieldKind
    most: int

    def pack(self, value: Any, where: str) -> object:
        """See ``FieldKind``."""
        if not isinstance(value, list | tuple) or len(value) > self.most:
            raise _bad(where, f"expected a list of at most {self.most} items")
        return [self.of.pack(item, where) for item in value]

    def unpack(self, item: object, where: str) -> Any:
        """See ``FieldKind``."""
        if not isinstance(item, list) or len(item) > self.most:
            raise _bad(where, f"expected a list of at most {self.most} items")
        return tuple(self.of.unpack(one, where) for one in item)

    def cddl(self) -> str:
        """See ``FieldKind``."""
        return f"[0*{self.most} {self.of.cddl()}]"


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map of at most ``most`` entries."""

    key: FieldKind
    value: FieldKind
    most: int

    def pack(self, value: Any, where: str) -> object:
        """See ``FieldKind``."""
        if not isinstance(value, Mapping) or len(value) > self.most:
            raise _bad(where, f"expected a map of at most {self.most} entries")
        return {self.key.pack(k, where): self.value.pack(v, f"{where}.{k}") for k, v in value.items()}

    def unpack(self, item: object, where: str) -> Any:
        """See ``FieldKind``."""
        if not isinstance(item, dict) or len(item) > self.most:
            raise _bad(where, f"expected a map of at most {self.most} entries")
        return {self.key.unpack(k, where): self.value.unpack(v, f"{where}.{k}") for k, v in item.items()}

    def cddl(self) -> str:
        """See ``FieldKind``."""
        return f"{{0*{self.most} {self.key.cddl()} => {self.value.cddl()}}}"


@dataclass(frozen=True, slots=True)
class Nested:
    """Another message inside this one."""

    cls: type[Message]

    def pack(self, value: Any, where: str) -> object:
        """See ``FieldKind``."""
        if not isinstance(value, self.cls):
            raise _bad(where, f"expected {self.cls.__name__}")
        return to_item(value)

    def unpack(self, item: object, where: str) -> Any:
        """See ``FieldKind``."""
        return from_item(self.cls, item, where)

    def cddl(self) -> str:
        """See ``FieldKind``."""
        return cddl_name(self.cls)


Row = tuple[int, str, FieldKind, bool]
_tables: dict[type[Message], tuple[Row, ...]] = {}  # of the classes that were asked for: each is made once


def cddl_name(cls: type[Message]) -> str:
    """``DesiredModel`` becomes ``desired-model``."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in cls.__name__).lstrip("-")


def fields_of(cls: type[Message]) -> tuple[Row, ...]:
    """The field table: (key, name, kind, required), in the order of the keys."""
    if cls in _tables:
        return _tables[cls]
    rows = [
        (f.metadata["key"], f.name, f.metadata["kind"], f.default is dataclasses.MISSING)
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
    ]
    return _tables.setdefault(cls, tuple(sorted(rows, key=lambda row: row[0])))


def to_item(message: Message) -> Any:
    """A message as a map with integer keys; optional fields that are None are left out. A list where it says so."""
    name = type(message).__name__
    if message.AS_LIST:
        return [
            kind.pack(getattr(message, field), f"{name}.{field}")
            for _, field, kind, _ in fields_of(type(message))
        ]
    return {
        key: kind.pack(getattr(message, field), f"{name}.{field}")
        for key, field, kind, required in fields_of(type(message))
        if required or getattr(message, field) is not None
    }


def from_item(cls: type[M], item: object, where: str | None = None) -> M:
    """A message from a decoded map or list; raises ``WireError`` naming the field."""
    name = where or cls.__name__
    if cls.AS_LIST and isinstance(item, list):
        item = dict(enumerate(item, 1))
    elif cls.AS_LIST or not isinstance(item, dict):
        raise _bad(name, "expected a list" if cls.AS_LIST else "expected a map")
    table = fields_of(cls)
    critical = item.get(CRITICAL_KEY, [])
    if not isinstance(critical, list) or len(critical) > 32 or not all(type(key) is int for key in critical):
        raise _bad(name, "the critical list is malformed")
    if unknown := [key for key in critical if key not in {row[0] for row in table}]:
        raise _bad(name, f"critical keys that this version does not know: {unknown[:8]}")
    values: dict[str, Any] = {}
    for key, field, kind, required in table:
        if key in item:
            values[field] = kind.unpack(item[key], f"{name}.{field}")
        elif required:
            raise _bad(f"{name}.{field}", f"missing (key {key})")
    return cls(**values)


def dump(item: object) -> bytes:
    """Deterministic CBOR of plain data (ints, bytes, text, bools, lists, maps)."""
    return cbor2.dumps(item, canonical=True)


def load(payload: bytes, max_bytes: int) -> Any:
    """Plain data from deterministic CBOR; raises ``WireError`` for anything else or longer."""
    if len(payload) > max_bytes:
        raise WireError(f"{len(payload)} bytes where at most {max_bytes} are allowed", bytes=len(payload))
    _refuse_tags(payload)
    try:
        item = cbor2.load(io.BytesIO(payload))
        again = dump(item)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise WireError(f"not CBOR: {type(error).__name__}") from error
    if again != payload:
        raise WireError("not deterministic CBOR, or bytes after its end")
    _refuse_other_types(item, 0)
    return item


def _refuse_tags(payload: bytes) -> None:
    """Walk the heads of the items; whatever else is malformed is left to the decoder.

    Before the decoder, since tags make it build objects: six bytes of shared references (tags 28 and 29) end
    the process in cbor2 6.2.
    """
    at, items, size = 0, 1, len(payload)
    while items and at < size:
        major, info = payload[at] >> 5, payload[at] & 31
        at, items = at + 1, items - 1
        if major == 6:
            raise WireError("a tag is not allowed on the wire")
        if info >= 28:
            raise WireError("not deterministic CBOR: an indefinite length or a reserved head")
        if info >= 24:
            wide = 1 << (info - 24)
            argument = int.from_bytes(payload[at : at + wide], "big")
            at += wide
        else:
            argument = info
        if major in (2, 3):
            at += argument
        elif major in (4, 5):
            items += argument * (major - 3)


def _refuse_other_types(item: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise WireError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(item, dict):
        for key, value in item.items():
            if isinstance(key, bool):  # true equals 1 in Python, not on the wire
                raise WireError("a bool is not allowed as a key")
            _refuse_other_types(key, depth + 1)
            _refuse_other_types(value, depth + 1)
    elif isinstance(item, list):
        for value in item:
            _refuse_other_types(value, depth + 1)
    elif isinstance(item, int) and not -(2**64) <= item < 2**64:
        raise WireError("an integer of more than 64 bits is a tag, and not allowed on the wire")
    elif not isinstance(item, int | str | bytes | bool | None):
        raise WireError(f"a {type(item).__name__} is not allowed on the wire")


def encode(message: Message) -> bytes:
    """A message as bytes; raises ``WireError`` when a field is out of bounds or the whole too long."""
    payload = dump(to_item(message))
    if len(payload) > message.MAX_BYTES:
        raise WireError(
            f"{type(message).__name__} of {len(payload)} bytes where at most {message.MAX_BYTES} are allowed"
        )
    return payload


def decode(cls: type[M], payload: bytes) -> M:
    """A message from bytes; raises ``WireError``. Never reads past the class's ``MAX_BYTES``."""
    return from_item(cls, load(payload, cls.MAX_BYTES))


def cddl(classes: list[type[Message]]) -> str:
    """CDDL for the message classes, from their field tables; every map and list is open for what comes later."""
    blocks = []
    for cls in classes:
        if cls.AS_LIST:
            lines = [f"{cddl_name(cls)} = ["]
            for _, name, kind, required in fields_of(cls):
                lines.append(f"  {'' if required else '? '}{name.replace('_', '-')}: {kind.cddl()},")
            blocks.append("\n".join([*lines, "  * any,", "]"]))
            continue
        lines = [f"{cddl_name(cls)} = {{", "  ? 0 => [0*32 uint], ; critical"]
        for key, name, kind, required in fields_of(cls):
            lines.append(f"  {'' if required else '? '}{key} => {kind.cddl()}, ; {name.replace('_', '-')}")
        lines += ["  * uint => any,", "}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"
