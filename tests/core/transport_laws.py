"""What every ``Transport`` must do, as lists of laws that run on each implementation.

A law is a function of a ``World``. No law asserts a duration: waiting ends when the expected thing arrives,
and fails after ``PATIENCE_S``. That nothing came is shown by a marker that was published afterwards, since
the order of one publisher is kept.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Protocol

import pytest

from edgeops.core.errors import BrokerUnreachable
from edgeops.core.transport import ConnectionChanged, Incoming, Received, Transport, Will

PATIENCE_S = 20.0
_numbers = itertools.count()


class World(Protocol):
    """A broker and its clients. ``prefix`` is one test's own corner of the topics."""

    prefix: str

    def make(self, will: Will | None = None) -> Transport:
        """A client that is not connected yet; the world closes it in the end."""

    def vanish(self, client: Transport) -> None:
        """Cut the client off without a goodbye."""

    def take_away(self) -> None:
        """Stop the broker."""

    def bring_back(self) -> None:
        """Start the broker where it was."""


class Peer:
    """A connected client with a memory: what arrived while waiting for something else is kept."""

    def __init__(self, world: World, *filters: str, will: Will | None = None) -> None:
        self.world = world
        self.transport = world.make(will)
        self.transport.connect(PATIENCE_S)
        self.kept: list[Incoming] = []
        self.read_link(True)
        for topic_filter in filters:
            self.transport.subscribe(topic_filter)
        self.settle()

    def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> None:
        self.transport.publish(topic, payload, retain=retain)

    def settle(self) -> None:
        """Wait until the broker has handled all that this client asked for so far."""
        topic = f"{self.world.prefix}/settle/{next(_numbers)}"
        self.transport.subscribe(topic)
        self.transport.publish(topic, b"")
        self._await(lambda item: isinstance(item, Received) and item.topic == topic)
        self.transport.unsubscribe(topic)

    def read(self, count: int) -> list[Received]:
        """The next ``count`` messages."""
        while len(self._messages()) < count:
            self.kept.append(self._next())
        taken = self._messages()[:count]
        self.kept = [item for item in self.kept if not any(item is message for message in taken)]
        return taken

    def read_all(self, sender: Peer) -> list[Received]:
        """Whatever came of all that the broker was given before this call by ``sender``."""
        marker = f"{self.world.prefix}/marker/{next(_numbers)}"
        self.transport.subscribe(marker)
        self.settle()
        sender.publish(marker)
        self._await(lambda item: isinstance(item, Received) and item.topic == marker)
        self.transport.unsubscribe(marker)
        return self.read(len(self._messages()))

    def read_link(self, online: bool) -> None:
        """Wait for the connection to come up or go down."""
        self._await(lambda item: isinstance(item, ConnectionChanged) and item.online is online)

    def wait_sent(self) -> None:
        """Wait until the broker has acknowledged everything."""
        deadline = time.monotonic() + PATIENCE_S
        while self.transport.pending():
            assert time.monotonic() < deadline, f"{self.transport.pending()} messages are still pending"
            item = self.transport.receive(0.01)
            if item is not None:
                self.kept.append(item)

    def _messages(self) -> list[Received]:
        return [item for item in self.kept if isinstance(item, Received)]

    def _await(self, wanted: Callable[[Incoming], bool]) -> None:
        while not any(wanted(item) for item in self.kept):
            self.kept.append(self._next())
        self.kept = [item for item in self.kept if not wanted(item)]

    def _next(self) -> Incoming:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            item = self.transport.receive(0.05)
            if item is not None:
                return item
        tail = [str(entry)[:120] for entry in self.kept[-5:]]
        raise AssertionError(f"waited in vain; {len(self.kept)} arrived, the last of them: {tail}")


def numbered(received: list[Received]) -> list[int]:
    return [int(message.payload) for message in received]


# -- laws of every broker


def retained_is_delivered_for_what_was_asked_and_flagged(world: World) -> None:
    sender = Peer(world)
    for index in range(5):
        sender.publish(f"{world.prefix}/b/{index}", b"%d" % index, retain=True)
    sender.settle()
    reader = Peer(world, f"{world.prefix}/b/1", f"{world.prefix}/b/3")
    assert sorted(reader.read_all(sender), key=lambda message: message.topic) == [
        Received(f"{world.prefix}/b/1", b"1", retained=True),
        Received(f"{world.prefix}/b/3", b"3", retained=True),
    ]


