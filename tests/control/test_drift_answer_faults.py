"""What a review found of the answer to alerts: stragglers, alerts that never close, captures that are taken away."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import select
from support.packages import MODEL, build
from support.registry import add_version
from support.retrain_site import RetrainSite

from edgeops.core.errors import DoesNotFit
from edgeops.core.signing import Role
from edgeops.registry.tables import Alert, AlertDevice, DesiredState, DeviceModel, Retrain


@pytest.fixture
def site(tmp_path: Path):
    made = RetrainSite(tmp_path / "site")
    yield made
    made.workspace.registry.close()


def newer_version(site: RetrainSite, *names: str) -> str:
    """A second version, confirmed by these devices."""
    package = build(2, keys=[site.workspace.key(Role.RELEASE)])
    site.put(package)
    with site.session() as session:
        version = add_version(session, package)
        for name in names:
            row = session.get_one(DeviceModel, (name, MODEL))
            row.confirmed = version.manifest_sha256
            session.add(row)
        return version.manifest_sha256 or ""


def test_a_straggler_on_an_old_version_is_one_device_of_the_whole_fleet(site: RetrainSite) -> None:
    newer_version(site, "b", "c", "d")
    site.drifts("a")
    for _ in range(4):
        site.window("a")
    site.tick()
    with site.session() as session:
        alert = session.get_one(Alert, 1)
        assert alert.decision == "sensor_fault"
        assert "1 of 4" in (alert.reason or "")


def test_an_alert_about_a_version_that_nobody_runs_any_more_is_closed(site: RetrainSite) -> None:
    site.drifts("a", "b")
    newer_version(site, *"abcd")
    site.tick()
    with site.session() as session:
        alert = session.get_one(Alert, 1)
        assert (alert.state, alert.reason) == ("closed", "None of its devices runs this version any more.")
        assert not session.exec(select(Retrain)).all()


def test_an_alert_whose_devices_are_quiet_closes_also_after_a_retrain_that_was_not_better(
    site: RetrainSite,
) -> None:
    site.drifts("a", "b")
    with site.session() as session:
        session.add(Retrain(alert_id=1, state="REJECTED", seed=1, created_at=site.now))
        for row in session.exec(select(AlertDevice)):
            row.cleared_at = site.now
            session.add(row)
    site.tick()
    with site.session() as session:
        assert session.get_one(Alert, 1).state == "closed"


def test_the_end_of_one_alert_leaves_the_capture_of_another(site: RetrainSite) -> None:
    site.drifts("a", "b")
    site.tick()
    with site.session() as session:
        first, second = session.get_one(Alert, 1), Alert(model_version_id=1, state="open", opened_at=site.now)
        session.add(second)
        session.flush()
        before = session.get_one(AlertDevice, (1, "a"))
        again = {**before.model_dump(), "alert_id": second.id}
        session.add(AlertDevice(**again))
        first.state, first.closed_at = "closed", site.now
        session.add(first)
    site.tick()
    with site.session() as session:
        assert session.get_one(DesiredState, "a").models[MODEL]["capture"] is not None
        assert session.get_one(DesiredState, "b").models[MODEL]["capture"] is None


def test_an_alert_that_cannot_be_answered_does_not_keep_others_waiting(
    site: RetrainSite, monkeypatch
) -> None:
    site.drifts("a", "b")
    broken = site.writer.change

    def change(session, device, model, **changes):
        if device == "a" and changes.get("capture") is not None:
            raise DoesNotFit("the desired state is too long", limit="bytes")
        return broken(session, device, model, **changes)

    monkeypatch.setattr(site.writer, "change", change)
    site.tick()
    with site.session() as session:
        alert = session.get_one(Alert, 1)
        assert (alert.state, alert.decision) == ("open", "wait")
        assert alert.reason == "It cannot be answered: the desired state is too long."


def test_a_better_version_is_not_rolled_out_over_a_newer_one(site: RetrainSite) -> None:
    site.drifts("a", "b")
    newer_version(site, "c", "d")
    package = build(3, keys=[site.workspace.key(Role.RELEASE)])
    site.put(package)
    with site.session() as session:
        version = add_version(session, package, parent=1)
        session.add(
            Retrain(alert_id=1, state="REGISTERED", seed=1, model_version_id=version.id, created_at=site.now)
        )
    told = site.after()
    assert told == ["retrain 1: its rollout waits: 2 devices run a newer version since"]
    assert site.after() == []
