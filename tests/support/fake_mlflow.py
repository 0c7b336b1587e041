"""As much of MLflow as an export uses, in memory, with the limits of the real one; put in its place."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class MlflowException(Exception):
    """What the real one raises for anything."""


@dataclass
class Param:
    key: str
    value: str


@dataclass
class Metric:
    key: str
    value: float
    timestamp: int
    step: int


@dataclass
class RunTag:
    key: str
    value: str


@dataclass
class StoredRun:
    """A run as the server keeps it."""

    info: Any
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    status: str = "RUNNING"


@dataclass
class Server:
    """Experiments by name: where their artifacts are, and their runs."""

    artifacts: dict[str, str | None] = field(default_factory=dict)
    runs: dict[str, list[StoredRun]] = field(default_factory=dict)

    def run(self, run_id: str) -> StoredRun:
        return next(run for runs in self.runs.values() for run in runs if run.info.run_id == run_id)


def install(monkeypatch: pytest.MonkeyPatch, *, down: bool = False) -> dict[str, Server]:
    """Put the fake in MLflow's place; returns the servers by tracking URI. ``down``: none answers."""
    servers: dict[str, Server] = {}

    class MlflowClient:
        def __init__(self, tracking_uri: str) -> None:
            self._server = servers.setdefault(tracking_uri, Server())

        def get_experiment_by_name(self, name: str) -> Any:
            if down:
                raise MlflowException("API request failed\nwith many lines")
            return SimpleNamespace(experiment_id=name) if name in self._server.runs else None

        def create_experiment(self, name: str, artifact_location: str | None = None) -> str:
            self._server.artifacts[name], self._server.runs[name] = artifact_location, []
            return name

        def search_runs(self, experiment_ids: list[str], filter_string: str = "") -> list[StoredRun]:
            wanted = dict(part.split(" = ") for part in filter_string.split(" and "))
            tags = {key.removeprefix("tags.`").rstrip("`"): value.strip("'") for key, value in wanted.items()}
            runs = [run for name in experiment_ids for run in self._server.runs[name]]
            return [run for run in runs if tags.items() <= run.tags.items()]

        def create_run(self, experiment_id: str, start_time: int, run_name: str) -> StoredRun:
            number = len(self._server.runs[experiment_id])
            info = SimpleNamespace(run_id=f"{run_name}-{number}", start_time=start_time, end_time=None)
            self._server.runs[experiment_id].append(StoredRun(info))
            return self._server.runs[experiment_id][-1]

        def log_batch(
            self,
            run_id: str,
            metrics: list[Metric] | tuple[()] = (),
            params: list[Param] | tuple[()] = (),
            tags: list[RunTag] | tuple[()] = (),
        ) -> None:
            if len(metrics) > 1000 or len(params) > 100 or len(tags) > 100:
                raise MlflowException("too many in one batch")
            if any(len(param.value) > 6000 for param in params) or any(len(tag.value) > 8000 for tag in tags):
                raise MlflowException("too long a value")
            run = self._server.run(run_id)
            assert not run.params.keys() & {param.key for param in params}
            run.params.update({param.key: param.value for param in params})
            run.metrics += list(metrics)
            run.tags.update({tag.key: tag.value for tag in tags})

        def log_artifact(self, run_id: str, local_path: str) -> None:
            path = Path(local_path)
            self._server.run(run_id).files[path.name] = path.read_bytes()

        def set_terminated(self, run_id: str, status: str, end_time: int | None = None) -> None:
            run = self._server.run(run_id)
            run.status, run.info.end_time = status, end_time

    module, entities, exceptions = (
        ModuleType(name) for name in ("mlflow", "mlflow.entities", "mlflow.exceptions")
    )
    module.__dict__.update(MlflowClient=MlflowClient, entities=entities, exceptions=exceptions)
    entities.__dict__.update(Param=Param, Metric=Metric, RunTag=RunTag)
    exceptions.__dict__.update(MlflowException=MlflowException)
    for made in (module, entities, exceptions):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    return servers
