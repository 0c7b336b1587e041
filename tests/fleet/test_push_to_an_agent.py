"""What the control side publishes, taken by a real agent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from support.packages import (
    DEVICE,
    FLEET,
    KEYS,
    MODEL,
    TFLITE,
    Bench,
    Package,
    build,
    enrol,
    image,
    poll_until_quiet,
)
from support.registry import NOW, add_devices, add_version

from edgeops.core import topics
from edgeops.core.messages import ReportPolicy
from edgeops.core.signing import Role
from edgeops.core.topics import Kind
from edgeops.core.transport import Received
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.ingest import take_batch
from edgeops.fleet.publisher import Publisher
from edgeops.fleet.transfers import Ways
from edgeops.registry.blobs import BlobStore
from edgeops.registry.store import open_registry
from edgeops.registry.tables import DesiredState, DeviceModel

REST = np.random.default_rng(0).bytes(20_000)  # an interpreter does not look at what follows the tables
OLD = build(1, tflite=TFLITE + REST, chunk_bytes=4096)
NEW = build(2, tflite=TFLITE + REST[:9000] + b"other weights" + REST[9013:], chunk_bytes=4096)


class Push:
    """A control side and one agent on a broker in memory."""

    def __init__(self, folder: Path, packet_bytes: int | None = None) -> None:
        self.bench = Bench(enrol(folder / DEVICE))
        self.registry = open_registry(folder / "registry.db", create=True)
        self.blobs = BlobStore(folder / "blobs")
        for package in (OLD, NEW):
            for blob in [*package.blobs.values(), *package.chunks.values(), package.envelope]:
                self.blobs.put(blob)
        with self.registry.session() as session:
            add_devices(session, DEVICE)
            for package in (OLD, NEW):
                add_version(session, package)
        ways = Ways(FLEET, self.blobs, packet_bytes)
        self.writer = DesiredWriter(FLEET, KEYS[Role.DEPLOY], ReportPolicy(10, 0, 1000), ways)
        self.transport = self.bench.control.broker.client()
        self.transport.connect(1)
        self.transport.subscribe(topics.every_device(FLEET, Kind.STATE))
        self.publisher = Publisher(FLEET, self.transport, self.blobs, packet_bytes)
        self.agent = self.bench.start()

    def turn(self) -> None:
        """One turn of the control side."""
        batch = []
        while (incoming := self.transport.receive(0)) is not None:
            if not self.publisher.take(incoming) and isinstance(incoming, Received):
                batch.append(incoming)
        with self.registry.session() as session:
            take_batch(session, FLEET, batch, NOW)
        with self.registry.session() as session:
            self.publisher.desired(session, NOW)

    def roll_out(self, package: Package) -> int:
        """Until the agent has confirmed it; the bytes that it fetched for it."""
        with self.registry.session() as session:
            digest, size = package.digest.hex(), len(package.envelope)
            self.writer.change(session, DEVICE, MODEL, manifest=digest, manifest_bytes=size)
        before = self.bench.control.state().received_bytes
        for _ in range(4):
            self.turn()
            poll_until_quiet(self.agent)
        for seed in range(6):
            self.bench.clock.sleep(1)
            self.agent.predict(image(seed))
        self.agent.poll()
        self.turn()
        with self.registry.reading() as session:
            assert session.get_one(DeviceModel, (DEVICE, MODEL)).confirmed == package.digest.hex()
        return self.bench.control.state().received_bytes - before

    def ways(self) -> list[dict[str, object]]:
        with self.registry.reading() as session:
            return list(session.get_one(DesiredState, DEVICE).models[MODEL].get("transfers", []))

    def close(self) -> None:
        self.agent.close()
        self.registry.close()


@pytest.fixture
def start(tmp_path: Path):
    pushes: list[Push] = []

    def started(packet_bytes: int | None = None) -> Push:
        pushes.append(Push(tmp_path, packet_bytes))
        return pushes[-1]

    yield started
    for push in pushes:
        push.close()


def test_an_update_costs_the_device_the_blob_and_its_lists_or_only_a_patch(start) -> None:
    push = start()
    size = OLD.manifest.artifacts[0].blob.size
    assert size <= push.roll_out(OLD)
    patched = push.roll_out(NEW)
    (way,) = push.ways()
    assert way["base"] == OLD.manifest.artifacts[0].blob.hex
    assert patched < 0.1 * size


def test_a_patch_that_somebody_overwrote_falls_back_to_the_whole_blob(start) -> None:
    push = start()
    push.roll_out(OLD)
    with push.registry.session() as session:
        digest, size = NEW.digest.hex(), len(NEW.envelope)
        push.writer.change(session, DEVICE, MODEL, manifest=digest, manifest_bytes=size)
    push.turn()
    (way,) = push.ways()
    # somebody writes to an open broker what is no patch
    push.transport.publish(topics.chunk(FLEET, str(way["sha256"]), 0), b"rubbish", retain=True)
    for _ in range(8):
        push.bench.wait(push.agent, 70)
        poll_until_quiet(push.agent)
    for seed in range(6):
        push.bench.clock.sleep(1)
        push.agent.predict(image(seed))
    push.agent.poll()
    push.turn()
    with push.registry.reading() as session:
        assert session.get_one(DeviceModel, (DEVICE, MODEL)).confirmed == NEW.digest.hex()


def test_an_agent_behind_a_broker_with_small_packets_takes_the_chunks_that_fit(start) -> None:
    push = start(1600)
    push.roll_out(OLD)
    assert {len(p) for t, p in push.bench.control.broker.retained.items() if "/blob/" in t} <= set(
        range(1600)
    )
    blob = OLD.manifest.artifacts[0].blob
    (held,) = [p for p in (push.bench.config.data / "models").rglob(blob.hex) if p.is_file()]
    assert hashlib.sha256(held.read_bytes()).digest() == blob.sha256
