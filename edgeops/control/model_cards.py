"""Gathering a version's model card from the registry."""

from __future__ import annotations

from pathlib import Path

from edgeops.control.fit_reports import fit_report
from edgeops.control.workspace import Workspace
from edgeops.core.outputs import RECONSTRUCTION_LABELS
from edgeops.files import write_atomic
from edgeops.registry.artifacts import forms_of
from edgeops.registry.names import find_model
from edgeops.registry.tables import DatasetVersion, Run
from edgeops.reports.model_card import ModelCard, Size
from edgeops.reports.model_card_page import render_html, render_markdown

FOLDER = "cards"
_OF_RECORD = ("holdout", "architecture", "parameters", "settings", "parts", "notes", "environment")


def write_cards(workspace: Workspace, model: str) -> tuple[Path, Path]:
    """Write ``cards/<model>-<version>.md`` and ``.html`` of ``model@version``; returns where.

    Raises ``NotFoundError`` for a model that is not known, ``StorageError`` when the disk is full.
    """
    card = model_card(workspace, model)
    markdown, page = card_paths(workspace, card.model)
    write_atomic(markdown, render_markdown(card).encode())
    write_atomic(page, render_html(card).encode())
    return markdown, page


def card_paths(workspace: Workspace, model: str) -> tuple[Path, Path]:
    """Where the cards of ``model@version`` lie: Markdown, HTML."""
    name, _, version = model.rpartition("@")
    folder = workspace.root / FOLDER
    return folder / f"{name}-{version}.md", folder / f"{name}-{version}.html"


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
            "source": dataset.source,
            "split": dataset.split,
            "quarantined": len(dataset.quarantined),
        },
        run={
            "id": run.id,
            "seed": run.seed,
            "seconds": run.seconds,
            **{key: record[key] for key in _OF_RECORD if key in record},
        },
        metrics=run.metrics,
        gates=run.gates,
        artifact_bytes=version.artifact_bytes,
        artifact_sha256=version.artifact_sha256,
        artifacts=[form.as_dict() for form in forms_of(version)],
        not_packaged=record.get("not_packaged", {}),
        calibration=record.get("calibration", []),
        curves=record.get("curves", []),
        anomalies=record.get("anomalies"),
        not_for=tuple(record.get("not_for", ())),
        sizes=tuple(_size(tflite, name) for name in dict.fromkeys((*gated, *targets))),
    )


def _size(tflite: bytes, name: str) -> Size:
    report = fit_report(tflite, name)
    span = (report.latency_ms["low"], report.latency_ms["high"]) if report.latency_ms else None
    return Size(name, report.fits, report.flash_bytes, report.arena_bytes, span, "; ".join(report.reasons))
