"""A teacher model labels captured inputs: where it is sure, and never for a hold-out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.control.label_files import tensor_of
from edgeops.control.labelling import PAGE, check_source, known_truth, unlabelled, write_truth
from edgeops.control.plans import PlanShelf
from edgeops.control.rollout_orders import actor
from edgeops.control.workspace import Workspace
from edgeops.core.errors import EdgeOpsError, InputError, NotFoundError, StorageError, UsageError
from edgeops.core.features.quantize import dequantize, quantize
from edgeops.core.features.steps import quantized_input, raw_input, undoable
from edgeops.core.manifest import Manifest
from edgeops.core.outputs import class_scores, score_spec
from edgeops.fleet import audit
from edgeops.registry.names import find_model
from edgeops.registry.tables import CapturedSample

SUFFIXES = (".tflite", ".keras", ".h5")
Scores = NDArray[np.float64]
Int8 = NDArray[np.int8]
Teacher = Callable[[Manifest, list[Int8]], Scores]
"""Of a student's manifest and its quantized inputs: (N, labels of the student) of 0 to 1."""


def teach(
    workspace: Workspace,
    teacher: str,
    model: str | None = None,
    confidence: float = 0.9,
    limit: int | None = None,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Label captured inputs that nobody labelled with what ``teacher`` is at least ``confidence`` sure of.

    ``teacher`` is a registered version, or a ``.tflite``, ``.keras`` or ``.h5`` file whose outputs are the scores of
    the student's labels, in their order, for inputs in raw units. Those that no teacher labelled come first; what
    another one said before is replaced. Raises ``UsageError``, ``NotFoundError``, and ``InputError`` where the two
    models do not go together.
    """
    check_source(workspace, "teacher")
    if not 0.0 < confidence <= 1.0:
        raise UsageError(
            f"a confidence of {confidence} is not above 0 and at most 1", fix="--confidence 0.9, for example"
        )
    shelf, now = PlanShelf(workspace.blobs), clock()
    asked = _teacher(workspace, shelf, teacher)
    counts = {"labelled": 0, "changed": 0, "same": 0, "unsure": 0, "unreadable": 0}
    with workspace.registry.reading() as session:
        found = unlabelled(session, model, guessed=True, page=min(limit or PAGE, PAGE))
        samples = [sample for sample, _ in islice(found, limit)]
    told: list[tuple[CapturedSample, int]] = []
    for digest in sorted({sample.manifest for sample in samples}):
        manifest = shelf.manifest(digest)
        readable, tensors = _tensors(manifest, [one for one in samples if one.manifest == digest])
        counts["unreadable"] -= len(readable)
        scores = asked(manifest, tensors) if tensors else np.zeros((0, 1))
        for sample, row in zip(readable, scores, strict=True):
            if row.max() >= confidence:
                told.append((sample, int(row.argmax())))
            else:
                counts["unsure"] += 1
    counts["unreadable"] += len(samples)
    with workspace.registry.session() as session:
        for sample, truth in told:
            before = known_truth(session, sample)
            if before is None:
                write_truth(session, sample, truth, "teacher", now)
                counts["labelled"] += 1
            elif before.source == "teacher" and before.truth != truth:
                before.truth = truth
                session.add(before)
                counts["changed"] += 1
            else:
                counts["same"] += 1  # or somebody who knows better labelled it meanwhile
        if counts["labelled"] or counts["changed"]:
            subject = f"model {', '.join(sorted({sample.model for sample, _ in told}))}"
            detail = {"teacher": teacher, "confidence": confidence, **counts}
            audit.record(session, now, actor(), "teach", subject, detail=detail)
    return {"teacher": teacher, "inputs": len(samples), **counts}


def _tensors(
    manifest: Manifest, samples: Sequence[CapturedSample]
) -> tuple[list[CapturedSample], list[Int8]]:
    """Those whose tensor has the model's size."""
    readable, tensors = [], []
    for sample in samples:
        try:
            tensors.append(tensor_of(manifest, sample.tensor))
        except InputError:
            continue  # counted by the caller: what a device sends may be anything
        readable.append(sample)
    return readable, tensors


def _teacher(workspace: Workspace, shelf: PlanShelf, name: str) -> Teacher:
    path = Path(name)
    if path.suffix.lower() in SUFFIXES or path.is_dir():
        return _of_file(path)
    with workspace.registry.reading() as session:
        version = find_model(session, name, registered=True)
    if version.manifest_sha256 is None:
        raise NotFoundError(f"{name} has no manifest: it was never registered", fix="edgeops model list")
    tflite = workspace.blobs.get(version.artifact_sha256)
    own = shelf.manifest(version.manifest_sha256)

    def score(student: Manifest, tensors: list[Int8]) -> Scores:
        from edgeops.training.evaluate import predict_int8

        places = _places(own.labels, student.labels, name)
        inputs = np.stack([_as_taught(own, student, tensor) for tensor in tensors])
        outputs = predict_int8(tflite, inputs)
        spec = score_spec(own)
        given = np.stack([class_scores(own, *pair) for pair in zip(inputs, outputs, strict=True)])
        scores = np.zeros((len(given), len(student.labels)))
        scores[:, places] = (given.astype(np.float64) - spec.zero_point) * spec.scale
        return scores

    return score


def _as_taught(own: Manifest, student: Manifest, tensor: Int8) -> Int8:
    """A student's input as its teacher takes it."""
    if undoable(student.preprocessing):
        return quantized_input(own, raw_input(student, tensor).reshape(student.raw_shape))
    if own.preprocessing == student.preprocessing:
        given, taken = student.input.spec, own.input.spec
        real = dequantize(tensor, given.scale, given.zero_point)
        return quantize(real, taken.scale, taken.zero_point)
    raise InputError(
        f"what {student.model} was given cannot be turned back into raw inputs, and {own.model} has another front end",
        fix="name a teacher that was trained with the same front end",
    )


def _places(own: Sequence[str], student: Sequence[str], name: str) -> list[int]:
    strange = [label for label in own if label not in student]
    if strange:
        raise InputError(
            f"{name} says {strange[0]!r}, which the student does not know: it knows {', '.join(student)}",
            fix="name a teacher of the same labels",
        )
    return [list(student).index(label) for label in own]


def _of_file(path: Path) -> Teacher:
    def score(student: Manifest, tensors: list[Int8]) -> Scores:
        from edgeops.training.foreign import run_tflite

        if not undoable(student.preprocessing):
            raise InputError(
                f"what {student.model} was given cannot be turned back into raw inputs, which {path.name} takes",
                fix="name a registered version with the same front end as the teacher",
            )
        raw = np.stack([raw_input(student, tensor).reshape(student.raw_shape) for tensor in tensors])
        try:
            outputs = run_tflite(_tflite(path, tuple(raw.shape[1:])), raw)
        except EdgeOpsError:
            raise
        except (
            ValueError,
            RuntimeError,
        ) as error:  # what the interpreter says of a file that anybody may have made
            raise InputError(f"{path} does not run on inputs of {raw.shape[1:]}: {error}") from error
        return as_shares(outputs.astype(np.float64), len(student.labels), path.name)

    return score


def _tflite(path: Path, shape: tuple[int, ...]) -> bytes:
    if path.suffix.lower() == ".tflite":
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"no model at {path}", path=str(path)) from error
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}", path=str(path)) from error
    from edgeops.training.foreign_model import load_foreign
    from edgeops.training.quantize import convert

    return convert(load_foreign(path).taking(shape), "float32")


def as_shares(outputs: Scores, labels: int, name: str) -> Scores:
    """(N, labels) of 0 to 1: probabilities as they are, one probability as that of the second label, logits by softmax.

    Raises ``InputError`` for another number of outputs, or values that are not finite.
    """
    if labels == 2 and outputs.shape[1] == 1 and ((outputs >= 0) & (outputs <= 1)).all():
        outputs = np.concatenate([1 - outputs, outputs], axis=1)
    if outputs.shape[1] != labels:
        raise InputError(
            f"{name} gives {outputs.shape[1]} outputs where the student has {labels} labels",
            fix="name a teacher of the same labels, in the same order",
        )
    if not np.isfinite(outputs).all():
        raise InputError(f"{name} gives NaN or infinity", fix="check that it takes inputs in raw units")
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1.0, atol=0.05):
        return outputs
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
