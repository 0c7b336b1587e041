"""Topics: what is built can be taken apart, and nothing else can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core import topics
from edgeops.core.errors import UsageError, WireError
from edgeops.core.topics import TOPICS, ChunkTopic, DeviceTopic, Kind, check_name, parse
from edgeops.core.transport import matches

NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


@given(fleet=NAMES, device=NAMES, kind=st.sampled_from(Kind))
def test_device_topics(fleet: str, device: str, kind: Kind) -> None:
    topic = topics.device(fleet, device, kind)
    assert parse(topic) == DeviceTopic(fleet, device, kind)
    assert matches(topics.every_device(fleet, kind), topic)


@given(fleet=NAMES, digest=st.binary(min_size=32, max_size=32), index=st.integers(0, 999_999))
def test_chunk_topics(fleet: str, digest: bytes, index: int) -> None:
    assert parse(topics.chunk(fleet, digest.hex(), index)) == ChunkTopic(fleet, digest.hex(), index)


@given(
    st.text(max_size=120)
    | st.lists(st.sampled_from(["edgeops", "v1", "a", "device", "blob", "+", "#", ""])).map("/".join)
)
def test_anything_else_is_a_wire_error(text: str) -> None:
    try:
        topic = parse(text)
    except WireError as error:
        assert len(error.message) < 600
    else:
        assert isinstance(topic, DeviceTopic | ChunkTopic)


@pytest.mark.parametrize("name", ["a", "A-1", "cam.01", "x" * 64, "0", "a_b"])
def test_names(name: str) -> None:
    assert check_name(name, "device") == name


@pytest.mark.parametrize(
    "name", ["", "x" * 65, "-a", ".a", "_a", "a/b", "a+b", "#", "a b", "ä", "a\n", "../a", "a\0"]
)
def test_what_is_no_name_would_break_a_topic_or_a_path(name: str) -> None:
    with pytest.raises(UsageError, match="device"):
        check_name(name, "device")


@given(st.text(max_size=80))
def test_a_text_that_is_no_name_is_answered_with_one_that_is(text: str) -> None:
    try:
        check_name(text, "dataset")
    except UsageError as error:
        assert error.fix is not None
        assert check_name(error.fix.removeprefix("such as "), "dataset")
    else:
        assert text


def test_the_remedy_is_as_near_as_can_be() -> None:
    with pytest.raises(UsageError) as caught:
        check_name("my pets", "dataset")
    assert caught.value.fix == "such as my-pets"


def test_the_table_names_every_kind_of_device_topic() -> None:
    listed = {rule.pattern.rsplit("/", 1)[1] for rule in TOPICS if rule.pattern.startswith("device/")}
    assert listed == {kind.value for kind in Kind}
    retained = {r.pattern.rsplit("/", 1)[1] for r in TOPICS if r.retained and r.writer.startswith("device")}
    assert retained == {kind.value for kind in topics.RETAINED_BY_DEVICE}
