"""Desired states only ever rise; blobs go out once, unaltered."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.packages import FLEET, KEYS, MODEL, build, trust_root
from support.registry import add_devices

from edgeops.core import topics
from edgeops.core.codec import decode
from edgeops.core.errors import TrustError
from edgeops.core.messages import CapturePolicy, Desired, Receipt, ReportPolicy
from edgeops.core.signing import Role, verify
from edgeops.core.topics import Kind
from edgeops.core.transport import MemoryBroker, Received
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.publisher import Publisher
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import fact
from edgeops.registry.store import open_registry
from edgeops.registry.tables import DesiredState

PACKAGE = build()
WRITER = DesiredWriter(FLEET, KEYS[Role.DEPLOY], ReportPolicy(10, 0, 1000))
NAMED = {"manifest": PACKAGE.digest.hex(), "manifest_bytes": len(PACKAGE.envelope)}


@pytest.fixture
def session(tmp_path: Path):
    registry = open_registry(tmp_path / "registry.db", create=True)
    with registry.session() as opened:
        add_devices(opened, "a", "b")
        yield opened
    registry.close()


def document(session, device: str = "a") -> Desired:
    envelope = session.get(DesiredState, device).document
    return decode(Desired, verify(envelope, "desired", Role.DEPLOY, trust_root()))


class TestDesired:
    @given(
        changes=st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "labels": st.booleans(),
                    "capture": st.none() | st.tuples(st.integers(0, 1000), st.integers(0, 9)).map(list),
                    "manifest_bytes": st.integers(0, 3),
                },
            ),
            max_size=12,
        )
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
    def test_the_generation_rises_with_every_change_and_only_then(self, session, changes) -> None:
        row = session.get(DesiredState, "a")
        last = row.generation if row else 0
        for change in changes:
            row = session.get(DesiredState, "a")
            before = dict(row.models[MODEL]) if row else None
            now = WRITER.change(session, "a", MODEL, **change)
            same = before is not None and {**before, **change} == before
            assert now == last + (not same)
            assert document(session).generation == now
            last = now

    def test_what_was_wanted_before_stays_wanted(self, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        WRITER.change(session, "a", MODEL, labels=True, capture=[500, 10])
        WRITER.change(session, "a", "other", labels=True)
        wanted = document(session).models[MODEL]
        assert (wanted.manifest, wanted.labels, wanted.capture) == (
            PACKAGE.digest,
            True,
            CapturePolicy(500, 10),
        )
        assert set(document(session).models) == {MODEL, "other"}

    def test_it_is_for_one_device_of_one_fleet(self, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        assert (document(session).fleet, document(session).device) == (FLEET, "a")
        assert session.get(DesiredState, "b") is None

    def test_only_the_deploy_key_signs_it(self, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        with pytest.raises(TrustError):
            verify(session.get(DesiredState, "a").document, "desired", Role.RELEASE, trust_root())

    def test_a_change_is_to_be_published(self, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        row = session.get(DesiredState, "a")
        row.published = True
        WRITER.change(session, "a", MODEL, **NAMED)
        assert row.published
        WRITER.change(session, "a", MODEL, labels=True)
        assert not row.published


class Ears:
    def __init__(self, tmp_path: Path) -> None:
        self.broker = MemoryBroker()
        self.ears = self.broker.client()
        self.ears.connect(1)
        self.ears.subscribe("#")
        blobs = BlobStore(tmp_path / "blobs")
        for blob in [*PACKAGE.blobs.values(), *PACKAGE.chunks.values(), PACKAGE.envelope]:
            blobs.put(blob)
        transport = self.broker.client()
        transport.connect(1)
        self.publisher = Publisher(FLEET, transport, blobs)

    def heard(self) -> list[tuple[str, bytes]]:
        found = []
        while (incoming := self.ears.receive(0)) is not None:
            if isinstance(incoming, Received):
                found.append((incoming.topic, incoming.payload))
        return found


class TestPublisher:
    def test_a_version_goes_out_whole_unaltered_and_retained(self, tmp_path: Path) -> None:
        ears = Ears(tmp_path)
        ears.publisher.version(PACKAGE.digest.hex())
        wanted = {topics.chunk(FLEET, *chunk): data for chunk, data in PACKAGE.chunks.items()}
        assert dict(ears.heard()) == wanted
        assert ears.broker.retained == wanted

    def test_each_chunk_is_sent_once_however_many_devices_want_it(self, tmp_path: Path, session) -> None:
        ears = Ears(tmp_path)
        for device in "ab":
            WRITER.change(session, device, MODEL, **NAMED)
        assert ears.publisher.desired(session) == 2
        ears.publisher.version(PACKAGE.digest.hex())
        sent = [topic for topic, _ in ears.heard() if "/blob/" in topic]
        assert len(sent) == len(set(sent)) == len(PACKAGE.chunks)

    def test_the_version_is_there_before_anybody_is_told(self, tmp_path: Path, session) -> None:
        ears = Ears(tmp_path)
        WRITER.change(session, "a", MODEL, **NAMED)
        ears.publisher.desired(session)
        told = [topic.endswith("/desired") for topic, _ in ears.heard()]
        assert told == [False] * len(PACKAGE.chunks) + [True]

    def test_what_is_out_is_not_sent_again(self, tmp_path: Path, session) -> None:
        ears = Ears(tmp_path)
        WRITER.change(session, "a", MODEL, **NAMED)
        assert (ears.publisher.desired(session), ears.publisher.desired(session)) == (1, 0)

    def test_a_broker_that_forgot_gets_it_again(self, tmp_path: Path) -> None:
        ears = Ears(tmp_path)
        ears.publisher.version(PACKAGE.digest.hex())
        first = ears.heard()
        ears.publisher.forget()
        ears.publisher.version(PACKAGE.digest.hex())
        assert ears.heard() == first

    def test_every_byte_is_counted(self, tmp_path: Path, session) -> None:
        ears = Ears(tmp_path)
        WRITER.change(session, "a", MODEL, **NAMED)
        ears.publisher.desired(session)
        assert fact(session, "bytes_published") == {"bytes": sum(len(payload) for _, payload in ears.heard())}

    def test_receipts_and_trust_are_retained(self, tmp_path: Path) -> None:
        ears = Ears(tmp_path)
        ears.publisher.trust(b"root")
        ears.publisher.receipt("a", Receipt(1, {MODEL: 3}))
        assert set(ears.broker.retained) == {topics.trust(FLEET), topics.device(FLEET, "a", Kind.RECEIPT)}
