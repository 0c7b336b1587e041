"""Errors watched as labels come: restarts, explained errors, devices that stand out, damaged references."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session
from support.drift_reference import reference_file
from support.drift_story import (
    PACKAGE,
    ROUND,
    TERMS,
    hear,
    play,
    rows,
    said,
    story_blobs,
    story_session,
)
from support.registry import NOW

from edgeops.control.drift_watch import DriftWatch
from edgeops.control.error_watch import ErrorWatch
from edgeops.core.messages import PredictionId
from edgeops.drift.device_track import QUIET
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import totals
from edgeops.registry.tables import LabelTruth


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return story_blobs(tmp_path)


@pytest.fixture
def session(tmp_path: Path, blobs: BlobStore) -> Iterator[Session]:
    with story_session(tmp_path, blobs) as opened:
        yield opened


class Labelled:
    def _labels(self, session: Session, device: str, count: int, wrong_every: int, start: int = 0) -> None:
        prefix = PACKAGE.digest[:8]
        for number in range(start, start + count):
            truth = 1 if wrong_every and number % wrong_every == 0 else 0
            session.add(
                LabelTruth(
                    prediction=PredictionId(prefix, 1, 1 + number // 60, number % 60, 0, 15).pack().hex()
                    + device,
                    device_id=device,
                    model="digits",
                    manifest_prefix=prefix.hex(),
                    boot=1,
                    sequence=1 + number // 60,
                    predicted=0,
                    truth=truth,
                    received_at=NOW,
                )
            )
        session.flush()


class TestErrors(Labelled):
    @pytest.mark.parametrize("damage", [b"altered", None], ids=["altered", "gone"])
    def test_a_stored_reference_that_is_damaged_ends_nothing(self, session, blobs, damage) -> None:
        path = blobs._path(blobs.put(reference_file()))
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        self._labels(session, "a", 50, 2)
        hear(session, "a", said(1), NOW)
        assert ErrorWatch(blobs).tick(session, NOW) == []
        assert DriftWatch(blobs, TERMS).tick(session, NOW + ROUND) == []
        assert "version without a reference" in totals(session)

    def test_as_many_errors_as_before_say_nothing_and_more_do(self, session, blobs) -> None:
        watch = ErrorWatch(blobs)
        self._labels(session, "a", 1000, 10)
        assert watch.tick(session, NOW) == []
        self._labels(session, "a", 300, 3, start=1000)
        (line,) = watch.tick(session, NOW)
        assert line.startswith("alert 1: a drifted")
        (row,) = rows(session)
        assert (row.shifts[0]["kind"], row.shifts[0]["signal"]) == ("concept", "errors")

    @pytest.mark.parametrize("cut", [1, 50, 299])
    def test_a_restart_goes_on_where_it_was(self, session, blobs, cut: int) -> None:
        self._labels(session, "a", cut, 3)
        told = ErrorWatch(blobs).tick(session, NOW)
        self._labels(session, "a", 300 - cut, 3, start=cut)
        told += ErrorWatch(blobs).tick(session, NOW)
        assert len(told) == 1

    def test_the_errors_of_a_device_whose_inputs_drifted_are_explained(self, session, blobs) -> None:
        play(session, DriftWatch(blobs, TERMS), [said(1), said(2, 6.0)])
        self._labels(session, "a", 600, 2)
        self._labels(session, "b", 600, 10)
        assert ErrorWatch(blobs).tick(session, NOW) == []

    def test_only_devices_that_err_more_are_named_where_some_do(self, session, blobs) -> None:
        self._labels(session, "a", 250, 2)
        self._labels(session, "b", 250, 10)
        told = ErrorWatch(blobs).tick(session, NOW)
        assert [line.split()[2] for line in told] == ["a"]


class TestWhatAReviewFoundOfErrors(Labelled):
    def test_inputs_that_drift_too_are_told_beside_the_errors(self, session, blobs) -> None:
        self._labels(session, "a", 300, 2)
        assert ErrorWatch(blobs).tick(session, NOW)
        play(session, DriftWatch(blobs, TERMS), [said(1), said(2), said(3, 6.0)])
        (row,) = rows(session)
        assert {shift["kind"] for shift in row.shifts} == {"concept", "data"}
        assert row.sequence == 3

    def test_input_flags_do_not_clear_what_labels_said(self, session, blobs) -> None:
        self._labels(session, "a", 300, 2)
        ErrorWatch(blobs).tick(session, NOW)
        play(session, DriftWatch(blobs, TERMS), [said(n) for n in range(1, 2 * QUIET)])
        (row,) = rows(session)
        assert (row.flags, row.cleared_at) == ([], None)

    def test_errors_that_are_usual_again_clear_it(self, session, blobs) -> None:
        watch = ErrorWatch(blobs)
        self._labels(session, "a", 300, 2)
        watch.tick(session, NOW)
        self._labels(session, "a", 900, 20, start=300)
        told = watch.tick(session, NOW + 1)
        assert told == ["alert 1: cleared by itself"]

    def test_a_late_label_of_a_time_of_drift_is_explained(self, session, blobs) -> None:
        play(session, DriftWatch(blobs, TERMS), [said(1), said(2, 6.0), *(said(n) for n in range(3, 20))])
        assert rows(session)[0].cleared_at is not None
        prefix = PACKAGE.digest[:8]
        for index in range(400):
            session.add(
                LabelTruth(
                    prediction=PredictionId(prefix, 1, 2, index, 0, 15).pack().hex(),
                    device_id="a",
                    model="digits",
                    manifest_prefix=prefix.hex(),
                    boot=1,
                    sequence=2,
                    predicted=0,
                    truth=index % 2,
                    received_at=NOW,
                )
            )
        session.flush()
        assert ErrorWatch(blobs).tick(session, NOW + 30 * ROUND) == []
