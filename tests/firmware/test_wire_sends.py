"""What a device sends, in C against Python: to the byte, and read by the codec that zcbor generates as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from firmware import messages
from firmware.line_tool import LineTool, hexed, make, make_judge, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeops.core import codec
from edgeops.core.counter_block import pack_counters
from edgeops.core.messages import (
    Event,
    Labels,
    ModelState,
    PredictionId,
    Presence,
    Report,
    ShadowCounts,
    State,
    Truth,
)

VECTORS = Path(__file__).parents[1] / "vectors"
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def load(name: str) -> list[Any]:
    return list(json.loads((VECTORS / "wire" / f"{name}.json").read_text()))


@pytest.fixture(scope="module")
def tool(host_build: Path) -> Iterator[LineTool]:
    with running(make("build/sanitized/run_wire", "SANITIZE=1")) as started:
        yield started


@pytest.fixture(scope="module")
def judge(host_build: Path) -> Iterator[LineTool]:
    with running(make_judge()) as started:
        yield started


names = st.text("abz09_.-", max_size=64)
uint16 = st.integers(0, 2**16 - 1)
uint32 = st.integers(0, 300) | st.integers(0, 2**32 - 1)
uint64 = st.integers(0, 300) | st.integers(0, 2**64 - 1)
digests = st.binary(min_size=32, max_size=32)
maybe_digests = st.none() | digests
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
model_states = st.builds(
    ModelState,
    lifecycle=texts.filter(lambda text: len(text.encode()) <= 16),
    generation=uint32,
    confirmed=maybe_digests,
    previous=maybe_digests,
    candidate=maybe_digests,
    reason=st.none() | texts,
    security_counter=uint32,
    attempts=uint16,
    retry_in_ms=uint32,
    shadow=st.none() | st.builds(ShadowCounts, uint32, uint32, uint32, uint64, uint64),
    artifact=maybe_digests,
)
states = st.builds(
    State,
    boot=uint32,
    session=uint32,
    agent=texts,
    runtime=texts,
    target=texts,
    free_bytes=uint64,
    models=st.dictionaries(names, model_states, max_size=1),
    received_bytes=uint64,
    dropped_labels=uint32,
    takes=st.just(()) | st.tuples(st.just("plan")),
    spent_bytes=uint64,
)
lifecycle_words = st.sampled_from(["IDLE", "ROLLED_BACK", "", "x" * 16])
events = st.builds(
    Event, uint32, uint32, names, uint32, lifecycle_words, lifecycle_words, st.sampled_from(["offered", "y" * 24]),
    maybe_digests, st.none() | texts | st.just("z" * 160), uint64,
)  # fmt: skip


def check_written(
    tool: LineTool, judge: LineTool, message: str, words: list[str], expected: codec.Message
) -> None:
    """To the byte what Python writes, into no more room than it takes, and the generated codec reads the same."""
    raw = codec.encode(expected)
    assert tool.ask("encode", message, len(raw), *words) == {"status": "OK", "payload": raw.hex()}
    for room in {0, 1, len(raw) // 2, len(raw) - 1}:
        assert tool.ask("encode", message, room, *words) == {"status": "TOO_SMALL", "payload": ""}
    assert codec.decode(type(expected), raw) == expected
    assert judge.ask(message, hexed(raw)) == {"status": "OK", "payload": raw.hex()}


@settings(max_examples=250, suppress_health_check=SLOW)
@given(state=states)
def test_a_state_is_written_as_python_writes_it(tool: LineTool, judge: LineTool, state: State) -> None:
    check_written(tool, judge, "state", messages.state_fields(state), state)


@settings(max_examples=150, suppress_health_check=SLOW)
@given(event=events)
def test_an_event_is_written_as_python_writes_it(tool: LineTool, judge: LineTool, event: Event) -> None:
    check_written(tool, judge, "event", messages.plain_fields(event), event)


@settings(max_examples=100, suppress_health_check=SLOW)
@given(session=uint32, online=st.booleans())
def test_a_presence_is_written_as_python_writes_it(
    tool: LineTool, judge: LineTool, session: int, online: bool
) -> None:
    words = messages.fields(session=session, online=online)
    check_written(tool, judge, "presence", words, Presence(session, online))


REPORTS = [
    codec.decode(Report, bytes.fromhex(case["hex"]))
    for case in load("messages")
    if case["message"] == "Report"
]


@settings(max_examples=150, suppress_health_check=SLOW)
@given(data=st.data())
def test_a_report_is_written_as_python_writes_it(
    tool: LineTool, judge: LineTool, data: st.DataObject
) -> None:
    counters = data.draw(st.sampled_from(REPORTS)).counters
    head = [
        data.draw(kind) for kind in (names, st.binary(min_size=8, max_size=8), *[uint32] * 4, *[uint64] * 2)
    ]
    report = Report(*head, counters, *(data.draw(kind) for kind in (uint16, uint32, st.booleans())))
    words = messages.plain_fields(report, counters=pack_counters(counters))
    check_written(tool, judge, "report", words, report)


@settings(max_examples=50, suppress_health_check=SLOW)
@given(model=names, truths=st.lists(st.tuples(st.binary(min_size=20, max_size=20), uint16), max_size=256))
def test_labels_are_written_as_python_writes_them(
    tool: LineTool, judge: LineTool, model: str, truths: list[tuple[bytes, int]]
) -> None:
    words = messages.fields(
        model=model,
        predictions=b"".join(prediction for prediction, _ in truths),
        labels=b"".join(label.to_bytes(2, "big") for _, label in truths),
    )
    labels = Labels(model, tuple(Truth(*truth) for truth in truths))
    if len(codec.dump(codec.to_item(labels))) <= Labels.MAX_BYTES:
        check_written(tool, judge, "labels", words, labels)
    else:
        assert tool.ask("encode", "labels", 20_000, *words)["status"] == "TOO_SMALL"


@pytest.mark.parametrize("case", load("prediction_ids"), ids=lambda case: case["hex"][:8])
def test_a_prediction_id_is_written_as_python_writes_it(tool: LineTool, case: dict[str, Any]) -> None:
    fields = {**case["fields"], "model": bytes.fromhex(case["fields"]["model"])}
    said = tool.ask("encode", "prediction", 20, *messages.fields(**fields))
    assert said["payload"] == PredictionId(**fields).pack().hex() == case["hex"]


def test_what_is_too_long_is_not_written(tool: LineTool) -> None:
    event = Event(1, 2, "digits", 3, "IDLE", "OFFERED", "offered")
    for name, most in (("model", 64), ("source", 16), ("target", 16), ("event", 24), ("reason", 160)):
        fits = messages.plain_fields(event, **{name: "x" * most})
        assert tool.ask("encode", "event", 512, *fits)["status"] == "OK", name
        longer = messages.plain_fields(event, **{name: "x" * (most + 1)})
        assert tool.ask("encode", "event", 512, *longer) == {"status": "RANGE", "payload": ""}, name
    words = messages.plain_fields(event, model=None)
    assert tool.ask("encode", "event", 512, *words)["status"] == "ARGUMENT"
    report = messages.plain_fields(REPORTS[0], counters=b"1234")
    assert tool.ask("encode", "report", 512, *report)["status"] == "RANGE"
