"""Ingest: at least once in, exactly once counted; what cannot be used is counted and never a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select
from support.packages import FLEET, MODEL, build
from support.registry import NOW, add_devices, add_version, asked_for_inputs, report
from support.wire import messages

from edgeops.core import topics
from edgeops.core.codec import Message, dump, encode, to_item
from edgeops.core.messages import (
    Event,
    Labels,
    ModelState,
    Presence,
    Receipt,
    Report,
    Sample,
    State,
)
from edgeops.core.topics import Kind
from edgeops.core.transport import Received
from edgeops.fleet.ingest import Taken, take_batch
from edgeops.registry.counts import totals
from edgeops.registry.store import open_registry
from edgeops.registry.tables import (
    CapturedSample,
    Device,
    DeviceEvent,
    DeviceModel,
    IngestCount,
    ReportWindow,
)

PACKAGE = build()
WRITTEN = {
    Kind.PRESENCE: Presence,
    Kind.STATE: State,
    Kind.EVENT: Event,
    Kind.REPORT: Report,
    Kind.LABEL: Labels,
    Kind.SAMPLE: Sample,
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory):
    opened = open_registry(tmp_path_factory.mktemp("ingest") / "registry.db", create=True)
    yield opened
    opened.close()


class Rollback(Exception):
    pass


@pytest.fixture
def session(tmp_path: Path):
    registry = open_registry(tmp_path / "registry.db", create=True)
    with registry.session() as opened:
        add_version(opened, PACKAGE)
        add_devices(opened, "a", "b")
        yield opened
    registry.close()


def said(kind: Kind, payload: bytes | Message, device: str = "a") -> Received:
    raw = payload if isinstance(payload, bytes) else encode(payload)
    return Received(topics.device(FLEET, device, kind), raw)


def take(session, *batch: Received) -> Taken:
    return take_batch(session, FLEET, list(batch), NOW)


def committed(taken: Taken, device: str = "a", boot: int = 1) -> int:
    return {(d, r.boot): r for d, r in taken.receipt_messages()}[(device, boot)].committed[MODEL]


class TestReports:
    def test_one_is_written_and_receipted(self, session) -> None:
        taken = take(session, said(Kind.REPORT, report(1)))
        assert taken.receipt_messages() == [("a", Receipt(1, {MODEL: 1}))]
        assert [(d, r.sequence) for d, r in taken.windows] == [("a", 1)]
        row = session.exec(select(ReportWindow)).one()
        assert (row.counters, row.manifest) == (encode(report(1)), PACKAGE.digest.hex())

    def test_twice_is_counted_once_and_receipted_again(self, session) -> None:
        take(session, said(Kind.REPORT, report(1)))
        taken = take(session, said(Kind.REPORT, report(1)), said(Kind.REPORT, report(1)))
        assert (taken.windows, committed(taken)) == ([], 1)
        assert len(session.exec(select(ReportWindow)).all()) == 1
        assert totals(session) == {"duplicate report": 2}

    def test_a_gap_holds_the_receipt_back_until_it_is_filled(self, session) -> None:
        assert committed(take(session, said(Kind.REPORT, report(1)))) == 1
        assert committed(take(session, said(Kind.REPORT, report(3)))) == 1
        assert committed(take(session, said(Kind.REPORT, report(4)))) == 1
        assert committed(take(session, said(Kind.REPORT, report(2)))) == 4

    def test_what_the_device_dropped_is_not_waited_for(self, session) -> None:
        assert committed(take(session, said(Kind.REPORT, report(1)))) == 1
        assert committed(take(session, said(Kind.REPORT, report(9, oldest=7)))) == 6
        assert committed(take(session, *[said(Kind.REPORT, report(n, oldest=7)) for n in (7, 8)])) == 9

    def test_boots_and_devices_have_sequences_of_their_own(self, session) -> None:
        taken = take(
            session,
            said(Kind.REPORT, report(1)),
            said(Kind.REPORT, report(1, boot=2)),
            said(Kind.REPORT, report(1), "b"),
        )
        assert len(taken.receipt_messages()) == 3

    @given(order=st.permutations(range(1, 8)), repeat=st.lists(st.integers(1, 7), max_size=4))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
    def test_in_any_order_the_receipt_never_says_more_than_is_there(self, registry, order, repeat) -> None:
        with pytest.raises(Rollback), registry.session() as session:
            add_version(session, PACKAGE)
            add_devices(session, "a")
            seen: set[int] = set()
            last = 0
            for sequence in [*order, *repeat]:
                seen.add(sequence)
                now = committed(take(session, said(Kind.REPORT, report(sequence))))
                assert now >= last
                assert now == max(n for n in range(8) if set(range(1, n + 1)) <= seen)
                last = now
            assert last == 7
            raise Rollback

    def test_an_unknown_model_is_counted_and_receipted_so_that_the_device_lets_go(self, session) -> None:
        taken = take(session, said(Kind.REPORT, report(1, manifest=bytes(8))))
        assert (taken.windows, committed(taken)) == ([], 1)
        assert totals(session) == {"report of an unknown model": 1}

    def test_a_device_with_more_models_than_a_receipt_holds_is_still_answered(self, session) -> None:
        names = [f"m{n}" for n in range(12)]
        taken = take(session, *[said(Kind.REPORT, report(1, model=name)) for name in names])
        for _, receipt in taken.receipt_messages():
            assert encode(receipt)

    def test_numbers_as_large_as_the_wire_allows(self, session) -> None:
        top = 2**32 - 1
        take(
            session,
            said(Kind.REPORT, report(top, oldest=top, boot=top, start_ms=2**64 - 1, duration_ms=2**64 - 1)),
        )
        assert session.exec(select(ReportWindow)).one().sequence == top


class TestNobodyKnows:
    def test_an_unknown_device(self, session) -> None:
        assert take(session, said(Kind.REPORT, report(1), "stranger")).receipt_messages() == []
        assert totals(session) == {"unknown device": 1}

    @pytest.mark.parametrize(
        "topic",
        [
            "",
            "x",
            "$SYS/a",
            "edgeops/v1/plant/trust",
            "edgeops/v1/other/device/a/report",
            "edgeops/v2/plant/device/a/report",
            f"edgeops/v1/plant/blob/{'0' * 64}/0",
            "edgeops/v1/plant/device/a/secret",
            "edgeops/v1/plant/device/a/desired",
        ],
    )
    def test_a_topic_that_nobody_asked_for(self, session, topic: str) -> None:
        take(session, Received(topic, b"x"), Received(topic, b"x"))
        assert totals(session) == {"unknown topic": 2}

    @pytest.mark.parametrize("kind", WRITTEN)
    @pytest.mark.parametrize(
        "payload", [b"", b"\xff", b"{}", b"\xa0", b"\x00" * 70_000], ids=lambda p: str(p[:4])
    )
    def test_what_does_not_decode(self, session, kind: Kind, payload: bytes) -> None:
        take(session, said(kind, payload), said(kind, payload))
        assert totals(session) == {f"undecodable {kind.value}": 2}
        assert session.exec(select(IngestCount)).one().device_id == "a"

    def test_the_rest_of_the_batch_is_taken(self, session) -> None:
        taken = take(session, said(Kind.REPORT, b"x"), said(Kind.REPORT, report(1)), Received("?", b""))
        assert committed(taken) == 1


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
def test_nothing_that_a_device_can_send_is_a_crash(registry, data: st.DataObject) -> None:
    kinds = st.sampled_from(list(Kind))
    raw = st.builds(said, kinds, st.binary(max_size=60), st.sampled_from("ab?c"[:2]))
    good = st.sampled_from(list(WRITTEN)).flatmap(
        lambda kind: messages(WRITTEN[kind]).map(
            lambda m: Received(topics.device(FLEET, "a", kind), dump(to_item(m)))
        )
    )
    odd = st.builds(Received, st.text(max_size=30), st.binary(max_size=20))
    known = st.builds(
        lambda sequence, boot: said(Kind.REPORT, report(sequence, boot=boot)),
        st.integers(0, 5),
        st.integers(0, 2),
    )
    batch = data.draw(st.lists(raw | good | odd | known, max_size=12))
    batch += data.draw(st.lists(st.sampled_from(batch), max_size=4)) if batch else []
    with pytest.raises(Rollback), registry.session() as session:
        add_version(session, PACKAGE)
        add_devices(session, "a", "b")
        for _, receipt in take_batch(session, FLEET, batch, NOW).receipt_messages():
            encode(receipt)
        session.flush()
        raise Rollback


class TestWhatDevicesSay:
    def test_the_will_of_an_older_session_does_not_put_a_device_offline(self, session) -> None:
        take(session, said(Kind.PRESENCE, Presence(2, True)), said(Kind.PRESENCE, Presence(1, False)))
        assert session.get(Device, "a").online
        take(session, said(Kind.PRESENCE, Presence(2, False)))
        assert not session.get(Device, "a").online

    def test_a_state_of_an_older_boot_is_counted_only(self, session) -> None:
        def state(boot: int, lifecycle: str) -> State:
            return State(
                boot, boot, "1", "litert", "linux", 2**64 - 1, {MODEL: ModelState(lifecycle, 1)}, 2**64 - 1
            )

        earlier = Event(1, 1, MODEL, 1, "IDLE", "OFFERED", "offered", None, None, 0)
        take(session, said(Kind.EVENT, earlier))
        take(session, said(Kind.STATE, state(2, "TRIAL")), said(Kind.STATE, state(1, "IDLE")))
        assert session.get(DeviceModel, ("a", MODEL)).lifecycle == "TRIAL"
        assert totals(session) == {"state of an older boot": 1}

    def test_a_lower_boot_that_was_never_heard_of_is_a_device_whose_disk_was_wiped(self, session) -> None:
        def state(boot: int, lifecycle: str) -> State:
            return State(boot, boot, "1", "litert", "linux", 0, {MODEL: ModelState(lifecycle, 1)}, 0)

        take(session, said(Kind.STATE, state(2, "TRIAL")), said(Kind.STATE, state(1, "IDLE")))
        assert session.get(DeviceModel, ("a", MODEL)).lifecycle == "IDLE"
        assert totals(session) == {"boot numbers that began anew": 1}

    def test_an_event_twice_is_one_event(self, session) -> None:
        event = Event(1, 1, MODEL, 1, "IDLE", "OFFERED", "offered")
        take(session, said(Kind.EVENT, event), said(Kind.EVENT, event))
        assert len(session.exec(select(DeviceEvent)).all()) == 1
        assert totals(session) == {"duplicate event": 1}

    def test_samples(self, session) -> None:
        asked_for_inputs(session, "a")
        sample = Sample(MODEL, PACKAGE.digest, PACKAGE.digest[:8] + bytes(12), bytes(64))
        stray = Sample(MODEL, bytes(32), bytes(19) + b"\1", bytes(64))
        take(session, *[said(Kind.SAMPLE, s) for s in (sample, sample, stray)])
        assert session.exec(select(CapturedSample)).one().tensor == bytes(64)
        assert totals(session) == {"duplicate sample": 1, "sample of an unknown model": 1}
