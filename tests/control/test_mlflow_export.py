"""A run in MLflow. MLflow itself is not installed for tests: 22 packages for one command; see the fake."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlmodel import Session
from support import fake_mlflow
from support.packages import TFLITE, build
from support.registry import NOW, add_version

from edgeops.control.mlflow_export import export_run
from edgeops.control.settings import Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core.errors import MissingExtra, NotFoundError, UnreachableError
from edgeops.registry.tables import DatasetVersion, Run

CONFUSION = [[2 if i == j else 0 for j in range(5)] for i in range(5)]
SERVER = "http://mlflow.example"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One registered version, of a run with curves and more settings than MLflow takes at once."""
    workspace = init_workspace(tmp_path / "farm", Settings("farm"))
    package = build(1)
    with workspace.registry.session() as session:
        add_version(session, package)
        fill(session)
    for blob in (TFLITE, package.envelope):
        workspace.blobs.put(blob)
    return workspace


def fill(session: Session) -> None:
    run = session.get_one(Run, 1)
    run.metrics = {
        name: {"accuracy": value, "n": 10, "confusion": CONFUSION}
        for name, value in (("float", 0.9), ("int8", 0.8))
    }
    run.gates = [{"name": "min_int8_accuracy", "passed": True, "value": 0.8, "limit": 0.5, "note": ""}]
    run.seconds = 10.0
    run.record = {
        "recipe_text": "[recipe]",
        "settings": {
            "training": {"epochs": 600, "batch_size": 8, "learning_rate": 0.1},
            "long": "x" * 9000,
            "many": {f"k{i}": i for i in range(150)},
        },
        "curves": [{"loss": 1 / epoch, "val_accuracy": 0.5} for epoch in range(1, 601)],
        "environment": {"numpy": "2", "git_commit": "abcdef with changes"},
    }
    session.add(run)
    dataset = session.get_one(DatasetVersion, 1)
    dataset.labels = ["zero", "one", "two", "three", "four"]
    session.add(dataset)


def test_everything_arrives(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = fake_mlflow.install(monkeypatch)
    done = export_run(workspace, 1, SERVER)
    assert (done.uri, done.experiment, done.new) == (SERVER, "tiny", True)
    run = servers[SERVER].run(done.mlflow_run)
    assert run.params["training.epochs"] == "600"
    assert run.params["seed"] == "1" and run.params["dataset"] == "set@1"
    assert len(run.params) == 157 and len(run.params["long"]) == 6000
    losses = [metric for metric in run.metrics if metric.key == "loss"]
    assert [(metric.step, metric.value) for metric in losses[:2]] == [(1, 1.0), (2, 0.5)]
    assert len(losses) == 600
    assert losses[-1].timestamp == run.info.end_time == NOW * 1000
    assert run.info.start_time == NOW * 1000 - 10_000 < losses[0].timestamp
    last = {metric.key: metric.value for metric in run.metrics}
    assert (last["int8.accuracy"], last["gate.min_int8_accuracy"], last["seconds"]) == (0.8, 0.8, 10.0)
    assert run.tags["edgeops.model"] == "tiny@1"
    assert run.tags["mlflow.source.git.commit"] == "abcdef"
    assert run.files.keys() == {"model.tflite", "manifest.cose", "recipe.toml", "card.md", "card.html"}
    assert run.files["model.tflite"] == TFLITE
    assert run.files["card.md"].startswith(b"# tiny@1")
    assert run.status == "FINISHED"
    assert servers[SERVER].artifacts["tiny"] is None  # the server says where


def test_a_run_is_written_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = fake_mlflow.install(monkeypatch)
    first, second = export_run(workspace, 1, SERVER), export_run(workspace, 1, SERVER)
    assert (second.mlflow_run, second.new) == (first.mlflow_run, False)
    assert len(servers[SERVER].runs["tiny"]) == 1


def test_a_folder_gets_a_database_and_the_artifacts(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    servers = fake_mlflow.install(monkeypatch)
    done = export_run(workspace, 1, str(tmp_path / "runs"))
    assert done.uri == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert servers[done.uri].artifacts["tiny"] == f"file://{tmp_path}/runs/artifacts"
    assert (tmp_path / "runs").is_dir()


def test_an_interrupted_export_is_written_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = fake_mlflow.install(monkeypatch)

    def full(*_: object) -> None:
        raise OSError("full")

    with monkeypatch.context() as broken:
        broken.setattr(sys.modules["mlflow"].MlflowClient, "log_artifact", full)
        with pytest.raises(OSError, match="full"):
            export_run(workspace, 1, SERVER)
    assert export_run(workspace, 1, SERVER).new
    assert [run.status for run in servers[SERVER].runs["tiny"]] == ["FAILED", "FINISHED"]


def test_what_goes_wrong_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match="no run 9"):
        export_run(workspace, 9, SERVER)
    fake_mlflow.install(monkeypatch, down=True)
    with pytest.raises(UnreachableError) as caught:
        export_run(workspace, 1, SERVER)
    assert caught.value.message == f"MLflow at {SERVER} did not take run 1: API request failed"
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtra, match="this needs MLflow") as missing:
        export_run(workspace, 1, SERVER)
    assert missing.value.fields["extra"] == "mlflow"
