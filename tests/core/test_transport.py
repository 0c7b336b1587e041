"""The in-memory transport obeys the laws; topic matching agrees with paho's."""

from __future__ import annotations

import pytest
from core.transport_laws import LAWS, OUTAGE_LAWS, STORAGE_LAWS, Law
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from edgeops.core.transport import MemoryBroker, MemoryTransport, Transport, Will, matches


class MemoryWorld:
    """A ``World`` of one ``MemoryBroker``."""

    prefix = "laws"

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def make(self, will: Will | None = None) -> Transport:
        return self.broker.client(will)

    def vanish(self, client: Transport) -> None:
        assert isinstance(client, MemoryTransport)
        client.vanish()

    def take_away(self) -> None:
        self.broker.set_online(False)

    def bring_back(self) -> None:
        self.broker.set_online(True)


@pytest.mark.parametrize("law", LAWS + OUTAGE_LAWS + STORAGE_LAWS, ids=lambda law: law.__name__)
def test_memory_transport_obeys(law: Law) -> None:
    law(MemoryWorld())


# few letters, so that filters and topics often meet; "$" and empty levels are the corners
LEVELS = st.sampled_from(["a", "b", "", "$SYS", "ä"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)


@st.composite
def filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(LEVELS | st.just("+"), max_size=5))
    if draw(st.booleans()) or not any(levels):
        levels.append("#")
    return "/".join(levels)


@given(filters(), TOPICS)
def test_matches_agrees_with_paho(topic_filter: str, topic: str) -> None:
    assert matches(topic_filter, topic) is topic_matches_sub(topic_filter, topic)


@given(TOPICS)
def test_a_topic_matches_itself_and_its_parents_hash(topic: str) -> None:
    assert matches(topic, topic)
    levels = topic.split("/")
    for depth in range(1, len(levels) + 1):
        assert matches("/".join([*levels[:depth], "#"]), topic)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("#", "a/b", True),
        ("#", "$SYS/load", False),
        ("+/load", "$SYS/load", False),
        ("$SYS/#", "$SYS/load", True),
        ("a/#", "a", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/b", "a/b/c", False),
        ("A", "a", False),
    ],
)
def test_matches_as_the_standard_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected
