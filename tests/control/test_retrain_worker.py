"""The worker of retrains: one at a time, again where it was cut off, and never twice to an end."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import Session
from support.packages import build
from support.registry import add_version
from support.retrain_site import RetrainSite, Started

from edgeops.control.retrain_lock import retrain_lock
from edgeops.control.retrain_recovery import settle
from edgeops.control.retrain_worker import RETRAIN_ATTEMPTS, RetrainWorker
from edgeops.control.workers import Ended
from edgeops.core.signing import Role
from edgeops.registry.tables import (
    Alert,
    Retrain,
    Run,
)


@pytest.fixture
def site(tmp_path: Path):
    made = RetrainSite(tmp_path / "site")
    yield made
    made.workspace.registry.close()


class TestTheWorker:
    @pytest.fixture
    def told(self) -> list[str]:
        return []

    def wanted(self, session: Session, state: str) -> None:
        session.add(Alert(model_version_id=1, state="open", opened_at=1.0))
        session.flush()
        session.add(Retrain(alert_id=1, state=state, seed=1, created_at=1.0))

    def test_deaths_are_counted_across_restarts(self, site: RetrainSite, told: list[str]) -> None:
        """They were counted in memory: a machine that died with each retrain began to count anew."""
        with site.session() as session:
            self.wanted(session, "TRAINING")
        for _ in range(RETRAIN_ATTEMPTS):
            with site.session() as session:
                session.get_one(Retrain, 1).state = "TRAINING"
            RetrainWorker(site.workspace, told.append, lambda: site.now, Started()).turn(site.now)
        (row,) = site.retrains()
        assert (row.state, row.deaths) == ("FAILED", RETRAIN_ATTEMPTS)
        assert "3 times without an outcome" in (row.reason or "")

    def test_a_cluster_that_does_not_answer_costs_no_attempt(
        self, site: RetrainSite, told: list[str]
    ) -> None:
        with site.session() as session:
            self.wanted(session, "READY")
        away = Started(*[Ended("READY", "no scheduler answers", away=True)] * 9)
        clock = [0.0]
        worker = RetrainWorker(site.workspace, told.append, lambda: clock[0], away)
        for _ in range(20):
            worker.turn(site.now)
            clock[0] += 20.0
        assert 5 <= len(away.jobs) <= 8
        assert [(row.state, row.deaths) for row in site.retrains()] == [("READY", 0)]

    def test_a_version_that_was_registered_before_the_worker_died_is_the_outcome(
        self, site: RetrainSite, told: list[str]
    ) -> None:
        second = build(2, keys=[site.workspace.key(Role.RELEASE)])
        with site.session() as session:
            self.wanted(session, "TRAINING")
            session.flush()
            run = session.get_one(Run, add_version(session, second, parent=1).run_id)
            run.retrain_id, run.record = 1, {"outcome": "better", "attempts": [{"strategy": "head"}]}
        started = Started()
        RetrainWorker(site.workspace, told.append, lambda: site.now, started).turn(site.now)
        (row,) = site.retrains()
        assert (row.state, row.model_version_id, row.attempts) == ("REGISTERED", 2, [{"strategy": "head"}])
        assert started.jobs == []

    @pytest.mark.parametrize(
        ("record", "state"), [({"outcome": "not_better"}, "REJECTED"), ({"outcome": "divided"}, "TRAINING")]
    )
    def test_what_was_rejected_is_settled_unless_there_was_something_to_propose(
        self, site: RetrainSite, record: dict, state: str
    ) -> None:
        with site.session() as session:
            self.wanted(session, "TRAINING")
            version = add_version(session, build(2), state="rejected", parent=1)
            run = session.get_one(Run, version.run_id)
            run.retrain_id, run.record = 1, record
            session.flush()
            assert settle(session, session.get_one(Retrain, 1)) is (state == "REJECTED")
            assert session.get_one(Retrain, 1).state == state

    def test_one_that_is_ready_waits_while_another_process_trains(
        self, site: RetrainSite, told: list[str]
    ) -> None:
        """Each turn started it, each start found the lock held, and after three of them it had FAILED."""
        with site.session() as session:
            self.wanted(session, "READY")
        started = Started(*[Ended("READY", "another edgeops retrain is at work")] * 9)
        worker = RetrainWorker(site.workspace, told.append, lambda: site.now, started)
        with retrain_lock(site.workspace):
            for _ in range(RETRAIN_ATTEMPTS + 2):
                worker.turn(site.now)
        (row,) = site.retrains()
        assert (started.jobs, row.state, row.deaths) == ([], "READY", 0)
        assert len(told) == 1 and told[0].startswith("retrains wait: another edgeops retrain is at work")
        worker.turn(site.now)
        assert started.jobs == [1]

    def test_a_stop_on_purpose_is_no_death(self, site: RetrainSite, told: list[str]) -> None:
        """Three restarts of ``edgeops serve`` while it trained, and a retrain had FAILED."""
        with site.session() as session:
            self.wanted(session, "READY")
        for _ in range(RETRAIN_ATTEMPTS + 1):
            worker = RetrainWorker(site.workspace, told.append, lambda: site.now, Started())
            worker.turn(site.now)
            with site.session() as session:
                session.get_one(Retrain, 1).state = "TRAINING"
            worker.close()
            assert [(row.state, row.deaths) for row in site.retrains()] == [("READY", 0)]

    def test_a_stop_just_after_the_end_takes_nothing_back(self, site: RetrainSite, told: list[str]) -> None:
        with site.session() as session:
            self.wanted(session, "READY")
        worker = RetrainWorker(site.workspace, told.append, lambda: site.now, Started())
        worker.turn(site.now)
        with site.session() as session:
            session.get_one(Retrain, 1).state = "REJECTED"
        worker.close()
        assert [row.state for row in site.retrains()] == ["REJECTED"]

    def test_one_that_ends_here_says_when(self, site: RetrainSite, told: list[str]) -> None:
        with site.session() as session:
            self.wanted(session, "READY")
        started = Started(*[Ended("READY", "no room")] * 9)
        worker = RetrainWorker(site.workspace, told.append, lambda: site.now, started)
        for _ in range(RETRAIN_ATTEMPTS + 1):
            worker.turn(site.now)
        (row,) = site.retrains()
        assert (row.state, row.finished_at) == ("FAILED", site.now)

    def test_what_it_failed_of_is_told_and_not_called_a_lost_worker(
        self, site: RetrainSite, told: list[str]
    ) -> None:
        with site.session() as session:
            self.wanted(session, "READY")
        worker = RetrainWorker(
            site.workspace, told.append, lambda: site.now, Started(ValueError("cannot reshape"))
        )
        worker.turn(site.now)
        with site.session() as session:
            row = session.get_one(Retrain, 1)
            row.state, row.reason = "FAILED", "ValueError: cannot reshape"
        worker.turn(site.now)
        assert told[-1] == "retrain 1: FAILED: ValueError: cannot reshape"
