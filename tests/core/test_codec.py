"""The codec: what is written is read back the same, and nothing else is ever read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.counted import empty
from support.wire import messages

from edgeops.core.codec import (
    MAX_DEPTH,
    Bytes,
    Flag,
    ListOf,
    MapOf,
    Message,
    Nested,
    SInt,
    Text,
    UInt,
    decode,
    dump,
    encode,
    fields_of,
    load,
    to_item,
    wire,
)
from edgeops.core.errors import WireError
from edgeops.core.messages import WIRE_MESSAGES, Event, Presence, Report
from edgeops.core.schema import WIRE_CLASSES


@dataclass(frozen=True, slots=True)
class Inner(Message):
    number: int = wire(1, UInt(8))


@dataclass(frozen=True, slots=True)
class Every(Message):
    """One field of every kind."""

    MAX_BYTES = 256
    unsigned: int = wire(1, UInt(8))
    signed: int = wire(2, SInt(8))
    flag: bool = wire(3, Flag())
    text: str = wire(4, Text(4))
    raw: bytes = wire(5, Bytes(4, 2))
    items: tuple[int, ...] = wire(6, ListOf(UInt(8), 2))
    table: dict[str, int] = wire(7, MapOf(Text(4), UInt(8), 2))
    inner: Inner = wire(8, Nested(Inner))
    maybe: int | None = wire(9, UInt(8), default=None)
    long: str | None = wire(10, Text(250), default=None)


GOOD_REPORT = Report("m", bytes(8), 1, 1, 0, 1, 0, 0, empty(), 1000)
GOOD_EVENT = Event(1, 2, "digits", 3, "TRIAL", "CONFIRMED", "passed")
GOOD = Every(1, -1, True, "a", b"ab", (1, 2), {"k": 1}, Inner(7))


class TestRoundTrip:
    @pytest.mark.parametrize("cls", WIRE_CLASSES, ids=lambda cls: cls.__name__)
    @given(data=st.data())
    def test_every_message_comes_back_as_it_went(self, cls: type[Message], data: st.DataObject) -> None:
        message = data.draw(messages(cls))
        try:
            payload = encode(message)
        except WireError as error:
            assert str(cls.MAX_BYTES) in error.message  # too long as a whole, and said so
            return
        assert decode(cls, payload) == message

    @pytest.mark.parametrize("cls", WIRE_MESSAGES, ids=lambda cls: cls.__name__)
    @given(data=st.data())
    def test_the_same_message_gives_the_same_bytes(self, cls: type[Message], data: st.DataObject) -> None:
        message = data.draw(messages(cls))
        payload = dump(to_item(message))
        assert dump(cbor2.loads(payload)) == payload

    def test_an_optional_field_that_is_none_takes_no_byte(self) -> None:
        assert 9 not in to_item(GOOD)
        assert 9 in to_item(replace(GOOD, maybe=0))

    @pytest.mark.parametrize("cls", WIRE_CLASSES, ids=lambda cls: cls.__name__)
    def test_keys_are_unique_and_leave_0_to_the_critical_list(self, cls: type[Message]) -> None:
        keys = [key for key, *_ in fields_of(cls)]
        assert len(set(keys)) == len(keys)
        assert min(keys) >= 1


class TestNothingButWireError:
    @pytest.mark.parametrize("cls", WIRE_MESSAGES, ids=lambda cls: cls.__name__)
    @given(payload=st.binary(max_size=300))
    def test_random_bytes(self, cls: type[Message], payload: bytes) -> None:
        _decodes_or_wire_error(cls, payload)

    @pytest.mark.parametrize("cls", WIRE_MESSAGES, ids=lambda cls: cls.__name__)
    @given(data=st.data())
    def test_a_good_message_with_one_byte_changed(self, cls: type[Message], data: st.DataObject) -> None:
        payload = bytearray(dump(to_item(data.draw(messages(cls)))))
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
        _decodes_or_wire_error(cls, bytes(payload))

    @given(
        item=st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=5)
            | st.binary(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.integers(-1, 20) | st.booleans() | st.text(max_size=2), inner, max_size=6
                )
            ),
            max_leaves=12,
        ),
        cls=st.sampled_from(WIRE_CLASSES),
    )
    def test_well_formed_cbor_of_any_shape(self, item: object, cls: type[Message]) -> None:
        _decodes_or_wire_error(cls, dump(item))

    @given(
        tag=st.integers(0, 300) | st.integers(0, 2**64 - 1),
        content=st.integers()
        | st.text(max_size=9)
        | st.binary(max_size=9)
        | st.lists(st.integers(), max_size=3),
    )
    def test_tags_are_refused_whatever_they_hold(self, tag: int, content: object) -> None:
        payload = cbor2.dumps(cbor2.CBORTag(tag, content), canonical=True)
        with pytest.raises(WireError):
            load(payload, 1000)

    @given(payload=st.binary(max_size=20).map(lambda tail: bytes.fromhex("d81c") + tail))
    def test_shared_references_are_no_way_round_the_depth(self, payload: bytes) -> None:
        with pytest.raises(WireError):
            load(payload, 1000)


REFUSED = {
    "half float": "f93c00",
    "single float": "fa3f800000",
    "double float": "fb3ff0000000000000",
    "NaN": "f97e00",
    "undefined": "f7",
    "simple value": "e0",
    "bignum": "c249010000000000000000",
    "negative bignum": "c349010000000000000000",
    "date": "c074323032302d30312d30315430303a30303a30305a",
    "duplicate key": "a201010102",
    "1 in two bytes": "1801",
    "1 in nine bytes": "1b0000000000000001",
    "length in two bytes": "580161",
    "keys out of order": "a202010101",
    "endless list": "9f01ff",
    "endless map": "bf0101ff",
    "endless text": "7f6161ff",
    "endless bytes": "5f4161ff",
    "bytes after the end": "0101",
    "nothing": "",
    "cut off": "8201",
    "text that is no UTF-8": "61ff",
    "a list longer than memory": "9bffffffffffffffff",
    "bytes longer than memory": "5bffffffffffffffff",
    "reserved": "1c",
    "lone break": "ff",
}


class TestStrictness:
    @pytest.mark.parametrize("hexed", REFUSED.values(), ids=REFUSED)
    def test_is_refused(self, hexed: str) -> None:
        with pytest.raises(WireError):
            load(bytes.fromhex(hexed), 4096)

    @pytest.mark.parametrize("hexed", [h for h in REFUSED.values() if h not in ("", "0101")])
    def test_is_refused_inside_an_unknown_field_too(self, hexed: str) -> None:
        with pytest.raises(WireError):
            decode(Presence, bytes.fromhex("a3010102f51820") + bytes.fromhex(hexed))

    def test_nesting_is_bounded(self) -> None:
        deep: object = 1
        for _ in range(MAX_DEPTH):
            deep = [deep]
        assert load(dump(deep), 100) == deep
        with pytest.raises(WireError, match="nested"):
            load(dump([deep]), 100)

    def test_very_deep_nesting_ends_in_the_same_error(self) -> None:
        with pytest.raises(WireError):
            load(b"\x81" * 5000 + b"\x01", 10_000)

    @pytest.mark.parametrize("cls", WIRE_CLASSES, ids=lambda cls: cls.__name__)
    def test_one_byte_more_than_allowed_is_refused_unread(self, cls: type[Message]) -> None:
        with pytest.raises(WireError, match=str(cls.MAX_BYTES)):
            decode(cls, b"\x00" * (cls.MAX_BYTES + 1))

    def test_true_is_not_1_as_a_key_nor_as_a_value(self) -> None:
        assert decode(Presence, bytes.fromhex("a2010102f5")) == Presence(1, True)
        for hexed in ("a202f5f501", "a201f502f5", "a201010201"):
            with pytest.raises(WireError):
                decode(Presence, bytes.fromhex(hexed))

    @pytest.mark.parametrize("item", [1, "a", b"a", [], None, True])
    def test_a_message_is_a_map(self, item: object) -> None:
        with pytest.raises(WireError, match="map"):
            decode(Presence, dump(item))


class TestUnknownKeys:
    @given(extra=st.dictionaries(st.integers(21, 2**32), st.integers(0, 9) | st.text(max_size=3), max_size=4))
    def test_are_skipped(self, extra: dict[int, object]) -> None:
        # an Event has room for them; its own keys end at 10
        assert decode(Event, dump({**to_item(GOOD_EVENT), **extra})) == GOOD_EVENT

    @given(extra=st.lists(st.integers(0, 9) | st.text(max_size=3), max_size=4))
    def test_so_is_what_follows_in_a_list(self, extra: list[object]) -> None:
        assert decode(Report, dump([*to_item(GOOD_REPORT), *extra])) == GOOD_REPORT

    def test_the_last_of_a_list_may_be_left_out_where_there_is_a_default(self) -> None:
        assert decode(Report, dump(to_item(GOOD_REPORT)[:10])) == GOOD_REPORT
        with pytest.raises(WireError, match=r"observe_permille.*key 10"):
            decode(Report, dump(to_item(GOOD_REPORT)[:9]))

    @pytest.mark.parametrize("item", [1, "a", b"a", {}, None, True])
    def test_what_is_a_list_is_nothing_else(self, item: object) -> None:
        with pytest.raises(WireError, match="list"):
            decode(Report, dump(item))

    def test_are_refused_when_the_critical_list_names_them(self) -> None:
        with pytest.raises(WireError, match="30"):
            decode(Presence, dump({0: [30], 1: 5, 2: True, 30: "x"}))

    def test_a_critical_list_of_known_keys_is_fine(self) -> None:
        assert decode(Presence, dump({0: [1, 2], 1: 5, 2: True})) == Presence(5, True)

    @pytest.mark.parametrize("critical", [1, "x", {}, None, [[1]], [{}], ["1"], [True], list(range(33))])
    def test_a_malformed_critical_list_is_refused(self, critical: object) -> None:
        with pytest.raises(WireError):
            decode(Inner, dump({0: critical, 1: 5}))

    def test_a_missing_field_is_named_with_its_key(self) -> None:
        with pytest.raises(WireError, match=r"Presence\.online.*key 2"):
            decode(Presence, dump({1: 5}))


WRONG = [
    ("unsigned", -1),
    ("unsigned", 256),
    ("unsigned", True),
    ("unsigned", 1.0),
    ("unsigned", "1"),
    ("unsigned", None),
    ("signed", 128),
    ("signed", -129),
    ("flag", 1),
    ("text", "abcde"),
    ("text", "äöü"),
    ("text", b"a"),
    ("text", "\ud800"),
    ("raw", b"a"),
    ("raw", b"abcde"),
    ("raw", "ab"),
    ("items", (1, 2, 3)),
    ("items", (256,)),
    ("items", {1: 2}),
    ("table", {"a": 1, "b": 2, "c": 3}),
    ("table", {1: 1}),
    ("table", {"a": -1}),
    ("inner", 5),
    ("inner", Presence(1, True)),
]


class TestBounds:
    @pytest.mark.parametrize(("field", "value"), WRONG, ids=[f"{f}={v!a}" for f, v in WRONG])
    def test_a_field_out_of_bounds_is_not_written(self, field: str, value: object) -> None:
        with pytest.raises(WireError, match=f"Every.{field}"):
            encode(replace(GOOD, **{field: value}))

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            (1, 256),
            (1, True),
            (2, 200),
            (3, 1),
            (4, "abcde"),
            (5, b"a"),
            (6, [1, 2, 3]),
            (6, 1),
            (7, {1: 1}),
            (7, []),
            (8, 1),
            (8, {}),
            (8, {1: 256}),
            (9, -1),
        ],
    )
    def test_a_field_out_of_bounds_is_not_read(self, key: int, value: object) -> None:
        with pytest.raises(WireError, match=r"Every\."):
            decode(Every, dump({**to_item(GOOD), key: value}))

    def test_the_whole_is_bounded_when_written(self) -> None:
        with pytest.raises(WireError, match="256"):
            encode(
                replace(GOOD, raw=b"abcd", inner=Inner(7), text="a" * 4, table={"a" * 4: 1}, long="a" * 250)
            )


def _decodes_or_wire_error(cls: type[Message], payload: bytes) -> None:
    try:
        message = decode(cls, payload)
    except WireError as error:
        assert error.message
    else:
        assert isinstance(message, cls)
        again = decode(cls, encode(message))
        assert again == message
