"""The drift watch in the registry: rounds, alerts, restarts, devices' own references, errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import Session, select
from support.drift_reference import reference_file
from support.drift_story import (
    NEXT,
    PLAN,
    ROUND,
    TERMS,
    counted,
    hear,
    play,
    rows,
    said,
    story_blobs,
    story_session,
)
from support.registry import NOW

from edgeops.control.drift_recomputed import recomputed
from edgeops.control.drift_records import ACKNOWLEDGED, QUALITY
from edgeops.control.drift_references import references_from
from edgeops.control.drift_watch import BURN_IN_WINDOWS, DriftWatch
from edgeops.core.errors import DataError
from edgeops.core.window import Window
from edgeops.drift.device_track import QUIET
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import totals
from edgeops.registry.tables import Alert, Device, ModelVersion, Run


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return story_blobs(tmp_path)


@pytest.fixture
def session(tmp_path: Path, blobs: BlobStore) -> Iterator[Session]:
    with story_session(tmp_path, blobs) as opened:
        yield opened


STORY = [said(n, brighter=6.0 if n > 4 else 0.0) for n in range(1, 8)]


def test_quiet_windows_raise_nothing_and_a_change_is_told_of_once(session, blobs) -> None:
    assert play(session, DriftWatch(blobs, TERMS), STORY) == ["alert 1: a drifted in window 5"]
    (row,) = rows(session)
    assert row.shifts[0]["kind"] == "data"
    assert row.shifts[0]["distance"] >= row.shifts[-1]["distance"]
    assert row.flags == [0, 0, 0, 0, 1, 1, 1]


def test_a_round_is_judged_when_it_has_ended(session, blobs) -> None:
    watch = DriftWatch(blobs, TERMS)
    hear(session, "a", STORY[4], NOW)
    assert watch.tick(session, NOW + 1) == []
    assert watch.tick(session, NOW + ROUND) != []
    assert watch.tick(session, NOW + 2 * ROUND) == []


@pytest.mark.parametrize("cut", range(1, len(STORY)))
def test_a_restart_anywhere_gives_the_same_alert(session, blobs, cut: int) -> None:
    told = play(session, DriftWatch(blobs, TERMS), STORY[:cut])
    again = DriftWatch(blobs, TERMS)
    for number, one in enumerate(STORY[cut:], cut):
        hear(session, "a", one, NOW + number * ROUND)
        told += again.tick(session, NOW + (number + 1) * ROUND)
    assert told == ["alert 1: a drifted in window 5"]


def test_a_round_that_was_not_committed_is_judged_again(session, blobs) -> None:
    watch = DriftWatch(blobs, TERMS)
    play(session, watch, STORY[:4])
    hear(session, "a", STORY[4], NOW + 4 * ROUND)
    session.flush()
    undone = session.begin_nested()
    assert watch.tick(session, NOW + 5 * ROUND)
    undone.rollback()  # a full disk
    watch.forget()
    assert watch.tick(session, NOW + 5 * ROUND) == ["alert 1: a drifted in window 5"]


def test_an_alert_closes_when_its_devices_are_quiet_and_opens_anew_when_they_drift_again(
    session, blobs
) -> None:
    watch = DriftWatch(blobs, TERMS)
    story = [said(n, 6.0 if n in (2, 25) else 0.0) for n in range(1, 27)]
    told = play(session, watch, story)
    assert told[0] == "alert 1: a drifted in window 2"
    assert told[1] == "alert 1: cleared by itself"
    assert told[2] == "alert 2: a drifted in window 25"
    first = session.get_one(Alert, 1)
    assert (first.state, first.reason) == ("closed", "It cleared by itself.")
    # the long look holds the window that drifted for three more, and then enough must be quiet
    assert NOW + QUIET * ROUND < first.closed_at <= NOW + (2 + QUIET + 4) * ROUND


def test_faulty_inputs_make_an_alert_of_their_own(session, blobs) -> None:
    play(session, DriftWatch(blobs, TERMS), [said(1), said(2, faulty=True)])
    alert = session.exec(select(Alert).where(Alert.kind == QUALITY)).one()
    assert alert.decision == "sensor_fault"
    shifts = [row.shifts for row in rows(session) if row.alert_id == alert.id]
    assert [shift["signal"] for shift in shifts[0]] == ["stuck"]


@pytest.mark.parametrize(
    "lie", [{"bins": bytes(len(PLAN.digest()))}, {"features": (), "moments": (), "stuck": 0}], ids=str
)
def test_a_window_of_other_bins_is_counted_and_the_next_is_judged(session, blobs, lie) -> None:
    watch = DriftWatch(blobs, TERMS)
    other = replace(said(2), counters=replace(counted(2), **lie))
    told = play(session, watch, [said(1), other, said(3, 6.0)])
    assert totals(session) == {"report with other bins": 1}
    assert told == ["alert 1: a drifted in window 3"]


def test_a_device_whose_disk_was_wiped_is_judged_from_its_new_boot_on(session, blobs) -> None:
    watch = DriftWatch(blobs, TERMS)
    device = session.get_one(Device, "a")
    device.boot = 5
    told = play(session, watch, [said(1, boot=5), said(2, boot=5)])
    device.boot = 1
    hear(session, "a", said(1, 6.0, boot=1), NOW + 2 * ROUND)
    told += watch.tick(session, NOW + 3 * ROUND)
    assert told == ["alert 1: a drifted in window 1"]


def test_what_was_decided_is_computed_again_from_the_stored_reports(session, blobs) -> None:
    story = [said(n, 6.0 if n in (2, 25) else 0.0, faulty=n == 12) for n in range(1, 27)]
    told = play(session, DriftWatch(blobs, TERMS), story)
    again = recomputed(session, blobs, session.get_one(ModelVersion, 1), TERMS)
    assert again.windows == len(story)
    assert [alarm["window"] for alarm in again.alarms] == [2, 12, 25]
    assert [line.split()[-1] for line in told if "window" in line] == ["2", "12", "25"]


def test_a_version_without_a_stored_reference_is_counted_and_not_judged(session, blobs) -> None:
    for run in session.exec(select(Run)):
        run.record = {}
        session.add(run)
    assert play(session, DriftWatch(blobs, TERMS), STORY) == []
    assert "version without a reference" in totals(session)


class TestOwnReferences:
    @pytest.mark.parametrize("restart", [None, 1, 3, 5])
    def test_a_device_that_drifted_under_the_parent_learns_its_own(self, session, blobs, restart) -> None:
        watch = DriftWatch(blobs, TERMS)
        play(session, watch, [said(1), said(2, 6.0)])
        session.get_one(ModelVersion, 2).parent_id = 1
        new = [said(n, 6.0, package=NEXT, generation=2) for n in range(1, BURN_IN_WINDOWS + 5)]
        new.append(said(BURN_IN_WINDOWS + 5, 0.0, package=NEXT, generation=2))
        told = []
        for number, one in enumerate(new):
            if number == restart:
                watch = DriftWatch(blobs, TERMS)
            at = NOW + (10 + number) * ROUND
            hear(session, "a", replace(one, boot=2), at)
            told += watch.tick(session, at + ROUND)
        assert told == [f"alert 2: a drifted in window {BURN_IN_WINDOWS + 5}"]

    def test_by_the_hour_of_the_day_night_is_no_drift(self, session, blobs) -> None:
        midnight = NOW - NOW % 86_400
        watch = DriftWatch(blobs, replace(TERMS, learn_windows=3, season="day"))
        told, sequence = [], 0
        for day in range(4):
            for hour in (2, 12):
                for minute in (0, 5) if day else (0, 5, 10):
                    sequence += 1
                    at = midnight + day * 86_400 + hour * 3600 + minute * 60
                    hear(session, "a", said(sequence, 6.0 if hour == 2 else 0.0), at)
                    told += watch.tick(session, at + ROUND)
        assert told == []
        hear(session, "a", said(sequence + 1, 6.0), midnight + 4 * 86_400 + 12 * 3600)
        assert watch.tick(session, midnight + 5 * 86_400) == [f"alert 1: a drifted in window {sequence + 1}"]


@pytest.mark.parametrize(
    "raw", [b"", b"PK\x03\x04 no zip", reference_file()[:-40]], ids=["empty", "none", "cut"]
)
def test_a_stored_reference_that_cannot_be_read_says_so(raw: bytes) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        references_from(raw, PLAN)


class TestWhatAReviewFound:
    def test_a_window_without_observed_inputs_ends_nothing(self, session, blobs) -> None:
        """It divided by the number of observed inputs, and ended the control plane at every start."""
        watch = DriftWatch(blobs, TERMS)
        blind = replace(said(2), counters=replace(Window(PLAN).counters(), rejected_inputs=30, missing=30))
        told = play(session, watch, [said(1), blind, said(3), said(4, 6.0)])
        assert told == [
            "alert 1: a sends faulty inputs in window 2",
            "alert 1: cleared by itself",
            "alert 2: a drifted in window 4",
        ]

    def test_a_round_that_cannot_be_judged_is_counted_and_left_behind(
        self, session, blobs, monkeypatch
    ) -> None:
        watch = DriftWatch(blobs, TERMS)
        monkeypatch.setattr("edgeops.control.drift_watch.judge_round", lambda *given: 1 / 0)
        (line,) = play(session, watch, [said(1)])
        assert "ZeroDivisionError" in line
        monkeypatch.undo()
        hear(session, "a", said(2, 6.0), NOW + 5 * ROUND)
        assert watch.tick(session, NOW + 6 * ROUND) == ["alert 1: a drifted in window 2"]
        assert totals(session) == {"round that could not be judged": 1}

    def test_a_fault_that_begins_and_ends_within_a_round_clears(self, session, blobs) -> None:
        watch = DriftWatch(blobs, TERMS)
        hear(session, "a", said(1, faulty=True), NOW)
        hear(session, "a", said(2), NOW + 1)
        assert watch.tick(session, NOW + ROUND) == [
            "alert 1: a sends faulty inputs in window 1",
            "alert 1: cleared by itself",
        ]

    @pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
    def test_a_mended_camera_raises_nothing_also_after_a_restart(self, session, blobs, restart: bool) -> None:
        watch = DriftWatch(blobs, TERMS)
        play(session, watch, [*(said(n, faulty=True) for n in range(1, 5)), said(5)])
        watch = DriftWatch(blobs, TERMS) if restart else watch
        told = []
        for n in range(6, 12):
            hear(session, "a", said(n), NOW + n * ROUND)
            told += watch.tick(session, NOW + (n + 1) * ROUND)
        assert told == []

    def test_faulty_windows_teach_nothing(self, session, blobs) -> None:
        watch = DriftWatch(blobs, replace(TERMS, learn_windows=3))
        told = play(
            session, watch, [*(said(n, faulty=True) for n in range(1, 5)), *(said(n) for n in range(5, 20))]
        )
        assert told == ["alert 1: a sends faulty inputs in window 1", "alert 1: cleared by itself"]

    def test_windows_that_come_late_are_judged_by_the_hour_they_were_counted_in(self, session, blobs) -> None:
        midnight = NOW - NOW % 86_400
        watch = DriftWatch(blobs, replace(TERMS, learn_windows=3, season="day"))
        told, sequence = [], 0
        for day in range(2):
            for hour in (2, 12):
                for minute in range(3 if day == 0 else 1):
                    sequence += 1
                    at = midnight + day * 86_400 + hour * 3600 + minute * 60
                    one = said(sequence, 6.0 if hour == 2 else 0.0)
                    hear(session, "a", replace(one, start_ms=round((at - midnight) * 1000)), at)
                    told += watch.tick(session, at + ROUND)
        for hour in (2, 12):  # the night's windows wait for the broker until noon
            sequence += 1
            uptime = 2 * 86_400 + hour * 3600
            one = replace(said(sequence, 6.0 if hour == 2 else 0.0), start_ms=uptime * 1000)
            hear(session, "a", one, midnight + 2 * 86_400 + 12 * 3600)
        assert told + watch.tick(session, midnight + 3 * 86_400) == []

    def test_a_wiped_disk_does_not_keep_an_alert_open_for_ever(self, session, blobs) -> None:
        watch = DriftWatch(blobs, TERMS)
        device = session.get_one(Device, "a")
        device.boot = 5
        told = play(session, watch, [said(1, boot=5), said(2, 6.0, boot=5)])
        device.boot = 1
        for n in range(1, 2 * QUIET):
            hear(session, "a", said(n, boot=1), NOW + (n + 2) * ROUND)
            told += watch.tick(session, NOW + (n + 3) * ROUND)
        assert told == ["alert 1: a drifted in window 2", "alert 1: cleared by itself"]

    def test_an_acknowledged_alert_is_not_opened_again_before_it_was_quiet(self, session, blobs) -> None:
        watch = DriftWatch(blobs, TERMS)
        told = play(session, watch, [said(1), said(2, 6.0)])
        alert = session.get_one(Alert, 1)
        alert.state, alert.decision = "closed", ACKNOWLEDGED
        story = [6.0] * 3 + [0.0] * (QUIET + 4) + [6.0]
        for n, brighter in enumerate(story, 3):
            watch = DriftWatch(blobs, TERMS) if n == 4 else watch
            hear(session, "a", said(n, brighter), NOW + n * ROUND)
            told += watch.tick(session, NOW + (n + 1) * ROUND)
        last = 2 + len(story)
        assert told == ["alert 1: a drifted in window 2", f"alert 2: a drifted in window {last}"]
