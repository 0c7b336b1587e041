"""The seam between the program and a publish/subscribe broker, and its in-memory implementation.

A transport is pulled, never called back: ``receive`` hands out what arrived, in order, so that agents and
the control plane are single-threaded loops. ``edgeops.mqtt.MqttTransport`` is the real one. Both pass the
laws in ``tests/core/transport_laws.py``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from edgeops.core.errors import BrokerUnreachable


@dataclass(frozen=True, slots=True)
class Received:
    """One message that the broker delivered. ``retained``: it was stored before we subscribed."""

    topic: str
    payload: bytes
    retained: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """The link to the broker came up or went down; subscriptions survive: the transport renews them."""

    online: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when we vanish; frozen at connect."""

    topic: str
    payload: bytes
    retain: bool = True


Incoming = Received | ConnectionChanged


class Transport(Protocol):
    """At-least-once publish/subscribe. All methods are called from one thread."""

    def connect(self, timeout: float) -> None:
        """Connect and wait; raises ``BrokerUnreachable``. Afterwards reconnects by itself."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Queue a message, at least once; kept while the broker is away. Empty and retained clears."""

    def subscribe(self, *topic_filters: str) -> None:
        """Ask for filters (``+`` and ``#`` as in MQTT) at once; retained messages that match follow."""

    def unsubscribe(self, *topic_filters: str) -> None:
        """Take filters back at once; nothing that only they matched is handed out afterwards."""

    def receive(self, timeout: float) -> Incoming | None:
        """The next thing that arrived, or None after ``timeout`` seconds; 0 never waits."""

    def pending(self) -> int:
        """How many published messages the broker has not acknowledged yet."""

    def close(self) -> None:
        """Disconnect cleanly: the will is not sent."""


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 3.1.1 section 4.7 topic matching; a wildcard in front does not match ``$SYS`` and its like."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    pattern, levels = topic_filter.split("/"), topic.split("/")
    for index, part in enumerate(pattern):
        if part == "#":
            return True
        if index >= len(levels) or part not in ("+", levels[index]):
            return False
    return len(pattern) == len(levels)


class MemoryBroker:
    """A broker in this process: exact, synchronous, with retained messages and wills."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.online = True
        self._clients: list[MemoryTransport] = []

    def client(self, will: Will | None = None) -> MemoryTransport:
        """A transport of this broker, not yet connected."""
        return MemoryTransport(self, will)

    def attach(self, client: MemoryTransport) -> None:
        """Register a connected client."""
        self._clients.append(client)

    def detach(self, client: MemoryTransport) -> None:
        """Forget a client."""
        if client in self._clients:
            self._clients.remove(client)

    def deliver(self, topic: str, payload: bytes, retain: bool) -> None:
        """Route one message to everybody who asked for it."""
        if retain:
            if payload:
                self.retained[topic] = payload
            else:
                self.retained.pop(topic, None)
        for client in list(self._clients):
            client.offer(Received(topic, payload, False))

    def set_online(self, online: bool) -> None:
        """Take the broker away, or bring it back: clients notice, and resend what was queued."""
        self.online = online
        for client in list(self._clients):
            client.link_changed(online)


class MemoryTransport:
    """The ``Transport`` of a ``MemoryBroker``; ships so that users can test their own agents."""

    def __init__(self, broker: MemoryBroker, will: Will | None = None) -> None:
        self._broker = broker
        self._will = will
        self._filters: list[str] = []
        self._inbox: deque[Incoming] = deque()
        self._outbox: deque[tuple[str, bytes, bool]] = deque()
        self._connected = False

    def connect(self, timeout: float) -> None:
        """Connect; raises ``BrokerUnreachable`` while the broker is offline."""
        del timeout
        if not self._broker.online:
            raise BrokerUnreachable("the in-memory broker is offline", fix="call set_online(True) on it")
        self._broker.attach(self)
        self._connected = True
        self._inbox.append(ConnectionChanged(True))
        self._flush()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """See ``Transport.publish``."""
        if self._connected and self._broker.online:
            self._broker.deliver(topic, payload, retain)
        else:
            self._outbox.append((topic, payload, retain))

    def subscribe(self, *topic_filters: str) -> None:
        """See ``Transport.subscribe``."""
        for topic_filter in topic_filters:
            if topic_filter not in self._filters:
                self._filters.append(topic_filter)
            self._send_retained(topic_filter)

    def unsubscribe(self, *topic_filters: str) -> None:
        """See ``Transport.unsubscribe``."""
        self._filters = [kept for kept in self._filters if kept not in topic_filters]
        self._inbox = deque(
            item for item in self._inbox if not isinstance(item, Received) or self._wants(item.topic)
        )

    def receive(self, timeout: float) -> Incoming | None:
        """See ``Transport.receive``; never waits, since nothing else runs meanwhile."""
        del timeout
        return self._inbox.popleft() if self._inbox else None

    def pending(self) -> int:
        """See ``Transport.pending``."""
        return len(self._outbox)

    def close(self) -> None:
        """See ``Transport.close``."""
        self._broker.detach(self)
        self._connected = False

    def vanish(self) -> None:
        """Die without a goodbye: the broker publishes the will."""
        self.close()
        if self._will is not None:
            self._broker.deliver(self._will.topic, self._will.payload, self._will.retain)

    def offer(self, message: Received) -> None:
        """Called by the broker: take the message if it was asked for."""
        if self._wants(message.topic):
            self._inbox.append(message)

    def link_changed(self, online: bool) -> None:
        """Called by the broker when it goes away or comes back."""
        self._inbox.append(ConnectionChanged(online, "" if online else "broker offline"))
        if online:
            for topic_filter in list(self._filters):
                self._send_retained(topic_filter)
            self._flush()

    def _flush(self) -> None:
        while self._outbox:
            topic, payload, retain = self._outbox.popleft()
            self._broker.deliver(topic, payload, retain)

    def _wants(self, topic: str) -> bool:
        return any(matches(topic_filter, topic) for topic_filter in self._filters)

    def _send_retained(self, topic_filter: str) -> None:
        if self._connected and self._broker.online:
            for topic, payload in list(self._broker.retained.items()):
                if matches(topic_filter, topic):
                    self._inbox.append(Received(topic, payload, True))
