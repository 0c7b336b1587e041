"""Fleet health: every figure against a calculation by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from reports.fabricated import (
    NOW,
    PLAN,
    add_device,
    add_labels,
    add_version,
    add_window,
    manifest,
    report,
)
from sqlalchemy import event
from sqlmodel import Session

from edgeops.core.errors import NotFoundError
from edgeops.core.observe import ObservePlan
from edgeops.registry.counts import count, state_fact
from edgeops.registry.store import open_registry
from edgeops.registry.tables import Alert, AlertDevice
from edgeops.reports.figures import latency_quantile, pooled
from edgeops.reports.health import DeviceHealth, fleet_health
from edgeops.reports.series import series


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    registry = open_registry(tmp_path / "registry.db", create=True)
    with registry.session() as session:
        yield session
    registry.close()


def load(_: str) -> ObservePlan:
    return PLAN


def only(session: Session, **options: float) -> DeviceHealth:
    (row,) = fleet_health(session, load, NOW, **options).rows  # type: ignore[arg-type]
    return row


def drifted(session: Session, state: str, version_id: int) -> None:
    alert = Alert(model_version_id=version_id, state=state, opened_at=NOW)
    session.add(alert)
    session.flush()
    shifts = [{"signal": "contrast", "direction": "down"}, {"signal": "confidence", "direction": "down"}]
    session.add(
        AlertDevice(
            alert_id=alert.id, device_id="a", boot=1, sequence=1, windows_seen=1, shifts=shifts, raised_at=NOW
        )
    )
    session.flush()


def test_empty_registry(session: Session) -> None:
    health = fleet_health(session, load, NOW)
    assert (health.devices, health.online, health.rows, health.bytes_published) == (0, 0, (), 0)
    assert health.measured_accuracy.value is None and health.estimated_accuracy.basis is None
    json.dumps(health.as_dict(), allow_nan=False)


def test_estimate_confidence_and_latency_by_hand(session: Session) -> None:
    add_version(session, 1)
    add_device(session, "a", site="north")
    for sequence in (1, 2):
        add_window(session, "a", report(sequence=sequence, slow=5))
    row = only(session)
    # bins 14 and 15 were right (30.5 / 41) and (159.5 / 161) of the time; 20 and 80 predictions fell there
    assert row.accuracy.basis == "estimated" and row.accuracy.n == 100
    assert row.accuracy.value == pytest.approx((20 * 30.5 / 41 + 80 * 159.5 / 161) / 100)
    assert row.confidence.value == pytest.approx((20 * 14.5 / 16 + 80 * 15.5 / 16) / 100)
    assert (row.latency_p50_us.low, row.latency_p50_us.value) == (64, 128)  # bucket 3
    assert (row.latency_p95_us.low, row.latency_p95_us.value) == (4096, 8192)  # 10 of 100 in bucket 9
    assert (row.inferences, row.windows, row.connection, row.health) == (100, 2, "online", "OK")
    assert (row.wanted, row.confirmed, dict(row.attributes)) == ("digits@1", "digits@1", {"site": "north"})


def test_measured_needs_thirty_labels_of_the_last_windows_of_the_confirmed_version(session: Session) -> None:
    add_version(session, 1)
    add_version(session, 2, parent=1)
    add_device(session, "a")
    for sequence in range(1, 7):
        add_window(session, "a", report(sequence=sequence))
    add_labels(session, "a", 2, right=0, wrong=50)  # older than the last four windows
    add_labels(session, "a", 4, right=0, wrong=50, version=2)  # of another version
    add_labels(session, "a", 5, right=20, wrong=9)
    assert only(session).accuracy.basis == "estimated"
    add_labels(session, "a", 6, right=1, wrong=0)
    row = only(session)
    assert (row.accuracy.basis, row.accuracy.n, row.accuracy.value) == ("measured", 30, 0.7)
    assert row.accuracy.low == pytest.approx(0.5212, abs=1e-4)  # Wilson's interval for 21 of 30
    assert row.accuracy.high == pytest.approx(0.8334, abs=1e-4)
    assert row.estimated_accuracy.basis == "estimated"
    assert row.health == "WARN" and "accuracy low" in row.causes[0]


def test_only_windows_of_the_confirmed_version_count(session: Session) -> None:
    add_version(session, 1)
    add_version(session, 2, parent=1)
    add_device(session, "a", confirmed=2, wanted=2)
    add_window(session, "a", report(version=1, sequence=1, confidence=(50, 0)))
    add_window(session, "a", report(version=2, sequence=2, confidence=(0, 50)))
    row = only(session)
    assert row.estimated_accuracy.n == 50
    assert row.estimated_accuracy.value == pytest.approx(159.5 / 161)
    assert row.windows == 2


def test_windows_of_a_later_boot_are_newer(session: Session) -> None:
    add_version(session, 1)
    add_device(session, "a")
    add_window(session, "a", report(sequence=900, confidence=(50, 0)))
    add_window(session, "a", report(sequence=1, confidence=(0, 50)), boot=2, dropped=3)
    row = only(session, last_windows=1)
    assert row.confidence.value == pytest.approx(15.5 / 16)
    assert row.dropped_reports == 3 and row.health == "WARN"


@pytest.mark.parametrize(
    ("online", "seen", "interval", "connection"),
    [
        (True, NOW - 179, 60, "online"),
        (True, NOW - 181, 60, "silent"),
        (True, NOW - 59, 1, "online"),
        (True, NOW - 61, 1, "silent"),
        (False, NOW - 1, 60, "offline"),
        (False, None, 60, "never"),
    ],
)
def test_connection(
    session: Session, online: bool, seen: float | None, interval: float, connection: str
) -> None:
    add_device(session, "a", confirmed=None, wanted=None, online=online, seen=seen)
    row = only(session, report_interval_s=interval)
    assert (row.connection, row.model, row.confirmed) == (connection, None, None)
    assert row.health == ("OK" if connection == "online" else "WARN")


@pytest.mark.parametrize(("state", "word"), [("open", "FAIL"), ("answered", "WARN"), ("closed", "OK")])
def test_drift_of_the_running_version(session: Session, state: str, word: str) -> None:
    version = add_version(session, 1)
    add_device(session, "a")
    add_window(session, "a", report())
    drifted(session, state, version.id or 0)
    health = fleet_health(session, load, NOW)
    row = health.rows[0]
    assert row.health == word and health.open_alerts == (state == "open")
    if state != "closed":
        assert row.drift and row.drift.signals == (("contrast", "down"), ("confidence", "down"))


def test_drift_of_an_older_version_is_over(session: Session) -> None:
    version = add_version(session, 1)
    add_version(session, 2, parent=1)
    add_device(session, "a", confirmed=2, wanted=2)
    drifted(session, "open", version.id or 0)
    assert only(session).drift is None


@pytest.mark.parametrize("lifecycle", ["ROLLED_BACK", "FAILED", "REJECTED"])
def test_a_broken_update_fails(session: Session, lifecycle: str) -> None:
    add_version(session, 1)
    add_device(session, "a", lifecycle=lifecycle, wanted=1)
    assert only(session).health == "FAIL"


def test_plan_missing_bins_changed_and_unknown_manifest(session: Session) -> None:
    add_version(session, 1)
    add_device(session, "a")
    add_device(session, "b", confirmed=9)
    add_window(session, "a", report())
    add_window(session, "a", report(sequence=2, confidence=(50, 0)), bins=b"none")

    def missing(digest: str) -> ObservePlan:
        raise NotFoundError(f"no blob {digest}")

    without = fleet_health(session, missing, NOW).rows
    assert without[0].accuracy.value is None and without[0].windows == 2
    first, second = fleet_health(session, load, NOW).rows
    assert first.accuracy.n == 50
    assert second.confirmed == f"unknown {manifest(9)[:12]}"
    assert [point.estimated_accuracy is None for point in series(session, load, "digits")] == [False, True]


def test_totals(session: Session) -> None:
    add_version(session, 1)
    for name in ("a", "b"):
        add_device(session, name)
        add_window(session, name, report())
    add_labels(session, "a", 1, right=30, wrong=10)
    count(session, "duplicate report", "a")
    count(session, "duplicate report", "b")
    state_fact(session, "bytes_published", {"bytes": 123})
    session.flush()
    health = fleet_health(session, load, NOW)
    assert (health.devices, health.online, dict(health.versions)) == (2, 2, {"digits@1": 2})
    assert (health.bytes_published, dict(health.ingest)) == (123, {"duplicate report": 2})
    assert (health.measured_accuracy.value, health.measured_accuracy.n) == (0.75, 40)
    assert health.estimated_accuracy.n == 100
    assert json.loads(json.dumps(health.as_dict(), allow_nan=False))["rows"][0]["accuracy"]["n"] == 40


def test_series(session: Session) -> None:
    add_version(session, 1)
    add_device(session, "a")
    add_window(session, "a", report(sequence=2))
    add_window(session, "a", report(sequence=1), trial=True)
    add_labels(session, "a", 2, right=1, wrong=3)
    first, second = series(session, load, "digits")
    assert (first.sequence, first.trial, first.measured_accuracy) == (1, True, None)
    assert (second.version, second.measured_accuracy, second.labels) == (1, 0.25, 4)
    assert second.estimated_accuracy == pytest.approx((10 * 30.5 / 41 + 40 * 159.5 / 161) / 50)
    assert series(session, load, "nothing") == []


def test_latency_beyond_the_last_bound() -> None:
    figure = latency_quantile((*(0,) * 15, 4), 0.5)
    assert (figure.value, figure.low, figure.high) == (2**18, 2**18, None)
    assert latency_quantile((0,) * 16, 0.5).value is None
    assert pooled((), "measured").value is None


def test_the_number_of_queries_does_not_grow_with_the_windows(session: Session) -> None:
    add_version(session, 1)
    window = report()

    def queries() -> int:
        session.commit()
        session.expunge_all()
        seen: list[str] = []
        engine = session.get_bind()

        def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
            seen.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        fleet_health(session, load, NOW)
        event.remove(engine, "before_cursor_execute", note)
        return len(seen)

    for number in range(20):
        add_device(session, f"d{number:02}")
        add_window(session, f"d{number:02}", replace(window, sequence=1))
    few = queries()
    for number in range(20):
        for sequence in range(2, 31):
            add_window(session, f"d{number:02}", replace(window, sequence=sequence))
    assert queries() == few
