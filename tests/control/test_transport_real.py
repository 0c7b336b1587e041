"""``MqttTransport`` obeys the laws on a real Mosquitto and on the embedded amqtt."""

from __future__ import annotations

import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from core.transport_laws import LAWS, OUTAGE_LAWS, PATIENCE_S, STORAGE_LAWS, Law, Peer

from edgeops.control.broker import PrivateBroker
from edgeops.core.errors import BrokerUnreachable, UsageError
from edgeops.core.transport import Received, Transport, Will
from edgeops.mqtt import MqttTransport

MOSQUITTO = pytest.param("mosquitto", marks=pytest.mark.needs_mosquitto)


class RealWorld:
    """A ``World`` on a running ``PrivateBroker``."""

    def __init__(self, broker: PrivateBroker) -> None:
        self.broker = broker
        self.prefix = f"laws/{secrets.token_hex(6)}"
        self.clients: list[MqttTransport] = []

    def make(self, will: Will | None = None) -> Transport:
        client = MqttTransport(self.broker.url, f"law-{secrets.token_hex(6)}", will)
        self.clients.append(client)
        return client

    def vanish(self, client: Transport) -> None:
        assert isinstance(client, MqttTransport)
        client.vanish()

    def take_away(self) -> None:
        self.broker.stop()

    def bring_back(self) -> None:
        self.broker.start()


@pytest.fixture(scope="module", params=[MOSQUITTO, "amqtt"])
def broker(request: pytest.FixtureRequest) -> Iterator[PrivateBroker]:
    with PrivateBroker(kind=request.param) as private:
        yield private


@pytest.fixture
def world(broker: PrivateBroker) -> Iterator[RealWorld]:
    broker.start()
    real = RealWorld(broker)
    yield real
    for client in real.clients:
        client.close()


@pytest.mark.parametrize("law", LAWS + OUTAGE_LAWS, ids=lambda law: law.__name__)
def test_mqtt_transport_obeys(world: RealWorld, law: Law) -> None:
    law(world)


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("law", STORAGE_LAWS, ids=lambda law: law.__name__)
def test_mqtt_transport_on_a_storing_broker_obeys(law: Law) -> None:
    with PrivateBroker(kind="mosquitto") as private:
        real = RealWorld(private)
        law(real)
        for client in real.clients:
            client.close()


def test_a_fleet_fetches_a_blob_from_retained_chunks(world: RealWorld) -> None:
    chunks = {f"{world.prefix}/blob/{index}": secrets.token_bytes(4096) for index in range(50)}
    publisher = Peer(world)
    for topic, payload in chunks.items():
        publisher.publish(topic, payload, retain=True)
    publisher.settle()
    fleet = []
    for _ in range(20):
        device = world.make()
        device.connect(PATIENCE_S)
        fleet.append(device)
    for topic in chunks:  # interleaved, as twenty devices would
        for device in fleet:
            device.subscribe(topic)
    deadline = time.monotonic() + PATIENCE_S
    for device in fleet:
        got: dict[str, bytes] = {}
        while len(got) < len(chunks):
            assert time.monotonic() < deadline, f"{len(got)} of {len(chunks)} chunks"
            item = device.receive(0.1)
            if isinstance(item, Received):
                assert item.retained
                got[item.topic] = item.payload
        assert got == chunks
    assert [client.unrequested for client in world.clients] == [0] * 21


