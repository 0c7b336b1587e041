"""The drift watch: what is replayed from the registry is what was judged live."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import Session, select
from support.packages import FLEET, build, observe_plan
from support.registry import NOW, add_devices, add_version, report

from edgeops.control.drift_watch import DriftWatch, relearned
from edgeops.control.plans import PlanShelf
from edgeops.core import topics
from edgeops.core.codec import encode
from edgeops.core.counters import counters_of
from edgeops.core.messages import Report
from edgeops.core.observe import BINS
from edgeops.core.topics import Kind
from edgeops.core.transport import Received
from edgeops.drift.detect import DEFAULT_LIMITS
from edgeops.fleet.ingest import take_batch
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import totals
from edgeops.registry.store import open_registry
from edgeops.registry.tables import AlertDevice

PACKAGE = build()
PLAN = observe_plan()


@pytest.fixture
def shelf(tmp_path: Path) -> PlanShelf:
    blobs = BlobStore(tmp_path / "blobs")
    for blob in [*PACKAGE.blobs.values(), PACKAGE.envelope]:
        blobs.put(blob)
    return PlanShelf(blobs)


@pytest.fixture
def session(tmp_path: Path):
    registry = open_registry(tmp_path / "registry.db", create=True)
    with registry.session() as opened:
        add_version(opened, PACKAGE)
        add_devices(opened, "a")
        yield opened
    registry.close()


def window(sequence: int, drifted: bool) -> Report:
    """A hundred inputs: spread like the reference, or all in the highest bin."""
    quiet = tuple(feature.reference for feature in PLAN.features)
    loud = ((0,) * (BINS - 1) + (200,),) * len(PLAN.features)
    return report(
        sequence,
        package=PACKAGE,
        inferences=200,
        observed=200,
        classes=(40,) * 5,
        confidence=(0,) * 15 + (200,),
        features=loud if drifted else quiet,
    )


def feed(session: Session, watch: DriftWatch, reports: list[Report]) -> list[int]:
    """Take and judge the reports; the sequences that raised an alert."""
    raised = []
    for one in reports:
        said = Received(topics.device(FLEET, "a", Kind.REPORT), encode(one))
        for device, seen in take_batch(session, FLEET, [said], NOW).windows:
            if watch.seen(session, device, seen, NOW) is not None:
                raised.append(seen.sequence)
    return raised


STORY = [window(n, drifted=n > 6) for n in range(1, 13)]


def test_quiet_windows_raise_nothing_and_a_change_raises_one_alert(session, shelf) -> None:
    raised = feed(session, DriftWatch(shelf, DEFAULT_LIMITS), STORY)
    assert len(raised) == 1
    assert raised[0] > 6
    row = session.exec(select(AlertDevice)).one()
    assert (row.device_id, row.sequence) == ("a", raised[0])
    assert row.shifts[0]["distance"] >= row.shifts[-1]["distance"]


@pytest.mark.parametrize("cut", range(1, len(STORY)))
def test_a_restart_anywhere_gives_the_same_alert(session, shelf, cut: int) -> None:
    first = feed(session, DriftWatch(shelf, DEFAULT_LIMITS), STORY[:cut])
    second = feed(session, DriftWatch(shelf, DEFAULT_LIMITS), STORY[cut:])
    assert first + second == [7]


def test_a_batch_that_was_not_committed_raises_its_alert_when_it_comes_again(session, shelf) -> None:
    watch = DriftWatch(shelf, DEFAULT_LIMITS)
    feed(session, watch, STORY[:6])
    session.flush()
    undone = session.begin_nested()
    assert feed(session, watch, STORY[6:8]) == [7]
    undone.rollback()  # a full disk
    watch.forget()
    assert feed(session, watch, STORY[6:8]) == [7]
    assert session.exec(select(AlertDevice)).one().sequence == 7


@pytest.mark.parametrize("lie", [{"bins": bytes(8)}, {"features": ()}, {"classes": (1,)}], ids=str)
def test_a_window_of_other_bins_is_counted_and_the_next_is_judged(
    session, shelf, lie: dict[str, object]
) -> None:
    watch = DriftWatch(shelf, DEFAULT_LIMITS)
    feed(session, watch, [*STORY[:6], report(7, package=PACKAGE, **lie)])
    assert totals(session) == {"report with other bins": 1}
    assert feed(session, watch, [window(8, drifted=True)]) == [8]


def test_a_world_that_changed_is_learned_with_the_same_bins() -> None:
    learned = relearned(PLAN, counters_of(window(1, drifted=True)))
    assert learned.digest() == PLAN.digest()
    assert learned.features[0].reference[-1] == 200