def a_live_message_is_not_flagged_retained(world: World) -> None:
    reader = Peer(world, f"{world.prefix}/x")
    reader.publish(f"{world.prefix}/x", b"now", retain=True)
    assert reader.read(1) == [Received(f"{world.prefix}/x", b"now", retained=False)]


def what_others_asked_for_is_not_delivered(world: World) -> None:
    sender = Peer(world)
    sender.publish(f"{world.prefix}/old/secret", b"1", retain=True)
    curious = Peer(world, f"{world.prefix}/old/#")
    modest = Peer(world, f"{world.prefix}/mine")
    sender.publish(f"{world.prefix}/other", b"2")
    sender.publish(f"{world.prefix}/old/secret", b"3", retain=True)
    assert modest.read_all(sender) == []
    assert [message.payload for message in curious.read_all(sender)] == [b"1", b"3"]
    assert getattr(modest.transport, "unrequested", 0) == 0


def own_publishes_come_back_when_subscribed(world: World) -> None:
    peer = Peer(world, f"{world.prefix}/me")
    peer.publish(f"{world.prefix}/me", b"hello")
    assert peer.read(1) == [Received(f"{world.prefix}/me", b"hello")]


def order_of_one_publisher_is_kept_across_topics(world: World) -> None:
    reader, sender = Peer(world, f"{world.prefix}/+"), Peer(world)
    for index in range(200):
        sender.publish(f"{world.prefix}/t{index % 7}", b"%d" % index)
    assert numbered(reader.read(200)) == list(range(200))


def unsubscribe_stops(world: World) -> None:
    reader, sender = Peer(world, f"{world.prefix}/a", f"{world.prefix}/b"), Peer(world)
    sender.publish(f"{world.prefix}/a", b"before")
    sender.settle()
    reader.transport.unsubscribe(f"{world.prefix}/a")
    sender.publish(f"{world.prefix}/a", b"after")
    sender.publish(f"{world.prefix}/b", b"still")
    # Whatever arrived for /a and was not yet pulled is gone too.
    assert [message.topic for message in reader.read_all(sender)] == [f"{world.prefix}/b"]


def several_are_asked_for_and_taken_back_at_once(world: World) -> None:
    sender = Peer(world)
    topics = [f"{world.prefix}/many/{index}" for index in range(120)]
    for topic in topics:
        sender.publish(topic, b"kept", retain=True)
    sender.settle()
    reader = Peer(world)
    reader.transport.subscribe(*topics)
    assert {message.topic for message in reader.read(120)} == set(topics)
    reader.transport.unsubscribe(*topics[1:])
    reader.settle()
    for topic in topics:
        sender.publish(topic, b"now")
    assert reader.read_all(sender) == [Received(topics[0], b"now")]


def unsubscribing_one_of_two_that_match_keeps_the_other(world: World) -> None:
    reader, sender = Peer(world, f"{world.prefix}/a", f"{world.prefix}/#"), Peer(world)
    reader.transport.unsubscribe(f"{world.prefix}/a")
    reader.settle()
    reader.read_all(sender)
    sender.publish(f"{world.prefix}/a", b"1")
    assert [message.payload for message in reader.read_all(sender) if message.topic.endswith("/a")] == [b"1"]


def asking_anew_at_once_is_in_force(world: World) -> None:
    reader, sender = Peer(world, f"{world.prefix}/a"), Peer(world)
    reader.transport.unsubscribe(f"{world.prefix}/a")
    reader.transport.subscribe(f"{world.prefix}/a")
    reader.settle()
    sender.publish(f"{world.prefix}/a", b"1")
    assert reader.read(1) == [Received(f"{world.prefix}/a", b"1")]


def asking_again_brings_the_retained_message_again(world: World) -> None:
    sender = Peer(world)
    sender.publish(f"{world.prefix}/r", b"1", retain=True)
    sender.settle()
    reader = Peer(world, f"{world.prefix}/r")
    assert reader.read(1) == [Received(f"{world.prefix}/r", b"1", retained=True)]
    reader.transport.subscribe(f"{world.prefix}/r")
    assert reader.read(1) == [Received(f"{world.prefix}/r", b"1", retained=True)]


