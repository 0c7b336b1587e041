"""Publishing to a real broker: its limits, its restarts, and what it forgets."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlmodel import col, select
from support.packages import FLEET, KEYS, MODEL, TFLITE, Package, build
from support.registry import add_devices, add_version

from edgeops.control import broker as brokers
from edgeops.control.broker import PrivateBroker
from edgeops.core import topics
from edgeops.core.codec import decode
from edgeops.core.errors import BrokerUnreachable
from edgeops.core.messages import Desired, ReportPolicy
from edgeops.core.signing import Role, unverified_payload
from edgeops.core.topics import Kind
from edgeops.core.transport import Received
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.publisher import Publisher
from edgeops.fleet.transfers import Ways
from edgeops.mqtt import MqttTransport
from edgeops.mqtt_limits import BrokerLimits, broker_limits
from edgeops.registry.blobs import BlobStore
from edgeops.registry.store import Registry, open_registry
from edgeops.registry.tables import DesiredState

BLOB_BYTES = 40_000
PACKAGE = build(1, tflite=TFLITE + os.urandom(BLOB_BYTES - len(TFLITE)), chunk_bytes=4096)
BLOB = PACKAGE.manifest.artifacts[0].blob
POLICY = ReportPolicy(10, 0, 1000)

mosquitto = pytest.mark.needs_mosquitto


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch):
    """A Mosquitto with further lines in its configuration."""
    plain = brokers.mosquitto_config

    def started(*lines: str) -> PrivateBroker:
        monkeypatch.setattr(brokers, "mosquitto_config", lambda *a: plain(*a) + "\n".join(lines) + "\n")
        return PrivateBroker(kind="mosquitto")

    return started


class TestLimits:
    @mosquitto
    def test_a_broker_that_has_none(self) -> None:
        with PrivateBroker(kind="mosquitto") as broker:
            assert broker_limits(broker.url, 5) == BrokerLimits(None, True)

    @mosquitto
    def test_a_broker_that_announces_them(self, configured) -> None:
        with configured("max_packet_size 2048", "retain_available false") as broker:
            assert broker_limits(broker.url, 5) == BrokerLimits(2048, False)

    def test_a_broker_that_only_knows_mqtt_3_says_nothing(self) -> None:
        with PrivateBroker(kind="amqtt") as broker:
            assert broker_limits(broker.url, 5) == BrokerLimits()

    def test_no_broker(self) -> None:
        with pytest.raises(BrokerUnreachable, match="no MQTT broker answered"):
            broker_limits("mqtt://127.0.0.1:1", 1)


class Side:
    """A control side that publishes, and counts what it sends."""

    def __init__(self, url: str, folder: Path, packet_bytes: int | None = None) -> None:
        self.url, self.packet_bytes = url, packet_bytes
        self.blobs = BlobStore(folder / "blobs")
        for blob in [*PACKAGE.blobs.values(), *PACKAGE.chunks.values(), PACKAGE.envelope]:
            self.blobs.put(blob)
        self.registry: Registry = open_registry(folder / "registry.db", create=True)
        with self.registry.session() as session:
            add_devices(session, "a", "b")
            add_version(session, PACKAGE)
        ways = Ways(FLEET, self.blobs, packet_bytes)
        self.writer = DesiredWriter(FLEET, KEYS[Role.DEPLOY], POLICY, ways)
        self.uplink: Counter[str] = Counter()
        self.transport: MqttTransport | None = None
        self.start()

    def start(self) -> None:
        """A new process on the same registry."""
        if self.transport is not None:
            self.transport.close()
        side = self

        class Counting(MqttTransport):
            def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
                side.uplink[topic.split("/")[-2]] += len(payload)
                super().publish(topic, payload, retain=retain)

        self.transport = Counting(self.url, "control")
        self.transport.connect(10)
        self.publisher = Publisher(FLEET, self.transport, self.blobs, self.packet_bytes)

    def want(self, package: Package, *devices: str) -> None:
        with self.registry.session() as session:
            for device in devices:
                digest, size = package.digest.hex(), len(package.envelope)
                self.writer.change(session, device, MODEL, manifest=digest, manifest_bytes=size)

    def turn(self) -> None:
        assert self.transport is not None
        while (incoming := self.transport.receive(0.02)) is not None:
            self.publisher.take(incoming)
        with self.registry.session() as session:
            self.publisher.desired(session, time.time())

    def settle(self) -> None:
        """Turn until everything is published and noted."""
        unpublished = select(DesiredState).where(col(DesiredState.published).is_(False))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.turn()
            with self.registry.reading() as session:
                if session.exec(unpublished).first() is None:
                    return
        raise AssertionError("it was never published")

    def quiet(self) -> int:
        """How many bytes a few more turns send."""
        before = self.uplink.total()
        for _ in range(10):
            self.turn()
        return self.uplink.total() - before

    def close(self) -> None:
        assert self.transport is not None
        self.transport.close()
        self.registry.close()


@pytest.fixture
def start(tmp_path: Path):
    sides: list[Side] = []

    def started(url: str, packet_bytes: int | None = None) -> Side:
        sides.append(Side(url, tmp_path, packet_bytes))
        return sides[-1]

    yield started
    for side in sides:
        side.close()


def retained(url: str, topic_filter: str) -> dict[str, bytes]:
    """What the broker gives to somebody who asks for a filter."""
    ears = MqttTransport(url, "ears")
    ears.connect(10)
    ears.subscribe(topic_filter)
    found = {}
    while (incoming := ears.receive(0.5)) is not None:
        if isinstance(incoming, Received):
            found[incoming.topic] = incoming.payload
    ears.close()
    return found


def blob_at(url: str, sha256: str) -> bytes:
    """A blob as the broker has it, its chunks put together."""
    found = retained(url, f"{topics.ROOT}/{FLEET}/blob/{sha256}/+")
    return b"".join(found[topics.chunk(FLEET, sha256, index)] for index in range(len(found)))


@mosquitto
class TestUplink:
    def test_a_blob_is_sent_once_for_all_devices_and_restarts_of_the_control_side(self, start) -> None:
        with PrivateBroker(kind="mosquitto") as broker:
            side = start(broker.url)
            for device in ("a", "b"):
                side.want(PACKAGE, device)
                side.settle()
                side.start()
            side.quiet()
            assert side.uplink[BLOB.hex] == BLOB.size == BLOB_BYTES
            assert hashlib.sha256(blob_at(broker.url, BLOB.hex)).digest() == BLOB.sha256

    def test_a_broker_that_stops_and_starts_with_its_store_is_sent_nothing(self, start) -> None:
        with PrivateBroker(kind="mosquitto") as broker:
            side = start(broker.url)
            side.want(PACKAGE, "a")
            side.settle()
            broker.stop()
            broker.start()
            side.quiet()
            assert side.uplink[BLOB.hex] == BLOB_BYTES
            assert hashlib.sha256(blob_at(broker.url, BLOB.hex)).digest() == BLOB.sha256

    @pytest.mark.parametrize("control_is_up", [True, False])
    def test_a_broker_that_is_killed_and_lost_its_memory_is_sent_all_of_it(
        self, start, control_is_up: bool
    ) -> None:
        with PrivateBroker(kind="mosquitto") as broker:
            side = start(broker.url)
            side.want(PACKAGE, "a", "b")
            side.settle()
            before = retained(broker.url, f"{topics.ROOT}/{FLEET}/#")
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGKILL)
            broker.stop()
            for stored in broker.folder.glob("*.db"):
                stored.unlink()
            broker.start()
            if not control_is_up:
                side.start()
            deadline = time.monotonic() + 20
            marker = topics.published(FLEET)
            while time.monotonic() < deadline:
                side.turn()
                after = retained(broker.url, f"{topics.ROOT}/{FLEET}/#")
                if after.keys() == before.keys():
                    break
            assert {k: v for k, v in after.items() if k != marker} == {
                k: v for k, v in before.items() if k != marker
            }


@mosquitto
class TestSmallPackets:
    def test_the_chunks_adapt_to_what_the_broker_announces(self, start, configured) -> None:
        with configured("max_packet_size 1600") as broker:
            side = start(broker.url, broker_limits(broker.url, 5).packet_bytes)
            side.want(PACKAGE, "a")
            side.settle()
            document = retained(broker.url, topics.device(FLEET, "a", Kind.DESIRED)).popitem()[1]
            wanted = decode(Desired, unverified_payload(document)).models[MODEL]
            (way,) = [transfer for transfer in wanted.transfers if transfer.target == BLOB.sha256]
            assert way.blob.chunk_bytes < BLOB.chunk_bytes
            assert hashlib.sha256(blob_at(broker.url, BLOB.hex)).digest() == BLOB.sha256
            listing = blob_at(broker.url, way.blob.chunk_list.hex())
            assert len(listing) == 32 * way.blob.chunks

    def test_what_was_desired_before_the_limit_is_not_sent_and_the_reason_is_told(
        self, start, configured
    ) -> None:
        with configured("max_packet_size 1600") as broker:
            side = start(broker.url, 1600)
            careless = DesiredWriter(FLEET, KEYS[Role.DEPLOY], POLICY)
            with side.registry.session() as session:
                careless.change(session, "a", MODEL, manifest=PACKAGE.digest.hex())
            while side.publisher.trouble is None:
                side.turn()
            assert "the broker takes 1600" in side.publisher.trouble
            assert retained(broker.url, topics.device(FLEET, "a", Kind.DESIRED)) == {}
            with side.registry.session() as session:
                assert side.writer.refresh(session) == []
            side.settle()
            assert hashlib.sha256(blob_at(broker.url, BLOB.hex)).digest() == BLOB.sha256
