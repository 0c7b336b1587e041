"""What a retrain learns from: original data and labelled captured samples, as the champion's model sees them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, func, select

from edgeops.control.captured_data import drawn_fairly, held_out_fairly
from edgeops.control.datasets import load_dataset, register_dataset
from edgeops.control.labelled_samples import Labelled, labelled_inputs
from edgeops.control.plans import PlanShelf
from edgeops.control.training_jobs import fit_check
from edgeops.control.workspace import Workspace
from edgeops.core.errors import DataError
from edgeops.core.features.quantize import dequantize
from edgeops.core.features.steps import undo_steps, undoable
from edgeops.core.manifest import Manifest
from edgeops.data.dataset import Dataset, extend
from edgeops.data.items import item_digests
from edgeops.data.splitting import Parts
from edgeops.registry.tables import DatasetVersion, ModelVersion, Run
from edgeops.training.arrays import Float32
from edgeops.training.fit import Progress
from edgeops.training.prepare import Prepared, prepare
from edgeops.training.recipe import Recipe
from edgeops.training.strategies import Champion, World

HELD_OUT = 60
"""So many captured samples prove a challenger, where there are enough of them: a rise from 0.76 to 0.95 is nine
times in ten beyond doubt then."""
SHARES = (0.2, 0.4)  # of the captured samples that are held out: at least, at most


@dataclass(frozen=True, eq=False)
class Learned:
    """The world of a retrain, how many labelled samples it has, and the dataset version that keeps them.

    ``unusable``: how many more were left out. ``labels_to``: the highest number of a label that was looked at.
    ``trained_on`` is the dataset of its run: the same, or where the samples cannot be turned back into what a sensor
    gives, the parent's.
    """

    world: World
    samples: int
    unusable: int
    labels_to: int
    kept_in: DatasetVersion
    trained_on: DatasetVersion


def holdout_share(samples: int) -> float:
    """The share of captured samples that is held out: a fifth, more where that is fewer than ``HELD_OUT``."""
    return min(max(HELD_OUT / max(samples, 1), SHARES[0]), SHARES[1])


def learned(
    workspace: Workspace,
    recipe: Recipe,
    old: ModelVersion,
    parent: DatasetVersion,
    seed: int,
    progress: Progress | None = None,
) -> Learned:
    """Captured samples into a dataset version, and both worlds through the front end of the version ``old``.

    Where that can be undone the next version of its dataset has them; else a dataset of their own, of the model's
    inputs. What cannot be an input of that version, or a label of it, is left out. Raises ``DataError`` where nothing
    is left, or nothing new.
    """
    base, _ = load_dataset(workspace, f"{parent.name}@{parent.version}")
    with workspace.registry.reading() as session:
        every = labelled_inputs(session, old)
        manifest = PlanShelf(workspace.blobs).manifest(old.manifest_sha256 or "")
        samples = usable(manifest, every)
        fair = drawn_fairly([(one.sample, one.source) for one in samples])
    if every and not samples:
        raise DataError(
            f"none of the {len(every)} labelled samples of {old.model}@{old.version} can be used: they are no inputs "
            "of it, or their labels are none that it knows",
            fix="edgeops fleet status shows what devices say that cannot be used",
        )
    if not samples:
        raise DataError(
            f"no labelled samples of {old.model}@{old.version} have come",
            fix="let devices capture (see [capture] in edgeops.toml) and send their truths with agent.feedback",
        )
    unusable, labels_to = len(every) - len(samples), max(one.number for one in every)
    inputs, targets = _tensors(manifest, samples)
    origins = [f"captured:{one.sample.device_id}" for one in samples]
    if undoable(manifest.preprocessing):
        raw = np.stack([undo_steps(manifest.preprocessing, item) for item in inputs])
        raw = raw.reshape(len(raw), *manifest.raw_shape if base.item_shape[:1] == (-1,) else base.item_shape)
        dataset = extend(base, raw, targets, origins, held_out_fairly(raw, fair, holdout_share(len(raw))))
        dataset, row = _registered(workspace, dataset, parent.id)
        data = prepare(recipe, dataset, manifest.preprocessing)
        world = World(recipe, dataset, data, data, seed, fit_check, progress)
        return Learned(world, len(samples), unusable, labels_to, row, row)
    parts = held_out_fairly(inputs, fair, holdout_share(len(inputs)))
    own = _own_dataset(f"{parent.name}.captured"[:64], base, inputs, targets, origins, parts)
    _, row = _registered(workspace, own, parent.id)
    data = prepare(recipe, base, manifest.preprocessing)
    world = World(recipe, base, joined(data, inputs, targets, parts), data, seed, fit_check, progress)
    return Learned(world, len(samples), unusable, labels_to, row, parent)


def usable(manifest: Manifest, samples: Sequence[Labelled]) -> list[Labelled]:
    """Those whose tensor has the size of the model's input, and whose truth is one of its labels."""
    size = math.prod(manifest.input.spec.shape)
    return [
        one for one in samples if len(one.sample.tensor) == size and 0 <= one.truth < len(manifest.labels)
    ]


def champion(workspace: Workspace, version: ModelVersion, run: Run) -> Champion:
    """The version that runs. Raises ``DataError`` for one whose weights were not kept, ``NotFoundError``."""
    weights = run.record.get("weights_sha256")
    if not weights:
        raise DataError(
            f"{version.model}@{version.version} was registered without its weights: nothing can be trained further",
            fix=f"edgeops train {version.model}, and roll that version out",
        )
    blobs = workspace.blobs
    scales: Mapping[str, str] = run.record.get("scales_of") or {
        "artifact": version.artifact_sha256,
        "weights": weights,
    }
    return Champion(
        blobs.get(version.artifact_sha256),
        blobs.get(weights),
        PlanShelf(blobs).manifest(version.manifest_sha256 or "").preprocessing,
        blobs.get(scales["artifact"]),
        blobs.get(scales["weights"]),
    )


def scales_of(strategy: str, version: ModelVersion, run: Run) -> dict[str, str] | None:
    """Where the scales of a strategy's model come from; None where it has its own."""
    if strategy not in ("recalibrate", "head", "frozen_scale"):
        return None
    own = {"artifact": version.artifact_sha256, "weights": str(run.record.get("weights_sha256"))}
    return dict(run.record.get("scales_of") or own)


def joined(data: Prepared, inputs: Float32, targets: NDArray[np.int64], parts: Parts) -> Prepared:
    """``data`` with captured model inputs (K, *shape) behind its rows; they are of no item of its dataset."""
    count = len(inputs)
    none = np.full(count, -1, np.int64)
    return dataclasses.replace(
        data,
        inputs=np.concatenate([np.asarray(data.inputs), inputs]),
        targets=np.concatenate([data.targets, targets]),
        parts=np.concatenate([data.parts, parts]),
        items=np.concatenate([data.items, none]),
        starts=np.concatenate([data.starts, none]),
        original=np.concatenate([data.original, np.zeros(count, np.bool_)]),
        slices={name: (*values, *[""] * count) for name, values in data.slices.items()},
    )


def _tensors(manifest: Manifest, samples: Sequence[Labelled]) -> tuple[Float32, NDArray[np.int64]]:
    spec = manifest.input.spec
    tensors = np.stack([np.frombuffer(one.sample.tensor, np.int8).reshape(spec.shape) for one in samples])
    targets = np.array([one.truth for one in samples], np.int64)
    return dequantize(tensors, spec.scale, spec.zero_point), targets


def _own_dataset(
    name: str,
    base: Dataset,
    inputs: Float32,
    targets: NDArray[np.int64],
    origins: Sequence[str],
    parts: Parts,
) -> Dataset:
    """Captured model inputs as a dataset, each once; in digest order, as datasets are."""
    digests = item_digests(inputs)
    first = {digest: row for row, digest in reversed(list(enumerate(digests)))}
    order = [first[digest] for digest in sorted(first)]
    return Dataset(
        name=name,
        version=1,
        inputs=inputs[order],
        targets=targets[order],
        labels=base.labels,
        parts=parts[order],
        origins=tuple(origins[row] for row in order),
        kind=base.kind,
    )


def _registered(
    workspace: Workspace, dataset: Dataset, parent_id: int | None
) -> tuple[Dataset, DatasetVersion]:
    """The version of this name and content; a new one where there is none."""
    with workspace.registry.reading() as session:
        same = session.exec(
            select(DatasetVersion).where(
                DatasetVersion.name == dataset.name, DatasetVersion.sha256 == dataset.sha256
            )
        ).first()
        number = _next_version(session, dataset.name)
    if same is not None:
        return dataset, same
    dataset = dataclasses.replace(dataset, version=number)
    return dataset, register_dataset(workspace, dataset, parent_id, [])


def _next_version(session: Session, name: str) -> int:
    query = select(func.max(DatasetVersion.version)).where(DatasetVersion.name == name)
    return int(session.exec(query).one() or 0) + 1
