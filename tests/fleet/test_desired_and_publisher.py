"""Desired states only ever rise; blobs go out once, unaltered."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select
from support.packages import FLEET, KEYS, MODEL, trust_root
from support.publishing import CHUNKS, NAMED, OTHER, PACKAGE, UPLINK, WRITER, Side
from support.registry import NOW, add_devices

from edgeops.core import topics
from edgeops.core.codec import decode
from edgeops.core.errors import DoesNotFit, TrustError, WireError
from edgeops.core.manifest import BlobRef, blob_ref
from edgeops.core.messages import CapturePolicy, Desired, Receipt, ReportPolicy, Transfer
from edgeops.core.signing import Role, verify
from edgeops.core.topics import Kind
from edgeops.core.transport import MemoryBroker
from edgeops.fleet.desired import DesiredWriter
from edgeops.registry.counts import fact
from edgeops.registry.store import open_registry
from edgeops.registry.tables import BlobPublication, DesiredState


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

    def test_a_rollout_says_how_a_device_takes_a_version(self, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED, shadow_inferences=7, attempt=2, spread_ms=60_000)
        wanted = document(session).models[MODEL]
        assert (wanted.shadow_inferences, wanted.attempt, wanted.spread_ms) == (7, 2, 60_000)

    def test_a_fleet_whose_truths_are_wanted_is_told_so_and_one_whose_are_not_any_more(self, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        WRITER.change(session, "b", MODEL, **NAMED, labels=True)  # a drift alert asks for them
        said = []
        for labels in (True, False):
            DesiredWriter(FLEET, KEYS[Role.DEPLOY], ReportPolicy(10, 0, 1000), labels=labels).refresh(session)
            said.append([document(session, device).models[MODEL].labels for device in ("a", "b")])
        assert said == [[True, True], [False, True]]
        assert document(session, "a").generation == 3
        assert document(session, "b").generation == 1

    def test_the_same_again_is_no_change(self, session) -> None:
        how = {**NAMED, "shadow_inferences": 7, "attempt": 2, "spread_ms": 60_000, "daily_bytes": 5}
        first = WRITER.change(session, "a", MODEL, **how)
        assert WRITER.change(session, "a", MODEL, **how) == first

    def test_the_strictest_budget_of_its_models_holds_for_a_device(self, session) -> None:
        for model, budget in (("one", 0), ("two", 5000), ("three", 2000)):
            WRITER.change(session, "a", model, daily_bytes=budget)
        assert document(session).daily_bytes == 2000

    def test_a_budget_that_is_taken_back_bounds_nothing(self, session) -> None:
        WRITER.change(session, "a", MODEL, daily_bytes=2000)
        WRITER.change(session, "a", MODEL, daily_bytes=0)
        assert document(session).daily_bytes == 0

    def test_what_is_out_of_bounds_changes_nothing(self, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        with pytest.raises(WireError, match="attempt"):
            WRITER.change(session, "a", MODEL, attempt=70_000)
        assert document(session).models[MODEL].attempt == 0

    def test_a_document_that_no_device_takes_is_refused_with_both_numbers(self, session) -> None:
        def transfers(model: int) -> tuple[Transfer, ...]:
            ref = BlobRef(bytes([model]) * 32, 100_000, 256, bytes(32))
            return tuple(Transfer(bytes([model, part]) * 16, ref) for part in range(4))

        with pytest.raises(DoesNotFit, match="devices take 4096") as refused:
            for model in range(8):
                WRITER.change(session, "a", f"model-{model}", **NAMED, transfers=transfers(model))
        assert refused.value.fields["needed"] > refused.value.fields["available"] == 4096
        assert f"model-{model}" not in document(session).models

    def test_patches_give_way_before_a_document_is_too_long(self, session) -> None:
        for model in range(8):
            ref = BlobRef(bytes([model]) * 32, 100_000, 256, bytes(32))
            ways = tuple(Transfer(bytes([part]) * 32, ref, bytes(32), "difference") for part in range(4))
            WRITER.change(session, "a", f"model-{model}", **NAMED, transfers=ways)
        assert len(document(session).models) == 8


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return Side(tmp_path)


class TestLostPatch:
    """A patch that the store lost keeps no device from its desired state: it fetches the whole blob."""

    PATCH = b"a patch that will be lost" * 3

    def offered(self, side: Side, session, device: str, patch: bytes = PATCH) -> None:
        ref, listing = blob_ref(patch, 16)
        side.blobs.put(patch)
        if listing is not None:
            side.blobs.put(listing)
        whole = PACKAGE.manifest.artifacts[0].blob
        transfer = Transfer(whole.sha256, ref, b"\x22" * 32, "difference")
        WRITER.change(session, device, MODEL, **NAMED, transfers=(transfer,))

    def transfers(self, session, device: str) -> int:
        return len(document(session, device).models[MODEL].transfers)

    @pytest.mark.parametrize("lost", ["patch", "chunk list", "altered"])
    def test_a_patch_that_is_lost_is_offered_no_more(self, side: Side, session, lost: str) -> None:
        self.offered(side, session, "a")
        self.offered(side, session, "b", b"another patch, which is there" * 3)
        ref, _ = blob_ref(self.PATCH, 16)
        assert ref.chunk_list is not None
        path = side.blobs._path(ref.chunk_list.hex() if lost == "chunk list" else ref.hex)
        path.write_bytes(b"x") if lost == "altered" else path.unlink()
        assert side.turn(session) == 1
        assert side.publisher.trouble is not None
        WRITER.refresh(session, side.blobs)
        assert side.turn(session) == 1
        assert side.publisher.trouble is None
        assert topics.device(FLEET, "a", Kind.DESIRED) in side.broker.retained
        assert (self.transfers(session, "a"), self.transfers(session, "b")) == (0, 1)

    def test_what_is_published_stays_as_it_is(self, side: Side, session) -> None:
        self.offered(side, session, "a")
        side.turn(session)
        before = session.get(DesiredState, "a").generation
        side.blobs._path(blob_ref(self.PATCH, 16)[0].hex).unlink()
        WRITER.refresh(session, side.blobs)
        assert (session.get(DesiredState, "a").generation, self.transfers(session, "a")) == (before, 1)


class TestPublisher:
    def test_a_version_goes_out_whole_unaltered_and_retained(self, side: Side, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        side.turn(session)
        assert dict(side.chunks()) == CHUNKS == side.retained()

    def test_each_chunk_is_sent_once_however_many_devices_want_it(self, side: Side, session) -> None:
        for device in "ab":
            WRITER.change(session, device, MODEL, **NAMED)
        assert side.turn(session) == 2
        sent = [topic for topic, _ in side.chunks()]
        assert len(sent) == len(set(sent)) == len(PACKAGE.chunks)

    def test_the_uplink_is_the_version_once_however_often_the_control_side_starts(
        self, side: Side, session
    ) -> None:
        sent = 0
        for device in ("a", "b", "a"):
            WRITER.change(session, device, MODEL, **NAMED, attempt=sent)
            side.turn(session)
            sent += sum(len(payload) for _, payload in side.chunks())
            side.start()
        side.turn(session)
        assert (sent, side.heard()) == (UPLINK, [])

    def test_the_version_is_there_before_anybody_is_told(self, side: Side, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        side.turn(session)
        told = [topic.endswith("/desired") for topic, _ in side.heard()]
        assert told == [False] * len(PACKAGE.chunks) + [True]

    def test_what_is_out_is_not_sent_again(self, side: Side, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        assert (side.turn(session), side.turn(session)) == (1, 0)

    def test_nothing_is_published_before_the_broker_said_what_it_has(self, side: Side, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        assert side.publisher.desired(session, NOW) == 0
        assert side.heard() == []

    def test_a_broker_that_does_not_let_us_hear_ourselves_is_published_to_all_the_same(
        self, side: Side, session
    ) -> None:
        side.broker = side.transport._broker = Deaf()
        side.start()
        WRITER.change(session, "a", MODEL, **NAMED)
        assert side.turn(session, NOW) == 0
        assert side.turn(session, NOW + 6) == 1
        assert session.get(DesiredState, "a").published

    def test_it_counts_as_published_only_when_the_broker_has_it(self, side: Side, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        side.listen()
        side.publisher.desired(session, NOW)
        session.commit()
        assert not session.get(DesiredState, "a").published
        assert {row.published_at for row in session.exec(select(BlobPublication))} == {0.0}
        side.turn(session)
        assert session.get(DesiredState, "a").published
        rows = session.exec(select(BlobPublication)).all()
        assert sum(row.bytes for row in rows) == UPLINK
        assert sum(row.chunks for row in rows) == len(CHUNKS)

    def test_a_process_killed_after_it_sent_and_before_it_noted_it_sends_that_again(
        self, side: Side, session
    ) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        session.commit()
        side.listen()
        side.publisher.desired(session, NOW)
        session.rollback()
        side.start()
        assert side.turn(session) == 1
        assert side.retained() == CHUNKS
        assert session.get(DesiredState, "a").published

    def test_the_batch_that_was_cut_off_is_sent_again_and_nothing_else(self, side: Side, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        side.turn(session)
        WRITER.change(session, "b", MODEL, **NAMED)
        session.commit()
        side.listen()
        side.publisher.desired(session, NOW)
        session.commit()
        side.start()
        side.heard()
        assert side.turn(session) == 1
        assert [topic for topic, _ in side.heard()] == [topics.device(FLEET, "b", Kind.DESIRED)]

    def test_a_missing_blob_holds_nobody_else_up(self, side: Side, session) -> None:
        WRITER.change(session, "a", MODEL, manifest="ab" * 32, manifest_bytes=9)
        WRITER.change(session, "b", MODEL, **NAMED)
        side.listen()
        assert side.publisher.desired(session, NOW) == 1
        assert "abababababab" in (side.publisher.trouble or "")
        assert topics.device(FLEET, "b", Kind.DESIRED) in side.broker.retained
        side.store(OTHER)
        WRITER.change(session, "a", MODEL, manifest=OTHER.digest.hex())
        side.turn(session)
        assert side.publisher.trouble is None

    def test_every_byte_is_counted(self, side: Side, session) -> None:
        WRITER.change(session, "a", MODEL, **NAMED)
        side.turn(session)
        marker = len(side.broker.retained[topics.published(FLEET)])
        heard = sum(len(payload) for _, payload in side.heard())
        assert fact(session, "bytes_published") == {"bytes": heard + marker}

    def test_receipts_and_trust_are_retained(self, side: Side) -> None:
        side.publisher.trust(b"root")
        side.publisher.receipt("a", Receipt(1, {MODEL: 3}))
        assert set(side.broker.retained) == {topics.trust(FLEET), topics.device(FLEET, "a", Kind.RECEIPT)}


class Deaf(MemoryBroker):
    """Lets nobody hear the topic by which publishers hear themselves, as an access list may."""

    def deliver(self, topic: str, payload: bytes, retain: bool) -> None:
        if not topic.endswith("/published"):
            super().deliver(topic, payload, retain)
