"""Topics and self-test vectors in C against Python's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from firmware.line_tool import LineTool, hexed, make, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeops.core import topics
from edgeops.core.errors import UsageError, WireError
from edgeops.core.selftest import difference
from edgeops.core.topics import ChunkTopic, DeviceTopic, Kind

KINDS = ["trust", *(kind.value for kind in Kind)]
"""In the order of ``eo_topic_kind``, which ends with blobs."""
BLOB = len(KINDS)
DIGEST = bytes(range(100, 132))
SLOW = [HealthCheck.function_scoped_fixture]


@pytest.fixture(scope="module")
def tool(host_build: Path) -> Iterator[LineTool]:
    with running(make("build/sanitized/run_wire", "SANITIZE=1")) as started:
        yield started


def is_name(text: str) -> bool:
    try:
        topics.check_name(text, "name")
    except UsageError:
        return False
    return True


@settings(max_examples=200, suppress_health_check=SLOW)
@given(
    fleet=st.text("aZ0_.-/+#", min_size=1, max_size=66),
    device=st.text("zA9_.-+", min_size=1, max_size=66),
    kind=st.sampled_from(list(Kind)),
    index=st.integers(0, 1_000_001),
)
def test_topics_are_written_as_python_writes_them(
    tool: LineTool, fleet: str, device: str, kind: Kind, index: int
) -> None:
    said = tool.ask("topic", fleet, device, KINDS.index(kind.value))
    if is_name(fleet) and is_name(device):
        assert said == {"status": "OK", "topic": hexed(topics.device(fleet, device, kind))}
    else:
        assert said == {"status": "ARGUMENT"}
    said = tool.ask("topic", fleet, "-", KINDS.index("trust"))
    good = is_name(fleet)
    assert said == ({"status": "OK", "topic": hexed(topics.trust(fleet))} if good else {"status": "ARGUMENT"})
    said = tool.ask("chunk", fleet, DIGEST.hex(), index)
    if good and index <= 999_999:
        assert said == {"status": "OK", "topic": hexed(topics.chunk(fleet, DIGEST.hex(), index))}
    else:
        assert said == {"status": "ARGUMENT"}


def test_the_longest_names_fit(tool: LineTool) -> None:
    fleet, device = "f" * 64, "d" * 64
    for number, name in enumerate(KINDS):
        said = tool.ask("topic", fleet, device, number)
        assert said["status"] == "OK", name
    assert tool.ask("topic", fleet, device, BLOB)["status"] == "ARGUMENT"


def parsed(tool: LineTool, topic: str, fleet: str, device: str) -> object:
    """What C makes of a topic, as Python's ``parse`` would give it; None for one that it does not take."""
    said = tool.ask("parse", hexed(topic), fleet, device)
    if said["status"] != "OK":
        assert said == {"status": "NOT_FOUND"}
        return None
    if said["kind"] == BLOB:
        return ChunkTopic(fleet, said["sha256"], said["index"])
    return "trust" if said["kind"] == 0 else DeviceTopic(fleet, device, Kind(KINDS[said["kind"]]))


def expected(topic: str, fleet: str, device: str) -> object:
    """What Python takes of the topics that are of this fleet, and of this device or of none."""
    if topic == topics.trust(fleet):
        return "trust"
    try:
        found = topics.parse(topic)
    except WireError:
        return None
    if found.fleet != fleet or (isinstance(found, DeviceTopic) and found.device != device):
        return None
    return found


@settings(max_examples=600, suppress_health_check=SLOW)
@given(data=st.data())
def test_topics_are_taken_apart_as_python_takes_them_apart(tool: LineTool, data: st.DataObject) -> None:
    fleet, device = "plant", "cam-01"
    topic = data.draw(
        st.sampled_from(
            [
                topics.trust(fleet),
                *(topics.device(fleet, device, kind) for kind in Kind),
                topics.device(fleet, "cam-012", Kind.DESIRED),
                topics.device("plan", device, Kind.DESIRED),
                topics.published(fleet),
                *(topics.chunk(fleet, DIGEST.hex(), index) for index in (0, 7, 123_456, 999_999)),
            ]
        )
    )
    assert parsed(tool, topic, fleet, device) == expected(topic, fleet, device)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(topic)))
        topic = topic[:at] + data.draw(st.sampled_from(["", "/", "a", "0", "F", "\0"])) + topic[at + 1 :]
    assert parsed(tool, topic, fleet, device) == expected(topic, fleet, device)


@pytest.mark.parametrize("index", ["", "00", "0000001", "1000000", "-1", "1a", "٣"])
def test_chunk_indices(tool: LineTool, index: str) -> None:
    """But one thing: Python takes the decimal digits of any script, which nobody publishes."""
    topic = f"edgeops/v1/plant/blob/{DIGEST.hex()}/{index}"
    if index.isascii():
        assert parsed(tool, topic, "plant", "cam-01") == expected(topic, "plant", "cam-01")
    else:
        assert parsed(tool, topic, "plant", "cam-01") is None


@settings(max_examples=600, suppress_health_check=SLOW)
@given(data=st.data())
def test_self_test_vectors_are_judged_as_python_judges_them(tool: LineTool, data: st.DataObject) -> None:
    values = st.integers(-128, 127)
    want = data.draw(st.lists(values, min_size=1, max_size=6))
    near = [st.integers(max(-128, value - 3), min(127, value + 3)) for value in want]
    got = data.draw(st.tuples(*near).map(list) | st.lists(values, min_size=1, max_size=7))
    tolerance = data.draw(st.sampled_from([0, 1, 2, 3, 255]))
    wanted, actual = np.array(want, np.int8), np.array(got, np.int8)
    said = tool.ask("judge", tolerance, hexed(wanted.tobytes()), hexed(actual.tobytes()))
    passes = difference(wanted.tobytes(), actual, tolerance) is None
    assert said["status"] == ("OK" if passes else "SELFTEST")
