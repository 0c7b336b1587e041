"""What a device reads, in C against Python: the same out of every message, and the same is refused.

Everything runs in the build with sanitizers. ``wire_judge`` is the codec that zcbor generates from ``wire.cddl``: it
shares no line with what it judges.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from firmware import messages
from firmware.line_tool import LineTool, hexed, make, make_judge, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeops.core import codec, manifest, observe, selftest, signing
from edgeops.core.codec import Bytes, FieldKind, Flag, ListOf, MapOf, Nested, SInt, Text, UInt, fields_of
from edgeops.core.errors import WireError
from edgeops.core.messages import (
    CapturePolicy,
    Desired,
    DesiredModel,
    Receipt,
    ReportPolicy,
    ShiftedBins,
    Transfer,
)

VECTORS = Path(__file__).parents[1] / "vectors"
MODEL, RUNTIME, TARGET = "digits", "plan", "cortex-m4"
DEVICE_READS = (
    manifest.BlobRef, ReportPolicy, ShiftedBins, CapturePolicy, Transfer, DesiredModel, Desired, Receipt,
    signing.TrustRoot, manifest.Artifact, manifest.TensorContract, manifest.RawContract, manifest.Step, manifest.Trial,
    manifest.Manifest, observe.FeaturePlan, observe.ObservePlan, selftest.SelfTest,
)  # fmt: skip
"""In the order of ``eo_message``."""


def load(name: str, folder: str) -> list[Any]:
    return list(json.loads((VECTORS / folder / f"{name}.json").read_text()))


@pytest.fixture(scope="module")
def tool(host_build: Path) -> Iterator[LineTool]:
    """The messages, with the sanitizers."""
    with running(make("build/sanitized/run_wire", "SANITIZE=1")) as started:
        yield started


@pytest.fixture(scope="module")
def judge(host_build: Path) -> Iterator[LineTool]:
    with running(make_judge()) as started:
        yield started


# ---- the tables ----

KINDS = ("uint", "sint", "flag", "text", "bytes", "fixed", "list", "list", "map", "nested")


def described(kind: FieldKind) -> object:
    """A kind as plain data."""
    match kind:
        case UInt(bits):
            return "uint", bits
        case SInt(bits):
            return "sint", bits
        case Flag():
            return ("flag",)
        case Text(size):
            return "text", size
        case Bytes(size, least):
            return ("fixed", size) if size == least else ("bytes", size, least)
        case ListOf(of, most):
            return "list", most, described(of)
        case MapOf(key, value, most):
            return "map", most, described(key), described(value)
        case Nested(cls):
            return "nested", DEVICE_READS.index(cls)
    raise AssertionError(kind)


def test_the_tables_are_pythons(tool: LineTool) -> None:
    schema = tool.ask("schema")
    rows = schema["rows"]

    def row(at: int) -> object:
        number, _, of, limit = rows[at]
        match KINDS[number]:
            case "flag":
                return ("flag",)
            case "bytes":
                return "bytes", limit, of
            case "list":
                return "list", limit, row(of)
            case "map":
                return "map", limit, row(of), row(of + 1)
            case "nested":
                return "nested", of
            case kind:
                return kind, limit

    assert len(schema["messages"]) == len(DEVICE_READS)
    for cls, (first, count) in zip(DEVICE_READS, schema["messages"], strict=True):
        table = fields_of(cls)
        assert [key for key, *_ in table] == list(range(1, count + 1)), cls
        for key, name, kind, required in table:
            at = first + key - 1
            assert row(at) == described(kind), f"{cls.__name__}.{name}"
            assert rows[at][1] == required, f"{cls.__name__}.{name}"


# ---- what a device reads ----


def read_desired(raw: bytes) -> dict[str, Any]:
    return messages.desired(codec.decode(Desired, raw), MODEL)


def read_receipt(raw: bytes) -> dict[str, Any]:
    return messages.receipt(codec.decode(Receipt, raw), MODEL)


def read_manifest(raw: bytes) -> dict[str, Any] | None:
    """None for one that decodes, and names a blob of a size that is not allowed."""
    read = codec.decode(manifest.Manifest, raw)
    for ref in (*(artifact.blob for artifact in read.artifacts), read.observe, read.vectors):
        if not 256 <= ref.chunk_bytes <= 65_536 or ref.size > 64 * 1024 * 1024:
            return None
        if ref.chunks > 1 and ref.chunk_list is None:
            return None
    return messages.manifest(read, RUNTIME, TARGET)


def read_root(raw: bytes) -> dict[str, Any]:
    return messages.trust_root(codec.decode(signing.TrustRoot, raw))


def read_observe_plan(raw: bytes) -> dict[str, Any]:
    return messages.observe_plan(codec.decode(observe.ObservePlan, raw))


def read_self_test(raw: bytes) -> dict[str, Any]:
    return messages.self_test(codec.decode(selftest.SelfTest, raw))


READERS: dict[str, tuple[Callable[[bytes], dict[str, Any] | None], tuple[str, ...]]] = {
    "desired": (read_desired, (MODEL,)),
    "receipt": (read_receipt, (MODEL,)),
    "manifest": (read_manifest, (RUNTIME, TARGET)),
    "trust-root": (read_root, ()),
    "observe-plan": (read_observe_plan, ()),
    "self-test": (read_self_test, ()),
}


def payloads() -> list[tuple[str, bytes]]:
    """Valid messages that a device reads, of every kind."""
    found = [
        (case["message"].lower(), bytes.fromhex(case["hex"]))
        for case in load("messages", "wire")
        if case["message"] in ("Desired", "Receipt")
    ]
    found += [("desired", bytes.fromhex(case["payload"])) for case in load("desired", "trust")]
    found += [("manifest", bytes.fromhex(case["payload"])) for case in load("manifests", "trust")]
    found += [("observe-plan", bytes.fromhex(case["plan"])) for case in load("counters", "wire")]
    found += [("self-test", bytes.fromhex(raw)) for raw in load("self_tests", "trust")]
    found += [("trust-root", payload_of(case)) for case in load("roots", "trust") if case["first"]]
    return found


def payload_of(case: dict[str, Any]) -> bytes:
    return signing.unverified_payload(bytes.fromhex(case["envelope"]))


PAYLOADS = payloads()


def compare(tool: LineTool, message: str, raw: bytes) -> bool:
    """C and Python read the same out of a payload, or both refuse it; whether they took it."""
    reader, words = READERS[message]
    said = tool.ask("decode", message, hexed(raw), *words)
    try:
        expected = reader(raw)
    except WireError:
        assert said["status"] in ("MALFORMED", "UNSUPPORTED"), (message, raw.hex())
        return False
    assert said == ({"status": "RANGE"} if expected is None else {"status": "OK", **expected}), raw.hex()
    return True


@pytest.mark.parametrize(("message", "raw"), PAYLOADS, ids=[f"{m}-{n}" for n, (m, _) in enumerate(PAYLOADS)])
def test_a_message_is_read_as_python_reads_it(tool: LineTool, message: str, raw: bytes) -> None:
    assert compare(tool, message, raw)


def test_without_a_name_the_first_model_is_read(tool: LineTool) -> None:
    for message, raw in PAYLOADS:
        if message == "desired":
            expected = messages.desired(codec.decode(Desired, raw), None)
            assert tool.ask("decode", "desired", hexed(raw), "*") == {"status": "OK", **expected}


@pytest.mark.parametrize("message", READERS)
def test_every_truncation_is_refused_and_so_is_what_stands_behind(tool: LineTool, message: str) -> None:
    for kind, raw in PAYLOADS:
        if kind == message and len(raw) < 1500:
            for size in range(len(raw)):
                assert not compare(tool, message, raw[:size])
            for more in (b"\x00", b"\xf6", b"\xff", raw):
                assert not compare(tool, message, raw + more)


def test_a_message_of_another_kind_is_refused(tool: LineTool) -> None:
    for kind, raw in PAYLOADS:
        for message in READERS:
            assert compare(tool, message, raw) == (message == kind)


# ---- what is hostile ----

SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
scalars = (
    st.integers(0, 30)
    | st.integers(-(2**64), 2**64 - 1)
    | st.booleans()
    | st.none()
    | st.binary(max_size=40)
    | st.text(max_size=20)
    | st.sampled_from([2**n + d for n in (5, 8, 16, 32, 48, 63, 64) for d in (-1, 0) if 2**n + d < 2**64])
)
keys = (
    st.integers(0, 17)
    | st.integers(-(2**64), 2**64 - 1)
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.none()
)
items = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


def places(item: Any) -> list[tuple[Any, Any]]:
    """Every place of a value within an item: the container, and its key or index."""
    inside = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, value in inside:
        found += [(item, key), *places(value)]
    return found


@settings(max_examples=500, suppress_health_check=SLOW)
@given(data=st.data())
def test_a_field_of_another_kind_is_judged_as_python_judges_it(tool: LineTool, data: st.DataObject) -> None:
    message, raw = data.draw(st.sampled_from(PAYLOADS))
    item = codec.load(raw, 2**20)
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(places(item) or [(item, 1)]))
        if not isinstance(container, dict):
            container[key] = data.draw(items)
        elif data.draw(st.booleans()):
            container[data.draw(keys)] = data.draw(items)
        elif data.draw(st.booleans()):
            container[key] = data.draw(items)
        else:
            container.pop(key, None)
    compare(tool, message, codec.dump(item))


@settings(max_examples=500, suppress_health_check=SLOW)
@given(data=st.data())
def test_damaged_bytes_are_judged_as_python_judges_them(tool: LineTool, data: st.DataObject) -> None:
    message, original = data.draw(st.sampled_from(PAYLOADS))
    raw = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        change = data.draw(st.sampled_from(["set", "drop", "insert"]))
        if change == "insert" or at == len(raw):
            raw.insert(at, data.draw(st.integers(0, 255)))
        elif change == "set":
            raw[at] = data.draw(st.integers(0, 255))
        else:
            del raw[at]
    compare(tool, message, bytes(raw))


def deterministic(raw: bytes) -> bool:
    try:
        codec.load(raw, 2**20)
    except WireError:
        return False
    return True


@settings(max_examples=500, suppress_health_check=SLOW)
@given(raw=st.binary(max_size=24) | items.map(codec.dump))
def test_any_bytes_are_cbor_where_python_says_so(tool: LineTool, raw: bytes) -> None:
    assert (tool.ask("check", hexed(raw))["status"] == "OK") == deterministic(raw)


HOSTILE = {
    "an empty payload": "",
    "the longest map": "bbffffffffffffffff",
    "the longest list": "9bffffffffffffffff",
    "the longest text": "7bffffffffffffffff",
    "half of the numbers overflow": "bb8000000000000000",
    "nested nine deep": "81" * 9 + "00",
    "nested a thousand deep": "81" * 1000,
    "maps nested in keys": "a1" * 9,
    "a tag": "c100",
    "shared references": "d81c81d81d00",
    "an indefinite list": "9f00ff",
    "an indefinite text": "7f6161ff",
    "a half float": "f90000",
    "a double": "fb0000000000000000",
    "undefined": "f7",
    "a simple value": "e0",
    "a simple value in two bytes": "f820",
    "true in two bytes": "f815",
    "a break": "ff",
    "a long zero": "1800",
    "a long length": "58016100",
    "keys that descend": "a202000100",
    "a key twice": "a201000100",
    "a key of true": "a1f500",
    "a list as a key": "a18000",
    "overlong UTF-8": "62c080",
    "a surrogate": "63eda080",
    "above Unicode": "64f4908080",
    "half a character": "61e4",
    "characters of every length": "6a24c2a2e0a080f0908080",
    "the last characters of every length": "6ac2bfed9fbff48fbfbf7f",
    "null as a key": "a1f600",
    "a negative key after a longer positive one": "a22000181800",
    "eight deep": "81" * 8 + "00",
    "nine deep and empty": "81" * 8 + "80",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=list(HOSTILE))
def test_the_corners_of_cbor(tool: LineTool, raw: str) -> None:
    said = tool.ask("check", raw or "-")["status"]
    assert (said == "OK") == deterministic(bytes.fromhex(raw))
    assert said in ("OK", "MALFORMED")


def test_a_critical_key_that_is_not_known_is_named_as_such(tool: LineTool) -> None:
    item = codec.load(codec.encode(Receipt(1, {"digits": 3})), 100)
    for critical, status in (
        ([1, 2], "OK"),
        ([], "OK"),
        ([3], "UNSUPPORTED"),
        ([0], "UNSUPPORTED"),
        ([-1], "UNSUPPORTED"),
        ([True], "MALFORMED"),
        ([1] * 33, "MALFORMED"),
        (1, "MALFORMED"),
    ):
        raw = codec.dump({0: critical, **item, 9: "not known"})
        assert tool.ask("decode", "receipt", hexed(raw), MODEL)["status"] == status, critical
        assert compare(tool, "receipt", raw) == (status == "OK")


@pytest.mark.parametrize("message", READERS)
def test_the_generated_codec_takes_what_the_firmware_takes(
    tool: LineTool, judge: LineTool, message: str
) -> None:
    """What it writes of what it read is the same again, and C reads it as Python does."""
    for kind, raw in PAYLOADS:
        if kind == message:
            assert judge.ask(message, hexed(raw)) == {"status": "OK", "payload": raw.hex()}
            assert compare(tool, message, raw)
