"""Truths of devices: judged by the report of their window, before it and after it, early and late."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select
from support.packages import FLEET, MODEL, build, observe_plan
from support.registry import NOW, add_devices, add_version, asked_for_inputs, report

from edgeops.core import topics
from edgeops.core.codec import Message, encode
from edgeops.core.messages import Captured, Labels, PredictionId, Report, Sample, Truth
from edgeops.core.topics import Kind
from edgeops.core.transport import Received
from edgeops.fleet import labels as labels_module
from edgeops.fleet.ingest import take_batch
from edgeops.fleet.labels import DAY_S, forget_held
from edgeops.fleet.manifests import Manifests
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import totals
from edgeops.registry.store import open_registry
from edgeops.registry.tables import CapturedSample, HeldLabel, IngestCount, LabelTruth

PACKAGE = build()
CLASSES = len(observe_plan().classes)


@pytest.fixture
def session(tmp_path: Path):
    registry = open_registry(tmp_path / "registry.db", create=True)
    with registry.session() as opened:
        add_version(opened, PACKAGE)
        add_devices(opened, "a", "b")
        yield opened
    registry.close()


def window(sequence: int = 1, classes: tuple[int, ...] = (6, 4), oldest: int = 1) -> Report:
    """A report of so many predictions of the first classes."""
    counted = classes + (0,) * (CLASSES - len(classes))
    return report(sequence, oldest=oldest, inferences=sum(classes), classes=counted)


def truth(index: int, predicted: int = 0, label: int = 2, sequence: int = 1, boot: int = 1) -> Truth:
    return Truth(PredictionId(PACKAGE.digest[:8], boot, sequence, index, predicted, 15).pack(), label)


def take(
    session,
    *said: Message,
    now: float = NOW,
    device: str = "a",
    days: int = 30,
    manifests: Manifests | None = None,
) -> None:
    kinds = {Report: Kind.REPORT, Labels: Kind.LABEL, Sample: Kind.SAMPLE}
    batch = [Received(topics.device(FLEET, device, kinds[type(one)]), encode(one)) for one in said]
    take_batch(session, FLEET, batch, now, days, manifests)


def labels(*truths: Truth) -> Labels:
    return Labels(MODEL, truths)


def truths(session) -> list[tuple[int, int]]:
    rows = session.exec(select(LabelTruth).order_by(LabelTruth.id)).all()
    return [(PredictionId.unpack(bytes.fromhex(row.prediction)).index, row.truth) for row in rows]


class TestBeforeTheReport:
    def test_a_truth_waits_for_the_report_of_its_window(self, session) -> None:
        take(session, labels(truth(0), truth(1)))
        assert truths(session) == []
        take(session, window())
        assert truths(session) == [(0, 2), (1, 2)]
        assert session.exec(select(HeldLabel)).all() == []
        assert totals(session) == {}

    def test_what_waited_is_judged_as_any_other(self, session) -> None:
        take(session, labels(truth(0), truth(10)), window())
        assert truths(session) == [(0, 2)]
        assert totals(session) == {"label of a prediction that was not made": 1}

    def test_it_waits_once_however_often_it_comes(self, session) -> None:
        take(session, labels(truth(0), truth(0)), labels(truth(0)), window(), labels(truth(0)))
        assert truths(session) == [(0, 2)]
        assert totals(session) == {"duplicate label": 3}

    def test_so_many_wait_of_a_device_and_no_more(self, session, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(labels_module, "MAX_HELD", 3)
        take(session, labels(*(truth(index) for index in range(5))))
        assert len(session.exec(select(HeldLabel)).all()) == 3
        assert totals(session) == {"label beyond what can wait for reports": 2}

    def test_it_does_not_wait_for_ever(self, session) -> None:
        take(session, labels(truth(0)))
        assert forget_held(session, NOW + 30 * DAY_S) == 0
        assert forget_held(session, NOW + 30 * DAY_S + 1, labels_days=0) == 0
        assert forget_held(session, NOW + 30 * DAY_S + 1) == 1
        assert totals(session) == {"label whose report never came": 1}

    def test_a_window_that_is_not_to_come_is_not_waited_for(self, session) -> None:
        take(session, window(3, oldest=3), labels(truth(0, sequence=2)))
        assert session.exec(select(HeldLabel)).all() == []
        assert totals(session) == {"label of a window that is not here": 1}


class TestLate:
    def test_thirty_days_after_the_window_came_it_is_taken_and_then_refused(self, session) -> None:
        take(session, window())
        take(session, labels(truth(0)), now=NOW + 30 * DAY_S)
        take(session, labels(truth(1)), now=NOW + 30 * DAY_S + 1)
        assert truths(session) == [(0, 2)]
        assert totals(session) == {"label that came too late": 1}

    def test_no_bound_is_none(self, session) -> None:
        take(session, window())
        take(session, labels(truth(1)), now=NOW + 3000 * DAY_S, days=0)
        assert truths(session) == [(1, 2)]


class TestRefused:
    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            (truth(10), "label of a prediction that was not made"),
            (truth(0, predicted=2), "label of a class that was not predicted"),
            (truth(0, predicted=255), "label of a class that was not predicted"),
            (truth(0, label=CLASSES), "label with a class that there is not"),
        ],
    )
    def test_what_the_window_cannot_have(self, session, said: Truth, reason: str) -> None:
        take(session, window(), labels(said, truth(1)))
        assert truths(session) == [(1, 2)]
        assert totals(session) == {reason: 1}
        assert [row.device_id for row in session.exec(select(IngestCount))] == ["a"]

    def test_an_unknown_model_and_another_one(self, session) -> None:
        stray = Truth(PredictionId(bytes(8), 1, 1, 0, 0, 15).pack(), 1)
        take(session, window(), labels(stray), Labels("other", (truth(0),)))
        assert truths(session) == []
        assert totals(session) == {"label of an unknown model": 1, "label of another model": 1}

    def test_a_second_truth_of_an_inference_under_another_id(self, session) -> None:
        take(session, window(), labels(truth(0, 0), truth(0, 1)), labels(truth(0, 1)))
        assert truths(session) == [(0, 2)]
        assert totals(session) == {"second label of an inference": 2}

    def test_the_last_sequence_that_there_is(self, session) -> None:
        last = 2**32 - 1
        take(session, window(last, oldest=last), labels(truth(0, sequence=last)))
        take(session, labels(truth(0, sequence=last)))
        assert truths(session) == [(0, 2)]

    @pytest.mark.parametrize("before", [True, False])
    def test_a_device_that_reports_more_classes_has_no_more_labels(
        self, session, tmp_path: Path, before: bool
    ) -> None:
        """Its own counters were the bound: one label that no model knows failed every retrain after it."""
        blobs = BlobStore(tmp_path / "blobs")
        blobs.put(PACKAGE.envelope)
        more = report(1, inferences=10, classes=(10,) + (0,) * 11)
        said = labels(truth(0, label=CLASSES), truth(1, label=11), truth(2, label=CLASSES - 1))
        spoken = (said, more) if before else (more, said)
        take(session, *spoken, manifests=Manifests(blobs))
        assert truths(session) == [(2, CLASSES - 1)]
        assert totals(session) == {"label with a class that there is not": 2}

    def test_one_that_reports_fewer_classes_has_no_fewer_labels(self, session, tmp_path: Path) -> None:
        blobs = BlobStore(tmp_path / "blobs")
        blobs.put(PACKAGE.envelope)
        fewer = report(1, inferences=10, classes=(10, 0))
        take(session, fewer, labels(truth(0, label=CLASSES - 1)), manifests=Manifests(blobs))
        assert truths(session) == [(0, CLASSES - 1)]

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        said=st.lists(
            st.tuples(st.integers(0, 12), st.integers(0, CLASSES), st.integers(0, CLASSES)), max_size=60
        )
    )
    def test_a_device_that_lies_never_has_more_truths_than_inferences(
        self, tmp_path_factory: pytest.TempPathFactory, said: list[tuple[int, int, int]]
    ) -> None:
        registry = open_registry(tmp_path_factory.mktemp("lies") / "registry.db", create=True)
        with registry.session() as session:
            add_version(session, PACKAGE)
            add_devices(session, "a")
            spoken = [truth(index, predicted, label) for index, predicted, label in said]
            take(session, labels(*spoken[:30]), window(), labels(*spoken[30:]))
            rows = session.exec(select(LabelTruth)).all()
            assert len(rows) <= 10
            assert sum(row.predicted == 0 for row in rows) <= 6
            assert sum(row.predicted == 1 for row in rows) <= 4
            assert len({row.prediction[32:36] for row in rows}) == len(rows)
        registry.close()


class TestWhoSaysIt:
    def known(self, session, source: str, label: int) -> LabelTruth:
        take(session, window(), labels(truth(0)))
        row = session.exec(select(LabelTruth)).one()
        row.source, row.truth, row.representative = source, label, source != "teacher"
        session.add(row)
        session.flush()
        return row

    def test_a_device_knows_better_than_a_teacher(self, session) -> None:
        row = self.known(session, "teacher", 4)
        take(session, labels(truth(0)))
        assert (row.source, row.truth, row.representative) == ("device", 2, True)
        assert totals(session) == {}

    def test_a_person_knows_better_than_a_device_and_the_difference_is_counted(self, session) -> None:
        row = self.known(session, "person", 4)
        take(session, labels(truth(0)))
        assert (row.source, row.truth) == ("person", 4)
        assert totals(session) == {"duplicate label": 1, "label that a person's differs from": 1}


class TestSamples:
    @pytest.mark.parametrize(
        ("number", "reason"), [(0, "uniform"), (1, "uncertain"), (2, "shifted"), (9, "other")]
    )
    def test_why_one_was_taken_is_kept(self, session, number: int, reason: str) -> None:
        asked_for_inputs(session, "a")
        take(session, Sample(MODEL, PACKAGE.digest, truth(0).prediction, bytes(64), number))
        assert session.exec(select(CapturedSample)).one().reason == reason

    def test_without_a_reason_it_was_drawn_uniformly_as_ever(self) -> None:
        assert Captured(Sample(MODEL, PACKAGE.digest, bytes(20), bytes(64)).reason) is Captured.UNIFORM

    def test_one_of_another_models_prediction_is_refused(self, session) -> None:
        take(session, Sample(MODEL, PACKAGE.digest, bytes(20), bytes(64)))
        assert session.exec(select(CapturedSample)).all() == []
        assert totals(session) == {"sample of a prediction of another model": 1}
