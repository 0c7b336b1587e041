"""The agent's side of the broker: its own topics, and nobody else's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from device_agent.config import AgentConfig
from device_agent.download import Chunk
from device_agent.patient import PatientTransport
from edgeops.core import topics
from edgeops.core.codec import Message, encode
from edgeops.core.errors import BrokerUnreachable, WireError
from edgeops.core.messages import Presence
from edgeops.core.topics import ChunkTopic, DeviceTopic, Kind
from edgeops.core.transport import ConnectionChanged, Transport, Will

CONNECT_TIMEOUT_S = 1.0


class Uplink:
    """Encodes and addresses what goes out, filters and takes apart what comes in."""

    def __init__(
        self, config: AgentConfig, session: int, transport: Callable[[Presence], Transport] | None
    ) -> None:
        self._fleet, self._device = config.fleet, config.device
        will = Presence(session, False)
        self._transport = transport(will) if transport else _mqtt(config, will)
        self._trust = topics.trust(self._fleet)
        self._reconnected = False
        self.started = False
        self.online = False
        self.overflowed = 0

    def connect(self) -> None:
        """Connect and ask for the device's own topics; raises ``BrokerUnreachable``."""
        self._transport.connect(CONNECT_TIMEOUT_S)
        self.started = True
        self._transport.subscribe(self._trust, self._topic(Kind.DESIRED), self._topic(Kind.RECEIPT))

    def receive(self, timeout: float) -> tuple[Kind | Chunk | None, bytes] | None:
        """The next arrival as (what, payload); None stands for the trust root in the first place."""
        if not self.started:
            time.sleep(timeout)  # nothing can arrive; whoever waits shall not spin
        while self.started and (incoming := self._transport.receive(timeout)) is not None:
            timeout = 0.0
            if isinstance(incoming, ConnectionChanged):
                self._reconnected = self._reconnected or (incoming.online and not self.online)
                self.online = incoming.online
                continue
            if incoming.topic == self._trust:
                return None, incoming.payload
            try:
                topic = topics.parse(incoming.topic)
            except WireError:
                continue
            match topic:
                case ChunkTopic(self._fleet, sha256, index):
                    return (sha256, index), incoming.payload
                case DeviceTopic(self._fleet, self._device, Kind.DESIRED | Kind.RECEIPT as kind):
                    return kind, incoming.payload
        return None

    def take_reconnected(self) -> bool:
        """Whether the link came up since the last call."""
        reconnected, self._reconnected = self._reconnected, False
        return reconnected

    def send(self, kind: Kind, message: Message) -> bool:
        """Publish one of the device's messages; False when too many wait for the broker already."""
        retain = kind in topics.RETAINED_BY_DEVICE
        try:
            self._transport.publish(self._topic(kind), encode(message), retain=retain)
        except BrokerUnreachable:
            self.overflowed += 1
            return False
        return True

    def ask_chunks(self, chunks: Iterable[Chunk]) -> None:
        """Subscribe to chunks, all at once."""
        self._transport.subscribe(*(topics.chunk(self._fleet, *chunk) for chunk in chunks))

    def drop_chunks(self, chunks: Iterable[Chunk]) -> None:
        """Unsubscribe from chunks, all at once."""
        self._transport.unsubscribe(*(topics.chunk(self._fleet, *chunk) for chunk in chunks))

    def close(self, goodbye: Presence) -> None:
        """Say that the device goes, then disconnect cleanly."""
        if self.started:
            self.send(Kind.PRESENCE, goodbye)
        self._transport.close()

    def _topic(self, kind: Kind) -> str:
        return topics.device(self._fleet, self._device, kind)


def _mqtt(config: AgentConfig, will: Presence) -> Transport:
    from edgeops.mqtt import MqttTransport

    topic = topics.device(config.fleet, config.device, Kind.PRESENCE)
    client = f"edgeops-{config.fleet}-{config.device}"
    return PatientTransport(MqttTransport(config.broker, client, will=Will(topic, encode(will))))
