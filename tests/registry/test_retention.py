"""What is old goes, what is still needed stays, and no number of a window or a label is given twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlmodel import Session, SQLModel, select
from support.old_registry import migrate, put
from support.packages import MODEL, build
from support.registry import NOW, add_devices, add_version

from edgeops.registry.retention import DAY_S, KEPT_EVENTS, KEPT_WINDOWS, delete_old
from edgeops.registry.store import Registry, open_registry
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    CapturedSample,
    DeviceEvent,
    LabelTruth,
    ReceiptState,
    ReportWindow,
    Retrain,
)

FIRST, SECOND = build(1), build(2)
KEEP_DAYS = 30
BEFORE = NOW - KEEP_DAYS * DAY_S
OLD = BEFORE - 1.0


@pytest.fixture
def registry(tmp_path: Path):
    opened = open_registry(tmp_path / "registry.db", create=True)
    with opened.session() as session:
        add_devices(session, "a", "b")
        parent = add_version(session, FIRST)
        add_version(session, SECOND, parent=parent.id)
    yield opened
    opened.close()


def window(sequence: int, device: str = "a", at: float = OLD, **other: object) -> ReportWindow:
    given = {"model": MODEL, "manifest": FIRST.digest.hex(), "boot": 1, **other}
    return ReportWindow(
        device_id=device,
        sequence=sequence,
        generation=1,
        trial=False,
        inferences=1,
        errors=0,
        rejected_inputs=0,
        dropped=0,
        counters=b"",
        received_at=at,
        **given,
    )


def label(sequence: int, number: int = 0, device: str = "a", at: float = OLD) -> LabelTruth:
    return LabelTruth(
        prediction=f"{sequence}-{number}",
        device_id=device,
        model=MODEL,
        manifest_prefix=FIRST.digest.hex()[:16],
        boot=1,
        sequence=sequence,
        predicted=1,
        truth=1,
        received_at=at,
    )


def sample(sequence: int, at: float = OLD) -> CapturedSample:
    return CapturedSample(
        prediction=f"{sequence}-0",
        device_id="a",
        model=MODEL,
        manifest=FIRST.digest.hex(),
        tensor=b"",
        received_at=at,
    )


def alert(session: Session, state: str, device: str = "a") -> int:
    made = Alert(model_version_id=1, state=state, opened_at=OLD)
    session.add(made)
    session.flush()
    session.add(
        AlertDevice(
            alert_id=made.id or 0, device_id=device, boot=1, sequence=1, windows_seen=1, raised_at=OLD
        )
    )
    return made.id or 0


def left(registry: Registry, table: type[SQLModel], column: str = "sequence") -> list:
    with registry.reading() as session:
        return [getattr(row, column) for row in session.exec(select(table))]


def swept(registry: Registry, *rows: SQLModel, most: int = 10_000) -> int:
    with registry.session() as session:
        session.add_all(rows)
    with registry.session() as session:
        return delete_old(session, KEEP_DAYS, NOW, most)


class TestWindows:
    def test_the_newest_of_each_device_and_model_stay_however_old(self, registry: Registry) -> None:
        many = range(1, KEPT_WINDOWS + 6)
        rows = [window(s, device) for device in "ab" for s in many]
        rows += [window(s, "a", model="other", boot=s) for s in many]
        assert swept(registry, *rows) == 15
        assert left(registry, ReportWindow) == [*range(6, KEPT_WINDOWS + 6)] * 3

    def test_what_came_since_then_stays(self, registry: Registry) -> None:
        assert swept(registry, *(window(s, at=BEFORE) for s in range(1, 100))) == 0

    def test_without_a_number_of_days_everything_stays(self, registry: Registry) -> None:
        swept(registry, *(window(s, at=0.0) for s in range(1, 100)), most=0)
        with registry.session() as session:
            assert delete_old(session, 0, NOW) == 0

    def test_not_more_than_so_many_go_at_a_time(self, registry: Registry) -> None:
        assert swept(registry, *(window(s) for s in range(1, KEPT_WINDOWS + 31)), most=20) == 20
        assert swept(registry, most=20) == 10
        assert left(registry, ReportWindow) == [*range(31, KEPT_WINDOWS + 31)]

    @pytest.mark.parametrize(("state", "gone"), [("open", 30), ("answered", 30), ("closed", 60)])
    def test_what_an_alert_counts_stays_until_it_is_closed(
        self, registry: Registry, state: str, gone: int
    ) -> None:
        with registry.session() as session:
            alert(session, state)
        many = range(1, KEPT_WINDOWS + 31)
        assert swept(registry, *(window(s, device) for device in "ab" for s in many)) == gone

    def test_the_first_windows_under_the_version_that_answered_a_drift_stay(self, registry: Registry) -> None:
        with registry.session() as session:
            alert(session, "closed")
        many = range(1, 2 * KEPT_WINDOWS + 31)
        rows = [window(s, device, manifest=SECOND.digest.hex()) for device in "ab" for s in many]
        assert swept(registry, *rows) == 30 + 30 + KEPT_WINDOWS
        assert left(registry, ReportWindow)[:KEPT_WINDOWS] == [*range(1, KEPT_WINDOWS + 1)]
        assert swept(registry) == 0

    def test_a_receipt_goes_with_the_last_window_of_a_boot_that_is_over(self, registry: Registry) -> None:
        boots = range(1, KEPT_WINDOWS + 4)  # one window each
        receipts = [ReceiptState(device_id="a", model=MODEL, boot=b, committed=1) for b in boots]
        heard = event(1, boot=3)
        swept(registry, *(window(1, boot=b) for b in boots), *receipts, heard)
        assert left(registry, ReceiptState, "boot") == [3, *range(4, KEPT_WINDOWS + 4)]


class TestLabelsAndSamples:
    def test_a_label_goes_with_its_window(self, registry: Registry) -> None:
        many = range(1, KEPT_WINDOWS + 6)
        rows = [window(s) for s in many] + [label(s, n) for s in many for n in range(3)]
        assert swept(registry, *rows) == 5 + 15
        assert min(left(registry, LabelTruth)) == 6

    def test_a_late_label_has_its_own_days(self, registry: Registry) -> None:
        assert swept(registry, label(1, at=BEFORE), label(2)) == 1
        assert left(registry, LabelTruth) == [1]

    def test_samples_and_their_labels_go_where_no_alert_asks_for_them(self, registry: Registry) -> None:
        with registry.session() as session:
            alert(session, "closed")
        assert swept(registry, sample(1), label(1), sample(2, at=NOW), label(2)) == 2
        assert left(registry, CapturedSample, "prediction") == ["2-0"]
        assert left(registry, LabelTruth, "prediction") == ["2-0"]

    @pytest.mark.parametrize("retrain", [None, "READY", "TRAINING"])
    def test_what_a_retrain_may_learn_from_stays(self, registry: Registry, retrain: str | None) -> None:
        with registry.session() as session:
            number = alert(session, "closed" if retrain else "open")
            if retrain:
                session.add(Retrain(alert_id=number, state=retrain, seed=1, created_at=OLD))
        assert swept(registry, sample(1), label(1), label(2)) == 1
        assert left(registry, LabelTruth) == [1]


def event(number: int, boot: int = 1) -> DeviceEvent:
    return DeviceEvent(
        device_id="a",
        boot=boot,
        number=number,
        model=MODEL,
        source="a",
        event="b",
        target="c",
        received_at=OLD,
    )


def test_the_newest_events_of_a_device_stay(registry: Registry) -> None:
    assert swept(registry, *(event(n) for n in range(KEPT_EVENTS + 7))) == 7
    assert min(left(registry, DeviceEvent, "number")) == 7


class TestNumbers:
    """Who has read up to a number reads on from there: a number that is given again would not be read."""

    def test_are_never_given_again(self, registry: Registry) -> None:
        for _ in range(2):
            with registry.session() as session:
                session.add_all([window(1), label(1)])
                session.flush()
                last = max(session.exec(select(ReportWindow.id))), max(session.exec(select(LabelTruth.id)))
                session.execute(text("DELETE FROM report_window"))
                session.execute(text("DELETE FROM label_truth"))
        assert last == (2, 2)

    def test_stay_when_an_older_registry_is_brought_up_and_go_on_from_there(self, tmp_path: Path) -> None:
        path = tmp_path / "old.db"

        def fill(connection: Connection) -> None:
            put(connection, "device", {"id": "a"})
            for number in (7, 9):
                put(connection, "label_truth", {"id": number, "device_id": "a", "prediction": str(number)})
                given = {"id": number, "device_id": "a", "sequence": number, "counters": b""}
                put(connection, "report_window", given)
            for table in ("label_truth", "report_window"):
                connection.execute(text(f"DELETE FROM {table} WHERE id = 7"))

        migrate(path, "0005", fill)
        registry = open_registry(path)
        with registry.session() as session:
            session.execute(text("DELETE FROM report_window"))
            session.add_all([window(1), label(1)])
            session.flush()
            assert list(session.exec(select(ReportWindow.id))) == [10]
            assert list(session.exec(select(LabelTruth.id))) == [9, 10]
        registry.close()
        found: list[int] = []
        migrate(path, "0005", lambda c: found.extend(c.execute(text("SELECT id FROM label_truth")).scalars()))
        assert found == [9, 10]
