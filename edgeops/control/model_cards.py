"""Gathering a version's model card from the registry."""

from __future__ import annotations

from edgeops.control.workspace import Workspace
from edgeops.core.outputs import RECONSTRUCTION_LABELS
from edgeops.registry.names import find_model
from edgeops.registry.tables import DatasetVersion, Run
from edgeops.reports.model_card import ModelCard, Size
from edgeops.targets.catalogue import find_target
from edgeops.targets.check import check_fit


def model_card(workspace: Workspace, model: str, targets: tuple[str, ...] = ()) -> ModelCard:
    """The card of ``model`` or ``model@version``; its size is checked on ``targets``.

    Raises ``NotFoundError`` for a model or target that is not known.
    """
    with workspace.registry.reading() as session:
        version = find_model(session, model)
        run = session.get_one(Run, version.run_id)
        dataset = session.get_one(DatasetVersion, run.dataset_id)
    record = run.record
    gated = tuple(g["name"].removeprefix("fits_") for g in run.gates if g["name"].startswith("fits_"))
    tflite = workspace.blobs.get(version.artifact_sha256)
    anomaly = record.get("task") == "anomaly"
    return ModelCard(
        model=f"{version.model}@{version.version}",
        state=version.state,
        description=record.get("description", ""),
        task=record.get("task", "classification"),
        labels=RECONSTRUCTION_LABELS if anomaly else tuple(dataset.labels),
        dataset={
            "name": dataset.name,
            "version": dataset.version,
            "kind": dataset.kind,
            "parts": dataset.parts,
        },
        run={
            "id": run.id,
            "seed": run.seed,
            "seconds": run.seconds,
            **{k: record[k] for k in ("holdout", "architecture", "parameters", "environment") if k in record},
        },
        metrics=run.metrics,
        gates=run.gates,
        artifact_bytes=version.artifact_bytes,
        artifact_sha256=version.artifact_sha256,
        calibration=record.get("calibration", []),
        curves=record.get("curves", []),
        sizes=tuple(_size(tflite, name) for name in dict.fromkeys((*gated, *targets))),
    )


def _size(tflite: bytes, name: str) -> Size:
    report = check_fit(tflite, find_target(name))
    span = (report.latency_ms["low"], report.latency_ms["high"]) if report.latency_ms else None
    return Size(name, report.fits, report.flash_bytes, report.arena_bytes, span, "; ".join(report.reasons))
