"""How many labelled samples there are, how many are new, and which of them are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select
from support.packages import build
from support.retrain_site import RetrainSite

from edgeops.control.labelled_samples import (
    Labelled,
    fair_labelled,
    labelled,
    labelled_by,
    labelled_inputs,
    last_label,
    new_labelled,
)
from edgeops.control.retrain_world import usable
from edgeops.registry.tables import Alert, CapturedSample, LabelTruth, ModelVersion, Retrain

PACKAGE = build()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RetrainSite]:
    made = RetrainSite(tmp_path / "site")
    yield made
    made.workspace.registry.close()


def new(site: RetrainSite) -> int:
    with site.session() as session:
        return new_labelled(session, session.get_one(ModelVersion, 1))


def trained(site: RetrainSite, state: str = "REJECTED") -> None:
    """A retrain that has had all that there is."""
    with site.session() as session:
        if session.get(Alert, 1) is None:
            session.add(Alert(model_version_id=1, state="open", opened_at=site.now))
            session.flush()
        labels_to = last_label(session, session.get_one(ModelVersion, 1))
        session.add(Retrain(alert_id=1, state=state, seed=1, labels_to=labels_to, created_at=site.now))


def test_new_is_what_no_retrain_has_had(site: RetrainSite) -> None:
    site.label(5)
    assert new(site) == 5
    trained(site)
    assert new(site) == 0
    site.label(2)
    assert new(site) == 2


def test_old_samples_that_were_deleted_make_no_new_one_old(site: RetrainSite) -> None:
    """New ones were a difference of counts: deleting old ones hid as many new ones."""
    site.label(5)
    trained(site)
    with site.session() as session:
        for row in session.exec(select(CapturedSample)):
            session.delete(row)
    site.label(4)
    assert new(site) == 4


def test_they_are_counted_by_how_they_were_drawn_and_who_labelled_them(site: RetrainSite) -> None:
    site.label(5)
    with site.session() as session:
        version = session.get_one(ModelVersion, 1)
        for number, source in ((1, "teacher"), (2, "person")):
            session.get_one(LabelTruth, number).source = source
        session.get_one(CapturedSample, ("p3", "a")).reason = "uncertain"
        session.flush()
        assert (labelled(session, version), fair_labelled(session, version)) == (5, 3)
        assert labelled_by(session, version) == ({"a": 5}, {"device": 3, "person": 1, "teacher": 1})
        assert last_label(session, version) == 5
        assert {one.number for one in labelled_inputs(session, version)} == {1, 2, 3, 4, 5}


def test_a_version_without_any_has_none(site: RetrainSite) -> None:
    with site.session() as session:
        version = session.get_one(ModelVersion, 1)
        assert (labelled(session, version), last_label(session, version)) == (0, 0)
        assert labelled_by(session, version) == ({}, {})


def test_what_can_be_no_input_or_no_label_is_left_out() -> None:
    """One row that a device had lied about failed every retrain of its version."""

    def row(size: int, truth: int) -> Labelled:
        sample = CapturedSample(
            prediction="p", device_id="a", model="m", manifest="", tensor=bytes(size), received_at=0.0
        )
        return Labelled(sample, truth, "device", 1)

    last = len(PACKAGE.manifest.labels) - 1
    rows = [row(64, 0), row(63, 0), row(65, 0), row(64, last), row(64, last + 1), row(64, -1)]
    assert usable(PACKAGE.manifest, rows) == [rows[0], rows[3]]
