"""Hypothesis strategies for messages, built from the same field tables as the codec."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from edgeops.core.codec import (
    Bytes,
    FieldKind,
    Flag,
    ListOf,
    MapOf,
    Message,
    Nested,
    SInt,
    Text,
    UInt,
    fields_of,
)
from edgeops.core.counter_block import CounterBlock
from support.counted import counters

_ITEMS = 3  # lists and maps stay short: the bounds themselves have tests of their own
_BYTES = 40


def values(kind: FieldKind) -> st.SearchStrategy[Any]:
    """Everything that a field may hold, within what keeps a message below its ``MAX_BYTES``."""
    match kind:
        case UInt(bits):
            return st.integers(0, 2**bits - 1)
        case SInt(bits):
            return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        case Flag():
            return st.booleans()
        case Text(size):
            text = st.text(st.characters(codec="utf-8"), max_size=min(size, _BYTES))
            return text.filter(lambda value: len(value.encode()) <= size)
        case Bytes(size, least):
            return st.binary(min_size=least, max_size=max(least, min(size, _BYTES)))
        case ListOf(of, most):
            return st.lists(values(of), max_size=min(most, _ITEMS)).map(tuple)
        case MapOf(key, value, most):
            return st.dictionaries(values(key), values(value), max_size=min(most, _ITEMS))
        case CounterBlock():
            return counters()
        case Nested(cls):
            return messages(cls)
    raise AssertionError(f"no strategy for {kind}")


def messages(cls: type[Message]) -> st.SearchStrategy[Any]:
    """Instances of a message; optional fields are there or not."""
    required = {name: values(kind) for _, name, kind, needed in fields_of(cls) if needed}
    optional = {name: values(kind) for _, name, kind, needed in fields_of(cls) if not needed}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: cls(**fields))
