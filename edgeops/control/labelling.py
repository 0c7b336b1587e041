"""Labels by people: captured inputs out as files, and what people said of them back into the registry."""

from __future__ import annotations

import csv
import io
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.label_files import as_file, sample_of, stem_of
from edgeops.control.plans import PlanShelf
from edgeops.control.rollout_orders import actor
from edgeops.control.workspace import Workspace
from edgeops.core.errors import DataError, EdgeOpsError, NotFoundError, UsageError
from edgeops.core.manifest import Manifest
from edgeops.core.messages import Captured, PredictionId
from edgeops.core.outputs import score_spec
from edgeops.files import write_atomic
from edgeops.fleet import audit
from edgeops.registry.names import find_model, model_of_manifest, nearest, split_version
from edgeops.registry.tables import Alert, CapturedSample, DatasetVersion, LabelTruth, ModelVersion, Run

SHEET = "labels.csv"
COLUMNS = ("file", "prediction", "predicted", "confidence", "label")
SHOWN = 10
PAGE = 200
"""So many captured inputs are in memory at a time."""


@dataclass
class Imported:
    """What became of a sheet. ``problems`` are (line, why), ``disagreements`` lines for a person."""

    new: int = 0
    changed: int = 0
    same: int = 0
    empty: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "new": self.new,
            "changed": self.changed,
            "same": self.same,
            "empty": self.empty,
            "problems": [{"line": line, "problem": why} for line, why in self.problems],
            "disagreements": self.disagreements,
        }


@dataclass(frozen=True)
class _Labelled:
    line: int
    sample: CapturedSample
    truth: int
    labels: tuple[str, ...]


def check_source(workspace: Workspace, source: str) -> None:
    """Raise ``UsageError`` where the workspace does not let labels come from ``source``."""
    if source not in workspace.settings.capture.labels:
        raise UsageError(
            f"labels of a {source} are not allowed here: capture.labels has "
            f"{', '.join(workspace.settings.capture.labels) or 'none'}",
            fix=f'add "{source}" to labels below [capture] in edgeops.toml',
        )


def unlabelled(
    session: Session,
    model: str | None = None,
    alert: int | None = None,
    guessed: bool = False,
    page: int = PAGE,
) -> Iterator[tuple[CapturedSample, ModelVersion]]:
    """Captured inputs of one model that nobody labelled, the oldest first; read as they are asked for, by the page.

    With ``guessed`` those that a teacher labelled come behind them. ``model`` may name a version; ``alert`` stands for
    the version that drifted. Raises ``NotFoundError``, and ``UsageError`` where there are several models and none is
    named.
    """
    source = col(LabelTruth.source)
    query = (
        select(CapturedSample, ModelVersion)
        .join(ModelVersion, col(ModelVersion.manifest_sha256) == col(CapturedSample.manifest))
        .outerjoin(
            LabelTruth,
            (col(LabelTruth.prediction) == col(CapturedSample.prediction))
            & (col(LabelTruth.device_id) == col(CapturedSample.device_id)),
        )
        .where(source.is_(None) | (source == "teacher") if guessed else source.is_(None))
    )
    if alert is not None:
        row = session.get(Alert, alert)
        if row is None:
            raise NotFoundError(f"no alert {alert}", fix="edgeops drift list")
        query = query.where(ModelVersion.id == row.model_version_id)
    if model is not None:
        found = find_model(session, model)
        query = query.where(ModelVersion.model == found.model)
        if split_version(model)[1] is not None:
            query = query.where(ModelVersion.version == found.version)
    named: Any = query.with_only_columns(col(ModelVersion.model)).distinct()
    names = sorted(name for (name,) in session.exec(named))
    if len(names) > 1:
        raise UsageError(
            f"there are captured inputs of {', '.join(names)}", fix=f"name one: --model {names[0]}"
        )
    in_turn = query.order_by(
        source.is_not(None),
        col(CapturedSample.received_at),
        col(CapturedSample.device_id),
        col(CapturedSample.prediction),
    )
    return _page_by_page(session, in_turn, page)


def _page_by_page(session: Session, query: Any, page: int) -> Iterator[tuple[CapturedSample, ModelVersion]]:
    for start in itertools.count(0, page):
        rows = session.exec(query.limit(page).offset(start)).all()
        yield from rows
        if len(rows) < page:
            return


def export_labels(
    workspace: Workspace,
    folder: Path,
    model: str | None = None,
    alert: int | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Write captured inputs without a truth into ``folder``, with a sheet to fill in; returns what was written.

    Raises as ``unlabelled``, ``UsageError`` where ``folder`` holds a sheet already, ``StorageError``.
    """
    check_source(workspace, "person")
    if (folder / SHEET).exists():
        raise UsageError(
            f"{folder / SHEET} is there already, and may hold labels",
            fix=f"edgeops label import {folder}, or name another folder",
        )
    shelf = PlanShelf(workspace.blobs)
    rows: list[dict[str, str]] = []
    names: tuple[str, ...] = ()
    skipped, exact = 0, True
    with workspace.registry.reading() as session:
        for sample, version in unlabelled(session, model, alert, page=min(limit or PAGE, PAGE)):
            if limit is not None and len(rows) >= limit:
                break
            manifest = shelf.manifest(sample.manifest)
            kind, rate = _kind(session, version)
            try:
                made = as_file(manifest, kind, rate, sample.tensor)
                row = _row(manifest, sample, made.suffix)
            except EdgeOpsError:
                skipped += 1  # counted and said: what a device sends may be anything
                continue
            write_atomic(folder / row["file"], made.content)
            rows.append(row)
            exact, names = exact and made.exact, manifest.labels
    if rows:
        write_atomic(folder / "README.txt", _readme(names, exact).encode())
        write_atomic(folder / SHEET, _sheet(rows).encode())  # last: with it the folder is whole
    return {"folder": str(folder), "inputs": len(rows), "unreadable": skipped, "labels": list(names)}


def import_labels(
    workspace: Workspace, path: Path, partial: bool = False, clock: Callable[[], float] = time.time
) -> Imported:
    """Take a filled sheet (a folder that has one, or the file): labels by name or number, an empty one is none.

    All or nothing, but for ``partial``, which leaves out the lines that are wrong and returns why. Again it changes
    nothing. A person's label goes before a device's and a teacher's. Raises ``DataError`` with the lines that are
    wrong, ``NotFoundError`` where there is no sheet.
    """
    check_source(workspace, "person")
    sheet = path / SHEET if path.is_dir() else path
    lines = list(_lines(sheet))
    result, now = Imported(), clock()
    shelf = PlanShelf(workspace.blobs)
    with workspace.registry.session() as session:
        labelled = _checked(session, shelf, lines, result)
        if result.problems and not partial:
            raise DataError(
                f"{sheet}: nothing was imported: {len(result.problems)} of {len(lines)} lines are wrong\n"
                + "\n".join(f"  line {line}: {why}" for line, why in result.problems[:SHOWN])
                + (f"\n  and {len(result.problems) - SHOWN} more" if len(result.problems) > SHOWN else ""),
                fix=f"edgeops label import {path} --partial takes the others",
            )
        for one in labelled:
            _take(session, one, result, now)
        if result.new or result.changed:
            models = ", ".join(sorted({one.sample.model for one in labelled}))
            counts = {"new": result.new, "changed": result.changed}
            audit.record(session, now, actor(), "label", f"model {models}", detail=counts)
    return result


def write_truth(session: Session, sample: CapturedSample, truth: int, source: str, now: float) -> LabelTruth:
    """A truth of a captured input that has none; raises ``WireError`` where its id is none."""
    id = PredictionId.unpack(bytes.fromhex(sample.prediction))
    row = LabelTruth(
        prediction=sample.prediction,
        device_id=sample.device_id,
        model=sample.model,
        manifest_prefix=id.model.hex(),
        boot=id.boot,
        sequence=id.sequence,
        predicted=id.predicted,
        truth=truth,
        source=source,
        representative=source != "teacher" and sample.reason == Captured.UNIFORM.label,
        received_at=now,
    )
    session.add(row)
    return row


def known_truth(session: Session, sample: CapturedSample) -> LabelTruth | None:
    """What is known of a captured input already."""
    query = select(LabelTruth).where(
        LabelTruth.prediction == sample.prediction, LabelTruth.device_id == sample.device_id
    )
    return session.exec(query).first()


def _take(session: Session, one: _Labelled, result: Imported, now: float) -> None:
    before = known_truth(session, one.sample)
    if before is None:
        write_truth(session, one.sample, one.truth, "person", now)
        result.new += 1
        return
    if before.truth != one.truth:
        whose = {"person": "another label of a person was", "teacher": "the teacher said"}
        said = whose.get(before.source, f"{one.sample.device_id} said")
        then, named = _name(one.labels, before.truth), _name(one.labels, one.truth)
        result.disagreements.append(f"line {one.line}: {said} {then}, and now it is {named}")
    if (before.truth, before.source) == (one.truth, "person") or (
        before.truth == one.truth and before.source == "device"
    ):
        result.same += 1
        return
    if before.source == "teacher":
        before.representative = one.sample.reason == Captured.UNIFORM.label
    before.truth, before.source = one.truth, "person"
    session.add(before)
    result.changed += 1


def _checked(
    session: Session, shelf: PlanShelf, lines: list[tuple[int, str, str]], result: Imported
) -> list[_Labelled]:
    """The lines that say something that can be taken; what is wrong goes to ``result.problems``."""
    seen: dict[tuple[str, str], int] = {}
    labelled: list[_Labelled] = []
    for line, file, label in lines:
        key = sample_of(file)
        sample = session.get(CapturedSample, key) if key else None
        if key is None or sample is None:
            result.problems.append((line, f"{file!r} is no captured input of this workspace"))
        elif key in seen:
            result.problems.append((line, f"{file} is in line {seen[key]} already"))
        elif not label:
            seen[key] = line
            result.empty += 1
        else:
            seen[key] = line
            version = model_of_manifest(session, sample.manifest)
            if version is None:
                result.problems.append((line, f"the version that predicted {file} is not known any more"))
                continue
            labels = shelf.manifest(sample.manifest).labels
            truth = _index(labels, label)
            if truth is None:
                near = nearest(label, labels)
                hint = f"did you mean {near!r}?" if near else f"it knows {', '.join(labels)}"
                result.problems.append((line, f"{version.model} does not know the label {label!r}: {hint}"))
            else:
                labelled.append(_Labelled(line, sample, truth, labels))
    return labelled


def _index(labels: tuple[str, ...], text: str) -> int | None:
    """A label by its name, whatever its case, or by its number; names go first."""
    if text in labels:
        return labels.index(text)
    folded = [label.casefold() for label in labels]
    if folded.count(text.casefold()) == 1:
        return folded.index(text.casefold())
    if text.isascii() and text.isdecimal() and int(text) < len(labels):
        return int(text)
    return None


def _lines(sheet: Path) -> Iterator[tuple[int, str, str]]:
    """(line, file, label) of each row; commas, semicolons or tabs between, as spreadsheets write them."""
    try:
        text = sheet.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(f"no {sheet}", fix="edgeops label export FOLDER writes one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{sheet} cannot be read: {error}", fix="save it as CSV in UTF-8") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    missing = [name for name in ("file", "label") if name not in (reader.fieldnames or [])]
    if missing:
        raise DataError(
            f"{sheet} has no column {missing[0]!r}: its first line must name {', '.join(COLUMNS)}",
            fix="keep the first line as edgeops label export wrote it",
        )
    try:
        for row in reader:
            yield reader.line_num, (row["file"] or "").strip(), (row["label"] or "").strip()
    except csv.Error as error:
        raise DataError(f"{sheet}, line {reader.line_num}: {error}", fix="save it as CSV in UTF-8") from error


def _row(manifest: Manifest, sample: CapturedSample, suffix: str) -> dict[str, str]:
    id, spec = PredictionId.unpack(bytes.fromhex(sample.prediction)), score_spec(manifest)
    # the middle of its bin: the id has no more of it
    confidence = (id.confidence_bin * 16 + 8 - 128 - spec.zero_point) * spec.scale
    return {
        "file": stem_of(sample.prediction, sample.device_id) + suffix,
        "prediction": sample.prediction,
        "predicted": _name(manifest.labels, id.predicted),
        "confidence": f"{min(max(confidence, 0.0), 1.0):.2f}",
        "label": "",
    }


def _name(labels: tuple[str, ...], index: int) -> str:
    return labels[index] if index < len(labels) else str(index)


def _sheet(rows: list[dict[str, str]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _readme(labels: tuple[str, ...], exact: bool) -> str:
    shown = "\n".join(f"  {index}  {label}" for index, label in enumerate(labels))
    note = "" if exact else "The files show what the model was given: its front end cannot be undone.\n\n"
    return (
        f"Look at each file, and write what it is into the column 'label' of {SHEET}: a name or a number of\n\n"
        f"{shown}\n\nLeave it empty where you cannot tell. The column 'predicted' is what the model said.\n\n{note}"
        "Then: edgeops label import THIS_FOLDER\n"
    )


def _kind(session: Session, version: ModelVersion) -> tuple[str, float]:
    """Kind and sample rate of the data that a version was trained on."""
    run = session.get_one(Run, version.run_id)
    dataset = session.get_one(DatasetVersion, run.dataset_id)
    return dataset.kind, dataset.sample_rate_hz
