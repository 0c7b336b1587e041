"""From a dataset to what a model takes: windows cut, front end run, parts decided; a chunk at a time."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError, InputError
from edgeops.core.features.steps import apply_to_batch, output_shape
from edgeops.core.manifest import Step
from edgeops.core.outputs import RECONSTRUCTION_LABELS
from edgeops.data.dataset import SOURCE_ORIGIN, Dataset
from edgeops.data.splitting import Part, holdout_parts
from edgeops.training.arrays import Float32, Targets
from edgeops.training.normalising import measured_steps
from edgeops.training.recipe import Recipe
from edgeops.training.recipe.wrong import wrong
from edgeops.training.windows import (
    BY_TIME,
    VALIDATION_FROM,
    Windows,
    cut,
    parts_by_time,
    values_of,
)

_CHUNK = 256
_IN_MEMORY_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class Prepared:
    """The inputs of a model, in the dataset's order, which is random with respect to content.

    ``inputs`` (M, *shape) float32, in memory or, where they are many, in an unnamed temporary file;
    ``steps`` is the whole front end that made them;
    ``targets`` (M,) indices into ``labels``; ``parts`` (M,) codes of ``Part``; ``items`` (M,) which item of
    the dataset each is from, ``starts`` (M,) its first sample there and ``window`` how many samples it has (0:
    the whole item); ``original`` (M,) false where it was captured in the field.
    """

    inputs: Float32
    targets: Targets
    parts: NDArray[np.uint8]
    items: NDArray[np.int64]
    starts: NDArray[np.int64]
    window: int
    original: NDArray[np.bool_]
    labels: tuple[str, ...]
    raw_shape: tuple[int, ...]
    steps: tuple[Step, ...]
    dataset: str
    slices: Mapping[str, tuple[str, ...]]

    def rows(self, *parts: Part) -> NDArray[np.int64]:
        """The rows of these parts; raises ``DataError`` when there are none."""
        return _rows(self, parts)

    def part(self, *parts: Part) -> tuple[Float32, Targets]:
        """Inputs and targets of these parts."""
        rows = self.rows(*parts)
        return self.inputs[rows], self.targets[rows]


@dataclass(frozen=True, eq=False)
class Assigned:
    """Every window (M) that is used, with its part and target, before any value is read."""

    windows: Windows
    parts: NDArray[np.int64]
    targets: Targets
    labels: tuple[str, ...]
    raw_shape: tuple[int, ...]
    dataset: str

    def rows(self, *parts: Part) -> NDArray[np.int64]:
        """As of ``Prepared``."""
        return _rows(self, parts)


def prepare(recipe: Recipe, dataset: Dataset, steps: Sequence[Step] | None = None) -> Prepared:
    """Cut, preprocess and assign every item of a dataset as the recipe says.

    ``steps`` are those of a manifest, for a model that exists; by default the recipe's, and what it has
    measured on the train part.

    Raises ``ConfigError`` when the front end does not suit the items, ``DataError`` for a label or slice that
    the recipe names and the dataset does not have.
    """
    assigned = assign(recipe, dataset)
    given = tuple(recipe.preprocessing.steps if steps is None else steps)
    shape = shape_after(recipe, given, assigned.raw_shape)
    items = assigned.windows.item
    inputs = _allocate((len(items), *shape))
    for start, raw in _raw_chunks(dataset, assigned.windows, assigned.raw_shape):
        inputs[start : start + len(raw)] = apply_to_batch(given, raw)
    original = np.array([origin == SOURCE_ORIGIN for origin in dataset.origins])[items]
    if steps is None:
        learned = np.flatnonzero((assigned.parts == Part.TRAIN) & original)
        last = measured_steps(recipe.preprocessing.normalise, inputs, learned) if len(learned) else ()
        for start in range(0, len(items) if last else 0, _CHUNK):
            inputs[start : start + _CHUNK] = apply_to_batch(last, inputs[start : start + _CHUNK])
        given = (*given, *last)
    return Prepared(
        inputs=inputs,
        targets=assigned.targets,
        parts=assigned.parts.astype(np.uint8),
        items=items,
        starts=assigned.windows.start,
        window=assigned.windows.length,
        original=original,
        labels=assigned.labels,
        raw_shape=assigned.raw_shape,
        steps=given,
        dataset=assigned.dataset,
        slices={name: tuple(values[i] for i in items) for name, values in dataset.slices.items()},
    )


def raw_part(recipe: Recipe, dataset: Dataset, part: Part) -> tuple[Float32, Targets, tuple[str, ...]]:
    """What a sensor would have given for one part: raw inputs (M, *raw shape), targets (M,), the model's labels.

    Raises as ``prepare`` does, and ``DataError`` when the part is empty.
    """
    assigned = assign(recipe, dataset)
    chosen = assigned.parts == part
    if not chosen.any():
        raise DataError(
            f"the part {part.label!r} of {dataset.name}@{dataset.version} is empty",
            fix="name another part, or add more items to the dataset",
            part=part.label,
        )
    windows = assigned.windows.take(chosen)
    raw = np.concatenate([chunk for _, chunk in _raw_chunks(dataset, windows, assigned.raw_shape)])
    return raw, assigned.targets[chosen], assigned.labels


def assign(recipe: Recipe, dataset: Dataset) -> Assigned:
    """Which windows are used and for what, without reading a value; raises as ``prepare`` does."""
    lengths = [len(dataset.inputs[index]) for index in range(len(dataset))] if recipe.data.window else []
    windows = cut(lengths or [0] * len(dataset), recipe.data.window, recipe.data.stride)
    targets, labels = _targets(recipe, dataset)
    parts = _parts(recipe, dataset, windows, lengths)
    used = parts >= 0
    windows, parts = windows.take(used), parts[used]
    row_targets = targets[windows.item]
    parts = _anomalies_to_test(recipe, row_targets, parts)
    described = f"{dataset.name}@{dataset.version}"
    return Assigned(windows, parts, row_targets, labels, raw_shape_of(recipe, dataset), described)


def shape_after(recipe: Recipe, steps: Sequence[Step], raw_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that a front end makes of inputs; raises ``ConfigError`` when it does not suit them."""
    try:
        return output_shape(tuple(steps), raw_shape)
    except InputError as error:
        raise wrong(
            recipe,
            "preprocessing.steps",
            f"preprocessing does not suit inputs of shape {raw_shape}: {error.message}",
        ) from error


