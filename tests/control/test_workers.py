"""Retrains in processes of their own and on a cluster: killed anywhere, they are done again, and never twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlmodel import select
from support.changed_digits import changed_digits
from support.killed_retrain import POINTS, killed_again_and_again

from edgeops.control.retrain_worker import RetrainWorker
from edgeops.control.retraining import run_retrain
from edgeops.control.workers import Ended, OwnProcess, carry_out, climbing_on
from edgeops.core.errors import UsageError
from edgeops.registry.tables import DatasetVersion, ModelVersion, Retrain, Run

DEADLINE_S = 240.0


@pytest.mark.slow
def test_a_retrain_that_is_killed_at_several_points_has_no_double_effect(tmp_path: Path) -> None:
    workspace, number = changed_digits(tmp_path, "fine_tune")
    told: list[str] = []
    process = OwnProcess(killed_again_and_again)
    worker = RetrainWorker(workspace, told.append, time.monotonic, process)
    state, end = "READY", time.monotonic() + DEADLINE_S
    while state in ("READY", "TRAINING"):
        assert time.monotonic() < end, told
        worker.turn(0.0)
        time.sleep(0.02)
        with workspace.registry.reading() as session:
            state = session.get_one(Retrain, number).state
    worker.close()
    with workspace.registry.reading() as session:
        row = session.get_one(Retrain, number)
        assert (row.state, row.deaths) == ("REGISTERED", len(POINTS) - 1), told
        assert (workspace.root / "attempts").read_text() == "x" * len(POINTS)
        assert sum("its worker was lost" in line for line in told) == len(POINTS)
        versions = session.exec(select(ModelVersion)).all()
        assert [version.state for version in versions] == ["registered", "registered"]
        assert row.model_version_id == versions[1].id
        assert len(session.exec(select(Run)).all()) == 2
        assert len(session.exec(select(DatasetVersion)).all()) == 2
        assert row.dataset_id == 2
        assert row.attempts and row.gates
    with pytest.raises(AssertionError):  # whoever carries it out by hand finds nothing left to do
        assert carry_out(str(workspace.root), number, "").trouble == ""


@pytest.mark.slow
def test_a_dask_worker_needs_no_workspace(tmp_path: Path) -> None:
    """In a process of its own, and from the data alone; it comes to what is come to here.

    Not to the byte: the last bit of a sum may differ with how TensorFlow's threads were scheduled.
    """
    distributed = pytest.importorskip("distributed", reason="edgeops[dask] is not installed")
    workspace, number = changed_digits(tmp_path, "head", samples=120)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        climbing_on(cluster.scheduler_address) as climbing,
    ):
        said: list[str] = []
        there = run_retrain(workspace, number, say=said.append, climbing=climbing)
    assert [line.split(":")[0] for line in said] == ["head"]
    with workspace.registry.session() as session:
        session.get_one(Run, there.run.id).retrain_id = None  # as if it had not been done yet
        session.get_one(Retrain, number).state = "READY"
    here = run_retrain(workspace, number)
    assert (here.version.state, here.version.artifact_bytes) == (
        there.version.state,
        there.version.artifact_bytes,
    )
    accuracies = [trained.run.metrics["int8"]["accuracy"] for trained in (here, there)]
    assert abs(accuracies[0] - accuracies[1]) <= 0.01


def test_what_is_no_address_is_refused_before_anything_begins() -> None:
    with pytest.raises(UsageError, match="no address"), climbing_on("somewhere"):
        pass


def _ends(root: str, retrain_id: int, dask: str) -> Ended:
    return Ended("READY", f"{Path(root).name} {retrain_id} {dask}")


def test_a_job_says_how_it_ended_once(tmp_path: Path) -> None:
    process = OwnProcess(_ends)
    assert process.ended() is None
    process.submit(tmp_path, 3, "tcp://h:1")
    end = time.monotonic() + DEADLINE_S
    while process.busy:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert process.ended() == Ended("READY", f"{tmp_path.name} 3 tcp://h:1")
    assert process.ended() is None
