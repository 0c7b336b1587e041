"""``wire.cddl``: generated from the field tables, current, and true of what the codec writes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wire import messages

import edgeops.core
from edgeops.core.codec import Message, cddl_name, dump, encode, fields_of, to_item
from edgeops.core.errors import WireError
from edgeops.core.messages import Presence
from edgeops.core.schema import WIRE_CLASSES, wire_cddl

pycddl = pytest.importorskip("pycddl")


@cache
def schema(cls: type[Message]) -> object:
    """A schema whose root is this class: CDDL's root is its first rule.

    pycddl knows neither ranges below zero, nor sizes of map keys, nor messages inside a table; for it, and only
    here, these are widened. The messages inside are validated by themselves.
    """
    text = re.sub(r"\(-\d+\.\.\d+\)", "int", wire_cddl())
    text = re.sub(r"([bt]str) \.size (?:\d+|\(\d+\.\.\d+\)) =>", r"\1 =>", text)
    text = text.replace("  * any,\n", "")
    text = re.sub(r"tstr => (?:desired-model|model-state)", "tstr => any", text)
    if cls.AS_LIST:  # nor is it sure of the end of a list: the codec writes every field
        text = text.replace("  ? ", "  ")
    return pycddl.Schema(f"root = {cddl_name(cls)}\n\n{text}")


def test_the_file_is_current() -> None:
    path = Path(edgeops.core.__file__).parent / "wire.cddl"
    assert path.read_text() == wire_cddl(), "write it again: see edgeops/core/schema.py"


def test_every_field_stands_in_it() -> None:
    text = wire_cddl()
    for cls in WIRE_CLASSES:
        if cls.AS_LIST:
            block = text.split(f"\n{cddl_name(cls)} = [")[1].split("\n]")[0]
            named = [line.split(":")[0].strip(" ?") for line in block.splitlines() if ":" in line]
            assert named == [name.replace("_", "-") for _, name, _, _ in fields_of(cls)]
            assert [key for key, *_ in fields_of(cls)] == list(range(1, len(named) + 1))
            continue
        block = text.split(f"\n{cddl_name(cls)} = {{")[1].split("\n}")[0]
        for key, name, _, _ in fields_of(cls):
            assert f" {key} => " in block
            assert f"; {name.replace('_', '-')}" in block


@pytest.mark.parametrize("cls", WIRE_CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=40)
@given(data=st.data())
def test_what_the_codec_writes_is_valid(cls: type[Message], data: st.DataObject) -> None:
    try:
        payload = encode(data.draw(messages(cls)))
    except WireError:
        return  # too long as a whole
    schema(cls).validate_cbor(payload)  # type: ignore[attr-defined]


def test_a_later_key_and_a_critical_list_are_valid() -> None:
    schema(Presence).validate_cbor(dump({0: [1], 1: 5, 2: True, 30: "x"}))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "item",
    [{1: 5}, {1: -1, 2: True}, {1: 2**32, 2: True}, {1: 5, 2: 1}, {1: 5.5, 2: True}, [], 5],
)
def test_what_the_codec_refuses_is_not_valid(item: object) -> None:
    with pytest.raises(pycddl.ValidationError):
        schema(Presence).validate_cbor(dump(item))  # type: ignore[attr-defined]


def test_the_decoder_and_the_schema_agree_on_required_fields() -> None:
    for cls in WIRE_CLASSES:
        if cls.AS_LIST:
            continue
        required = [key for key, _, _, needed in fields_of(cls) if needed]
        for key in required:
            lines = list(wire_cddl().split(f"\n{cddl_name(cls)} = {{")[1].split("\n}")[0].split("\n"))
            assert any(line.startswith(f"  {key} => ") for line in lines)


def test_a_whole_message_is_a_map_of_its_keys() -> None:
    assert to_item(Presence(1, True)) == {1: 1, 2: True}