def raw_shape_of(recipe: Recipe, dataset: Dataset) -> tuple[int, ...]:
    """What a device's sensor gives for one input; images always have a channel axis."""
    shape = tuple(int(size) for size in dataset.inputs[0].shape)
    if recipe.data.window:
        return (recipe.data.window, *shape[1:])
    if recipe.data.kind == "image" and len(shape) == 2:
        return (*shape, 1)
    return shape


def _rows(of: Prepared | Assigned, parts: tuple[Part, ...]) -> NDArray[np.int64]:
    found = np.flatnonzero(np.isin(of.parts, parts))
    if len(found) == 0:
        names = " and ".join(part.label for part in parts)
        raise DataError(
            f"the part {names!r} of {of.dataset} is empty",
            fix="add more items to the dataset, or longer ones where a recipe cuts them into windows",
            dataset=of.dataset,
            part=names,
        )
    return found


def _raw_chunks(
    dataset: Dataset, windows: Windows, raw_shape: tuple[int, ...]
) -> Iterator[tuple[int, Float32]]:
    for start in range(0, len(windows), _CHUNK):
        rows = range(start, min(start + _CHUNK, len(windows)))
        if windows.length:
            raw = np.stack(
                [
                    values_of(dataset.inputs[windows.item[row]], int(windows.start[row]), windows.length)
                    for row in rows
                ]
            )
        else:
            raw = np.stack([np.asarray(dataset.inputs[windows.item[row]], np.float32) for row in rows])
        yield start, raw.reshape(len(raw), *raw_shape)


def _allocate(shape: tuple[int, ...]) -> Float32:
    if 4 * math.prod(shape) <= _IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    file: Any = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the mapping, and has no name
    return np.memmap(file, np.float32, "w+", shape=shape)


def _targets(recipe: Recipe, dataset: Dataset) -> tuple[Targets, tuple[str, ...]]:
    """Targets and labels of the model: the dataset's own, or normal against anything else."""
    if not recipe.finds_anomalies:
        return dataset.targets, dataset.labels
    _require_label(recipe, dataset, recipe.anomaly.normal, "anomaly.normal")
    anomalous = dataset.targets != dataset.labels.index(recipe.anomaly.normal)
    return anomalous.astype(np.int64), RECONSTRUCTION_LABELS


def _anomalies_to_test(recipe: Recipe, targets: Targets, parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nothing is learned from anomalies, so all of them test."""
    learned = np.isin(parts, (Part.TRAIN, Part.VALIDATION))
    return np.where(recipe.finds_anomalies & (targets == 1) & learned, np.int64(Part.TEST), parts)


def _parts(recipe: Recipe, dataset: Dataset, windows: Windows, lengths: list[int]) -> NDArray[np.int64]:
    """(M,) codes of ``Part``, -1 for a window that would stand on both sides of a split."""
    split = recipe.split
    own = dataset.parts.astype(np.int64)
    if split.holdout:
        held = holdout_parts(dataset, split.holdout).astype(np.int64)
        own = np.where(own == Part.CAPTURE_HOLDOUT, own, held)
    parts = own[windows.item]
    captured = np.array([origin != SOURCE_ORIGIN for origin in dataset.origins])[windows.item]
    if split.holdout and recipe.data.stride:
        # whole recordings are held out; of the others the end validates, so that none is lost to training
        edges = ((VALIDATION_FROM, Part.TRAIN), (1.0, Part.VALIDATION))
        timed = np.where((parts == Part.TEST) | captured, parts, parts_by_time(windows, lengths, edges))
        if (timed == Part.VALIDATION).any():  # else they are too short for that, and whole ones validate
            parts = timed
    for label in split.by_time:
        _require_label(recipe, dataset, label, "split.by_time")
        edges_of_label = ((BY_TIME[0], Part.TRAIN), (BY_TIME[1], Part.VALIDATION), (1.0, Part.TEST))
        chosen = (dataset.targets == dataset.labels.index(label))[windows.item] & ~captured
        parts = np.where(chosen, parts_by_time(windows, lengths, edges_of_label), parts)
    return parts


def _require_label(recipe: Recipe, dataset: Dataset, label: str, key: str) -> None:
    if label not in dataset.labels:
        raise DataError(
            f"{recipe.path}: {key!r} names the label {label!r}; {dataset.name}@{dataset.version} has "
            f"{', '.join(dataset.labels)}",
            fix=f"name one of them under {key!r}",
            label=label,
        )