def text(value: str | bytes) -> bytes:
    """MQTT's string: its length in two bytes, then the bytes."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(data)) + data


def packet(kind: int, body: bytes) -> bytes:
    """One short MQTT packet: type and flags, the length in one byte, the body."""
    assert len(body) < 128
    return bytes([kind, len(body)]) + body


def raw_connect(port: int, client_id: str, will: Will, keepalive_s: int) -> socket.socket:
    """A client that says CONNECT and nothing more, as a device does whose program hangs."""
    flags = 0x02 | 0x04 | 0x08 | (0x20 if will.retain else 0)  # clean session, will, will QoS 1, will retain
    body = text("MQTT") + bytes([4, flags]) + struct.pack("!H", keepalive_s)
    body += text(client_id) + text(will.topic) + text(will.payload)
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    sock.sendall(packet(0x10, body))
    assert sock.recv(4) == b"\x20\x02\x00\x00"
    return sock


def test_what_is_said_in_one_breath_with_goodbye_is_passed_on(world: RealWorld) -> None:
    topic, will = f"{world.prefix}/t", Will(f"{world.prefix}/will", b"gone")
    reader = Peer(world, topic, will.topic)
    with raw_connect(world.broker.port, "hasty", will, keepalive_s=60) as hasty:
        publishes = [packet(0x32, text(topic) + struct.pack("!H", 1 + n) + b"%d" % n) for n in range(300)]
        hasty.sendall(b"".join(publishes) + packet(0xE0, b""))
        assert [int(message.payload) for message in reader.read(300)] == list(range(300))
    assert reader.read_all(reader) == []  # no will


def test_unsubscribe_and_subscribe_in_one_breath_keep_their_order(world: RealWorld) -> None:
    topic, sender = f"{world.prefix}/t", Peer(world)
    with raw_connect(world.broker.port, "wavers", Will("none", b""), keepalive_s=60) as wavers:
        subscribe = packet(0x82, b"\x00\x01" + text(topic) + b"\x00")
        wavers.sendall(subscribe + packet(0xA2, b"\x00\x02" + text(topic)) + subscribe)
        answers = b""
        while answers.count(b"\x90\x03\x00\x01\x00") < 2 or b"\xb0\x02\x00\x02" not in answers:
            answers += wavers.recv(100)
        sender.publish(topic, b"arrived")
        assert wavers.recv(100).endswith(b"arrived")


def test_a_client_that_hangs_is_noticed_by_its_keepalive(world: RealWorld) -> None:
    will = Will(f"{world.prefix}/presence", b"gone")
    watcher = Peer(world, will.topic)
    with raw_connect(world.broker.port, "hangs", will, keepalive_s=1):
        assert watcher.read(1) == [Received(will.topic, b"gone")]


def test_a_client_that_comes_back_has_the_last_word(world: RealWorld) -> None:
    presence = f"{world.prefix}/presence"
    watcher = Peer(world, presence)
    with raw_connect(world.broker.port, "again", Will(presence, b"gone"), keepalive_s=60):
        back = MqttTransport(world.broker.url, "again")
        world.clients.append(back)
        back.connect(PATIENCE_S)
        back.publish(presence, b"here", retain=True)
        assert [message.payload for message in watcher.read(2)] == [b"gone", b"here"]
    assert [message.payload for message in Peer(world, presence).read_all(watcher)] == [b"here"]


@pytest.mark.needs_mosquitto
def test_a_persistent_session_gets_what_it_missed() -> None:
    topic, client_id = "missed/1", secrets.token_hex(6)
    with PrivateBroker(kind="mosquitto") as private:
        world = RealWorld(private)
        first = MqttTransport(private.url, client_id, clean_session=False)
        first.connect(PATIENCE_S)
        first.subscribe(topic)
        first.publish(topic, b"settled")
        while first.receive(PATIENCE_S) != Received(topic, b"settled"):
            pass
        first.close()
        sender = Peer(world)
        sender.publish(topic, b"while away")
        sender.wait_sent()
        second = MqttTransport(private.url, client_id, clean_session=False)
        second.subscribe(topic)
        second.connect(PATIENCE_S)
        second.receive(PATIENCE_S)
        assert second.receive(PATIENCE_S) == Received(topic, b"while away")
        second.close()
        sender.transport.close()


class PushyBroker:
    """Accepts one client and at once delivers what nobody asked for; acknowledges nothing."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(b"\x20\x02\x00\x00" + b"\x30\x05\x00\x03abc" + b"\x30\x03\x00\x01\xff")
            while connection.recv(1024):
                pass

    def __enter__(self) -> PushyBroker:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.close()
        self._thread.join(PATIENCE_S)


def test_what_nobody_asked_for_is_dropped_and_counted() -> None:
    with PushyBroker() as pushy:
        client = MqttTransport(pushy.url, "modest")
        client.connect(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        arrived = []
        while client.unrequested < 2:
            assert time.monotonic() < deadline
            arrived.append(client.receive(0.02))
        assert not any(isinstance(item, Received) for item in arrived)
        client.close()


def test_closing_gives_up_on_a_broker_that_never_acknowledges() -> None:
    with PushyBroker() as pushy:
        client = MqttTransport(pushy.url, "patient")
        client.connect(PATIENCE_S)
        for _ in range(2000):
            client.publish("t", b"x")
        assert client.pending() == 2000
        client.close()
        assert client.pending() == 2000


def test_a_full_outbox_is_refused_while_there_is_no_broker() -> None:
    client = MqttTransport("mqtt://127.0.0.1:1", "full", max_queued=3)
    for _ in range(3):
        client.publish("t", b"x")
    with pytest.raises(BrokerUnreachable, match="3 messages already wait"):
        client.publish("t", b"x")
    assert client.pending() == 3


def test_a_small_outbox_waits_for_the_broker_instead(world: RealWorld) -> None:
    client = MqttTransport(world.broker.url, f"small-{secrets.token_hex(4)}", max_queued=10)
    world.clients.append(client)
    client.connect(PATIENCE_S)
    for _ in range(2000):
        client.publish(f"{world.prefix}/t", b"x")
    client.close()
    assert client.pending() == 0


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("mqtt://localhost", "localhost", 1883),
        ("mqtt://10.0.0.1:2000/", "10.0.0.1", 2000),
        ("mqtt://user:p%40ss@broker.example:1", "broker.example", 1),
        ("mqtt://[::1]:1884", "::1", 1884),
    ],
)
def test_urls(url: str, host: str, port: int) -> None:
    client = MqttTransport(url, "c")
    assert (client.host, client.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:1883", "http://h", "mqtt://", "mqtt://h:port", "mqtt://h:0", "mqtt://h:70000", "mqtt://h/x",
     "mqtt://user:secret@:1", "mqtt://[::1"],
)  # fmt: skip
def test_bad_urls_say_how_to_write_one(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        MqttTransport(url, "c")
    assert "mqtt://host:port" in (caught.value.fix or "")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0", "x" * 70_000])
def test_a_topic_that_mqtt_forbids_is_a_usage_error(topic: str) -> None:
    with pytest.raises(UsageError):
        MqttTransport("mqtt://localhost", "c").publish(topic, b"")


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a+", "#a", "a\0", "x" * 70_000])
def test_a_filter_that_mqtt_forbids_is_a_usage_error(topic_filter: str) -> None:
    with pytest.raises(UsageError):
        MqttTransport("mqtt://localhost", "c").subscribe(topic_filter)