def empty_retained_clears(world: World) -> None:
    early = Peer(world, f"{world.prefix}/r")
    sender = Peer(world)
    sender.publish(f"{world.prefix}/r", b"1", retain=True)
    sender.publish(f"{world.prefix}/r", b"", retain=True)
    assert [message.payload for message in early.read_all(sender)] == [b"1", b""]
    late = Peer(world, f"{world.prefix}/r")
    assert late.read_all(sender) == []


def the_newest_retained_message_wins(world: World) -> None:
    sender = Peer(world)
    for index in range(10):
        sender.publish(f"{world.prefix}/r", b"%d" % index, retain=True)
    sender.settle()
    assert numbered(Peer(world, f"{world.prefix}/r").read_all(sender)) == [9]


def the_will_is_sent_at_vanishing(world: World) -> None:
    will = Will(f"{world.prefix}/presence", b"gone")
    watcher, mortal = Peer(world, will.topic), Peer(world, will=will)
    world.vanish(mortal.transport)
    assert watcher.read(1) == [Received(will.topic, b"gone")]
    assert Peer(world, will.topic).read(1) == [Received(will.topic, b"gone", retained=True)]


def a_will_that_is_not_retained_is_not_kept(world: World) -> None:
    will = Will(f"{world.prefix}/presence", b"gone", retain=False)
    watcher, mortal = Peer(world, will.topic), Peer(world, will=will)
    world.vanish(mortal.transport)
    assert watcher.read(1) == [Received(will.topic, b"gone")]
    assert Peer(world, will.topic).read_all(watcher) == []


def no_will_is_sent_at_close(world: World) -> None:
    will = Will(f"{world.prefix}/presence", b"gone")
    watcher, sender = Peer(world, will.topic), Peer(world)
    for _ in range(5):
        Peer(world, will=will).transport.close()
    assert watcher.read_all(sender) == []
    sender.publish(will.topic, b"proof")
    assert watcher.read(1) == [Received(will.topic, b"proof")]


def what_was_published_before_close_arrives(world: World) -> None:
    reader = Peer(world, f"{world.prefix}/+/last")
    for round_number in range(3):
        sender = Peer(world)
        for index in range(200):
            sender.publish(f"{world.prefix}/{round_number}/last", b"%d" % index)
        sender.transport.close()
        assert numbered(reader.read(200)) == list(range(200))


def nothing_is_lost_in_a_burst(world: World) -> None:
    readers = [Peer(world, f"{world.prefix}/#") for _ in range(3)]
    sender = Peer(world)
    for index in range(500):
        sender.publish(f"{world.prefix}/{index}", b"%d" % index)
    sender.wait_sent()
    for reader in readers:
        found = [message for message in reader.read_all(sender) if "/settle/" not in message.topic]
        assert numbered([message for message in found if "/marker/" not in message.topic]) == list(range(500))


def a_payload_of_64_kib_stays_intact(world: World) -> None:
    payload = bytes(index * 31 % 251 for index in range(64 * 1024))
    reader = Peer(world, f"{world.prefix}/big")
    reader.publish(f"{world.prefix}/big", payload, retain=True)
    assert reader.read(1) == [Received(f"{world.prefix}/big", payload)]
    assert Peer(world, f"{world.prefix}/big").read(1) == [Received(f"{world.prefix}/big", payload, True)]


def wildcards_match_as_mqtt_says(world: World) -> None:
    p = world.prefix
    topics = [f"{p}/w", f"{p}/w/a", f"{p}/w/a/b", f"{p}/w/", f"{p}/wa"]
    expected = {
        f"{p}/w/+": [f"{p}/w/a", f"{p}/w/"],
        f"{p}/w/#": [f"{p}/w", f"{p}/w/a", f"{p}/w/a/b", f"{p}/w/"],
        f"{p}/+/a": [f"{p}/w/a"],
        f"{p}/+/+/b": [f"{p}/w/a/b"],
        f"{p}/w/+/#": [f"{p}/w/a", f"{p}/w/a/b", f"{p}/w/"],
    }
    sender = Peer(world)
    readers = {topic_filter: Peer(world, topic_filter) for topic_filter in expected}
    for topic in topics:
        sender.publish(topic, b"1")
    for topic_filter, reader in readers.items():
        assert [message.topic for message in reader.read_all(sender)] == expected[topic_filter], topic_filter


def overlapping_filters_lose_nothing(world: World) -> None:
    reader, sender = Peer(world, f"{world.prefix}/o/a", f"{world.prefix}/o/+"), Peer(world)
    sender.publish(f"{world.prefix}/o/a", b"1")
    # MQTT lets a broker deliver one copy or one for each filter that matches.
    assert set(reader.read_all(sender)) == {Received(f"{world.prefix}/o/a", b"1")}


