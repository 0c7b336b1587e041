"""A control side that publishes to a broker in memory, and somebody who listens to everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlmodel import Session

from edgeops.core import topics
from edgeops.core.messages import ReportPolicy
from edgeops.core.signing import Role
from edgeops.core.transport import MemoryBroker, Received
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.publisher import Publisher
from edgeops.registry.blobs import BlobStore
from support.packages import FLEET, KEYS, Package, build, self_test
from support.registry import NOW

PACKAGE = build()
OTHER = build(2, vectors=self_test(flip=True))  # shares the model, not the self-test
WRITER = DesiredWriter(FLEET, KEYS[Role.DEPLOY], ReportPolicy(10, 0, 1000))
NAMED: dict[str, Any] = {"manifest": PACKAGE.digest.hex(), "manifest_bytes": len(PACKAGE.envelope)}
CHUNKS = {topics.chunk(FLEET, *chunk): data for chunk, data in PACKAGE.chunks.items()}
UPLINK = sum(len(data) for data in CHUNKS.values())


class Side:
    """A control side on a broker in memory, and somebody who listens to everything."""

    def __init__(self, folder: Path, broker: MemoryBroker | None = None, **options: Any) -> None:
        self.broker = broker or MemoryBroker()
        self.ears = self.broker.client()
        self.ears.connect(1)
        self.ears.subscribe("#")
        self.heard()
        self.blobs = BlobStore(folder / "blobs")
        self.store(PACKAGE)
        self.options = options
        self.start()

    def store(self, package: Package) -> None:
        for blob in [*package.blobs.values(), *package.chunks.values(), package.envelope]:
            self.blobs.put(blob)

    def start(self) -> None:
        """A new process on the same registry, store and broker."""
        self.transport = self.broker.client()
        self.transport.connect(1)
        self.publisher = Publisher(FLEET, self.transport, self.blobs, **self.options)

    def listen(self) -> None:
        while (incoming := self.transport.receive(0)) is not None:
            self.publisher.take(incoming)

    def turn(self, session: Session, now: float = NOW) -> int:
        """One turn of the loop; what came back is taken by the next."""
        self.listen()
        sent = self.publisher.desired(session, now)
        session.commit()
        self.listen()
        self.publisher.desired(session, now)
        session.commit()
        return sent

    def sweep(self, session: Session, now: float) -> int:
        self.listen()
        cleared = self.publisher.sweep(session, now)
        session.commit()
        return cleared

    def heard(self) -> list[tuple[str, bytes]]:
        """What came since the last call, but for the probes and markers by which the publisher hears itself."""
        found = []
        while (incoming := self.ears.receive(0)) is not None:
            if isinstance(incoming, Received) and not (
                incoming.retained or incoming.topic.endswith("/published")
            ):
                found.append((incoming.topic, incoming.payload))
        return found

    def chunks(self) -> list[tuple[str, bytes]]:
        return [(topic, payload) for topic, payload in self.heard() if "/blob/" in topic]

    def retained(self) -> dict[str, bytes]:
        return {topic: payload for topic, payload in self.broker.retained.items() if "/blob/" in topic}
