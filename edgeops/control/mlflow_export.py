"""A run in MLflow: parameters, metrics, curves, tags, and its card, recipe and model as artifacts."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeops.control.model_cards import model_card
from edgeops.control.runs import find_run, flat, version_of
from edgeops.control.workspace import Workspace
from edgeops.core.errors import MissingExtra, UnreachableError
from edgeops.registry.artifacts import PLAN, forms_of
from edgeops.registry.tables import DatasetVersion, ModelVersion, Run
from edgeops.reports.model_card_page import render_html, render_markdown

DATABASE = "mlflow.db"
# what one call to MLflow takes
_MOST_PARAMS, _MOST_METRICS = 100, 1000
_LONGEST_PARAM, _LONGEST_TAG = 6000, 8000


@dataclass(frozen=True)
class Exported:
    """Where a run is in MLflow; ``new`` is false where it was there already."""

    run: int
    uri: str
    experiment: str
    mlflow_run: str
    new: bool

    def as_dict(self) -> dict[str, object]:
        """The document of ``edgeops run export --json``."""
        return {
            "run": self.run,
            "uri": self.uri,
            "experiment": self.experiment,
            "mlflow_run": self.mlflow_run,
            "new": self.new,
        }


def export_run(workspace: Workspace, run_id: int, destination: str) -> Exported:
    """Write a run to the MLflow tracking server at ``destination``, in the experiment of its model's name.

    A destination that is no URI is a folder: MLflow's database and the artifacts are in it. The same run is
    not written twice. Raises ``NotFoundError`` for an unknown run, ``MissingExtra`` without MLflow,
    ``UnreachableError`` where it does not take the run.
    """
    with workspace.registry.reading() as session:
        run = find_run(session, run_id)
        version = version_of(session, run)
        dataset = session.get_one(DatasetVersion, run.dataset_id)
    mlflow = _mlflow()
    uri, artifacts = _place(destination)
    try:
        return _export(mlflow, workspace, run, version, dataset, uri, artifacts)
    except mlflow.exceptions.MlflowException as error:
        raise UnreachableError(
            f"MLflow at {uri} did not take run {run_id}: {str(error).splitlines()[0]}",
            fix="give the URI of a tracking server that runs, or a folder",
            uri=uri,
        ) from error


def _export(
    mlflow: ModuleType,
    workspace: Workspace,
    run: Run,
    version: ModelVersion,
    dataset: DatasetVersion,
    uri: str,
    artifacts: str | None,
) -> Exported:
    client, entities = mlflow.MlflowClient(tracking_uri=uri), mlflow.entities
    experiment = client.get_experiment_by_name(version.model)
    identity = experiment.experiment_id if experiment else client.create_experiment(version.model, artifacts)
    tags = _tags(run, version, dataset)
    same = " and ".join(f"tags.`{key}` = '{tags[key]}'" for key in ("edgeops.run", "edgeops.sha256"))
    if found := client.search_runs([identity], same):
        return Exported(run.id or 0, uri, version.model, found[0].info.run_id, False)
    files = _files(workspace, run, version)
    ended = round(run.created_at * 1000)
    started = ended - round(run.seconds * 1000)
    name = f"{version.model}@{version.version}"
    made = client.create_run(identity, start_time=started, run_name=name).info.run_id
    params = [
        entities.Param(key, str(value)[:_LONGEST_PARAM]) for key, value in _parameters(run, dataset).items()
    ]
    metrics = [
        entities.Metric(key, value, started + round((ended - started) * share), step)
        for key, value, step, share in _metrics(run)
    ]
    marks = [entities.RunTag(key, value[:_LONGEST_TAG]) for key, value in tags.items()]
    try:
        _write(client, made, params, metrics, files)
        client.log_batch(made, tags=marks)  # last: with its tags a run counts as written
    except BaseException:
        client.set_terminated(made, "FAILED")
        raise
    client.set_terminated(made, "FINISHED", ended)
    return Exported(run.id or 0, uri, version.model, made, True)


def _write(
    client: Any, run_id: str, params: Sequence[Any], metrics: Sequence[Any], files: Mapping[str, bytes]
) -> None:
    for some in _pieces(params, _MOST_PARAMS):
        client.log_batch(run_id, params=some)
    for some in _pieces(metrics, _MOST_METRICS):
        client.log_batch(run_id, metrics=some)
    with tempfile.TemporaryDirectory(prefix="edgeops-mlflow-") as folder:
        for file, data in files.items():
            path = Path(folder) / file
            path.write_bytes(data)
            client.log_artifact(run_id, str(path))


def _mlflow() -> ModuleType:
    # a server that is not there is told in seconds, not after minutes of trying
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    try:
        import mlflow
        import mlflow.entities
        import mlflow.exceptions
    except ImportError as error:
        raise MissingExtra(
            f"this needs MLflow, which does not load: {error}",
            fix='pip install "edgeops[mlflow]"',
            extra="mlflow",
        ) from error
    for name in ("mlflow", "alembic"):  # they tell how a new database is made
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


def _place(destination: str) -> tuple[str, str | None]:
    """The tracking URI, and where a new experiment keeps its artifacts (None: where the server does)."""
    if "://" in destination:
        return destination, None
    folder = Path(destination).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / DATABASE}", (folder / "artifacts").as_uri()


def _parameters(run: Run, dataset: DatasetVersion) -> dict[str, Any]:
    said = {"seed": run.seed, "dataset": f"{dataset.name}@{dataset.version}", "recipe": run.recipe}
    return {**said, **flat(run.record.get("settings", {}))}


def _metrics(run: Run) -> Iterator[tuple[str, float, int, float]]:
    """Name, value, step, and which share of the training's time had passed."""
    curves = run.record.get("curves", [])
    for epoch, figures in enumerate(curves, start=1):
        for name, value in figures.items():
            yield name, float(value), epoch, epoch / len(curves)
    for kind, metrics in run.metrics.items():
        for name in ("accuracy", "auc"):
            if name in metrics:
                yield f"{kind}.{name}", float(metrics[name]), 0, 1.0
    for gate in run.gates:
        yield f"gate.{gate['name']}", float(gate["value"]), 0, 1.0
    yield "seconds", run.seconds, 0, 1.0


def _tags(run: Run, version: ModelVersion, dataset: DatasetVersion) -> dict[str, str]:
    environment = {
        f"environment.{key}": str(value) for key, value in run.record.get("environment", {}).items()
    }
    found = {
        **environment,
        "edgeops.run": str(run.id),
        "edgeops.model": f"{version.model}@{version.version}",
        "edgeops.state": version.state,
        "edgeops.sha256": version.artifact_sha256,
        "edgeops.dataset_sha256": dataset.sha256,
    }
    if commit := environment.get("environment.git_commit"):
        found["mlflow.source.git.commit"] = commit.split()[0]
    return found


def _files(workspace: Workspace, run: Run, version: ModelVersion) -> dict[str, bytes]:
    card = model_card(workspace, f"{version.model}@{version.version}")
    files = {
        "model.tflite": workspace.blobs.get(version.artifact_sha256),
        "card.md": render_markdown(card).encode(),
        "card.html": render_html(card).encode(),
    }
    for form in forms_of(version):
        if form.runtime == PLAN:
            files["model.plan"] = workspace.blobs.get(form.sha256)
    if text := run.record.get("recipe_text"):
        files["recipe.toml"] = text.encode()
    if version.manifest_sha256:
        files["manifest.cose"] = workspace.blobs.get(version.manifest_sha256)
    return files


def _pieces(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), most):
        yield values[start : start + most]