def receive_returns_none_when_nothing_came(world: World) -> None:
    peer = Peer(world)
    assert peer.transport.receive(0) is None
    assert peer.transport.receive(0.01) is None


def all_acknowledged_means_nothing_pending(world: World) -> None:
    peer = Peer(world)
    for index in range(50):
        peer.publish(f"{world.prefix}/{index}", b"x")
    peer.wait_sent()
    assert peer.transport.pending() == 0


# -- laws of a broker that goes away and comes back


def nobody_there_is_broker_unreachable(world: World) -> None:
    world.take_away()
    client = world.make()
    with pytest.raises(BrokerUnreachable) as caught:
        client.connect(0.5)
    assert caught.value.fix is not None
    world.bring_back()
    client.connect(PATIENCE_S)
    assert client.receive(PATIENCE_S) == ConnectionChanged(True)


def an_outage_is_told_and_mended(world: World) -> None:
    peer = Peer(world, f"{world.prefix}/x", f"{world.prefix}/w/#")
    world.take_away()
    peer.read_link(False)
    peer.transport.subscribe(f"{world.prefix}/y")
    peer.transport.unsubscribe(f"{world.prefix}/x")
    world.bring_back()
    peer.read_link(True)
    for name in ("x", "w/1", "y"):
        peer.publish(f"{world.prefix}/{name}", b"1")
    assert [message.topic for message in peer.read(2)] == [f"{world.prefix}/w/1", f"{world.prefix}/y"]


def what_is_published_during_an_outage_arrives_after_in_order(world: World) -> None:
    peer = Peer(world, f"{world.prefix}/q")
    world.take_away()
    peer.read_link(False)
    for index in range(1000):
        peer.publish(f"{world.prefix}/q", b"%d" % index)
    assert peer.transport.pending() == 1000
    world.bring_back()
    assert numbered(peer.read(1000)) == list(range(1000))
    peer.wait_sent()


def a_second_outage_is_survived_too(world: World) -> None:
    peer = Peer(world, f"{world.prefix}/x")
    for index in range(2):
        world.take_away()
        peer.read_link(False)
        peer.publish(f"{world.prefix}/x", b"%d" % index)
        world.bring_back()
        assert numbered(peer.read(1)) == [index]


# -- laws of a broker that stores what it acknowledged


def a_burst_across_an_outage_is_complete(world: World) -> None:
    sender = Peer(world)
    for index in range(2000):
        if index == 700:
            world.take_away()
        sender.publish(f"{world.prefix}/s/{index}", b"%d" % index, retain=True)
        if index == 1400:
            world.bring_back()
    sender.wait_sent()
    reader = Peer(world, f"{world.prefix}/s/#")
    assert sorted(numbered(reader.read(2000))) == list(range(2000))


Law = Callable[[World], None]

LAWS: list[Law] = [
    retained_is_delivered_for_what_was_asked_and_flagged,
    a_live_message_is_not_flagged_retained,
    what_others_asked_for_is_not_delivered,
    own_publishes_come_back_when_subscribed,
    order_of_one_publisher_is_kept_across_topics,
    unsubscribe_stops,
    several_are_asked_for_and_taken_back_at_once,
    unsubscribing_one_of_two_that_match_keeps_the_other,
    asking_anew_at_once_is_in_force,
    asking_again_brings_the_retained_message_again,
    empty_retained_clears,
    the_newest_retained_message_wins,
    the_will_is_sent_at_vanishing,
    a_will_that_is_not_retained_is_not_kept,
    no_will_is_sent_at_close,
    what_was_published_before_close_arrives,
    nothing_is_lost_in_a_burst,
    a_payload_of_64_kib_stays_intact,
    wildcards_match_as_mqtt_says,
    overlapping_filters_lose_nothing,
    receive_returns_none_when_nothing_came,
    all_acknowledged_means_nothing_pending,
]
OUTAGE_LAWS: list[Law] = [
    nobody_there_is_broker_unreachable,
    an_outage_is_told_and_mended,
    what_is_published_during_an_outage_arrives_after_in_order,
    a_second_outage_is_survived_too,
]
STORAGE_LAWS: list[Law] = [a_burst_across_an_outage_is_complete]
