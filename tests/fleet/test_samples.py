"""Captured inputs of devices: kept where they were asked for and can be inputs of the version that they name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session, select
from support.packages import FLEET, KEYS, MODEL, build
from support.registry import NOW, add_devices, add_version, asked_for_inputs

from edgeops.core import topics
from edgeops.core.codec import encode
from edgeops.core.messages import CapturePolicy, PredictionId, ReportPolicy, Sample
from edgeops.core.signing import Role
from edgeops.core.topics import Kind
from edgeops.core.transport import Received
from edgeops.fleet.capturing import capture_as_plain
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.ingest import take_batch
from edgeops.fleet.manifests import Manifests
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import totals
from edgeops.registry.store import open_registry
from edgeops.registry.tables import CapturedSample, DesiredState, IngestCount

PACKAGE = build()
SIZE = 64  # values of the tiny model's input


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path / "blobs")
    store.put(PACKAGE.envelope)
    return store


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    registry = open_registry(tmp_path / "registry.db", create=True)
    with registry.session() as opened:
        add_version(opened, PACKAGE)
        add_devices(opened, "a", "b")
        yield opened
    registry.close()


def sample(index: int, size: int = SIZE) -> Sample:
    prediction = PredictionId(PACKAGE.digest[:8], 1, 1, index, 0, 15).pack()
    return Sample(MODEL, PACKAGE.digest, prediction, bytes(size))


def take(session: Session, blobs: BlobStore, *said: Sample, device: str = "a") -> None:
    batch = [Received(topics.device(FLEET, device, Kind.SAMPLE), encode(one)) for one in said]
    take_batch(session, FLEET, batch, NOW, manifests=Manifests(blobs))


def kept(session: Session) -> int:
    return len(session.exec(select(CapturedSample)).all())


@pytest.mark.parametrize("size", [1, SIZE - 1, SIZE + 1, 4 * SIZE])
def test_one_of_another_size_is_refused_and_counted_by_its_device(
    session: Session, blobs: BlobStore, size: int
) -> None:
    """It was kept, and every retrain of the version failed on it for good."""
    asked_for_inputs(session, "a")
    take(session, blobs, sample(0, size), sample(1))
    assert (kept(session), totals(session)) == (1, {"sample of another size": 1})
    assert [row.device_id for row in session.exec(select(IngestCount))] == ["a"]


def test_what_nobody_asked_for_is_refused(session: Session, blobs: BlobStore) -> None:
    asked_for_inputs(session, "a")
    take(session, blobs, sample(0), device="b")
    session.add(DesiredState(device_id="b", generation=1, document=b"", models={MODEL: {"labels": True}}))
    session.flush()
    take(session, blobs, sample(1), device="b")
    assert (kept(session), totals(session)) == (0, {"sample that nobody asked for": 2})


def test_one_whose_manifest_is_lost_cannot_be_judged(session: Session, tmp_path: Path) -> None:
    asked_for_inputs(session, "a")
    take(session, BlobStore(tmp_path / "empty"), sample(0))
    assert (kept(session), totals(session)) == (0, {"sample of a version whose manifest is lost": 1})


class TestTheBudget:
    @pytest.fixture
    def writer(self) -> DesiredWriter:
        return DesiredWriter(FLEET, KEYS[Role.DEPLOY], ReportPolicy(10, 0, 1000))

    def order(self, session: Session, writer: DesiredWriter, budget: int | None) -> None:
        capture = None if budget is None else capture_as_plain(CapturePolicy(1000, budget))
        writer.change(session, "a", MODEL, capture=capture)

    def test_bounds_what_is_kept_of_a_device(
        self, session: Session, blobs: BlobStore, writer: DesiredWriter
    ) -> None:
        self.order(session, writer, 3)
        take(session, blobs, *(sample(index) for index in range(5)))
        assert (kept(session), totals(session)) == (3, {"sample beyond the budget": 2})

    def test_what_was_on_its_way_when_the_order_ended_is_taken(
        self, session: Session, blobs: BlobStore, writer: DesiredWriter
    ) -> None:
        self.order(session, writer, 3)
        take(session, blobs, sample(0))
        self.order(session, writer, None)
        take(session, blobs, *(sample(index) for index in range(1, 9)))
        assert (kept(session), totals(session)) == (3, {"sample beyond the budget": 6})

    def test_another_order_is_another_budget(
        self, session: Session, blobs: BlobStore, writer: DesiredWriter
    ) -> None:
        for turn in range(2):
            self.order(session, writer, 3)
            take(session, blobs, *(sample(turn * 5 + index) for index in range(5)))
            self.order(session, writer, None)
        assert (kept(session), totals(session)) == (6, {"sample beyond the budget": 4})

    def test_the_same_order_again_is_none(
        self, session: Session, blobs: BlobStore, writer: DesiredWriter
    ) -> None:
        for turn in range(3):
            self.order(session, writer, 2)
            take(session, blobs, sample(turn))
        assert (kept(session), totals(session)) == (2, {"sample beyond the budget": 1})
