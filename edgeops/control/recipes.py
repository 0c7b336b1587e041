"""Which recipe a command means: a path, one of the workspace, one that ships, or a first one for a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlmodel import select

from edgeops.control.datasets import load_dataset
from edgeops.control.workspace import Workspace
from edgeops.core.errors import DataError, NotFoundError, UsageError
from edgeops.data.dataset import Dataset, Part
from edgeops.data.recordings import Recordings
from edgeops.files import write_atomic
from edgeops.registry.names import nearest
from edgeops.registry.tables import DatasetVersion
from edgeops.training.recipe import RECIPE_FILE, find_recipe, shipped_recipes
from edgeops.training.recipe.starter import DataFacts, starter_recipe

FOLDER = "recipes"
_LOOKED_AT = 512
_SHOWN = 12


def recipe_path(workspace: Workspace, text: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """The recipe file that ``text`` means; for a dataset without a recipe one is written, and ``say`` told so.

    Raises ``NotFoundError`` when it is neither, and ``DataError`` for a dataset from which nothing can be
    learned: then nothing is written.
    """
    own = workspace.root / FOLDER / text / RECIPE_FILE
    if own.is_file():
        return own
    try:
        return find_recipe(text)
    except NotFoundError as unknown:
        try:
            dataset, _ = load_dataset(workspace, text)
        except (NotFoundError, UsageError):
            raise _neither(workspace, text, unknown) from None
    _refuse_unfit(dataset)
    write_atomic(own, starter_recipe(facts_of(dataset)).encode())
    say(f"{dataset.name} has no recipe yet: {own} is a first one")
    return own


def _neither(workspace: Workspace, text: str, unknown: NotFoundError) -> NotFoundError:
    """What else there is by that name, or nearly: datasets are what a person usually means."""
    if len(Path(text).parts) != 1:
        return unknown
    with workspace.registry.reading() as session:
        names = sorted(set(session.exec(select(DatasetVersion.name))))
    near = nearest(text.partition("@")[0], names)
    ships = nearest(text, shipped_recipes())
    meant = f"the dataset {near!r}" if near else f"the recipe {ships!r}" if ships else ""
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return NotFoundError(
        f"{text!r} is neither a recipe nor a dataset"
        + (f": did you mean {meant}?" if meant else f" (datasets: {shown or 'none yet'})"),
        fix=f"name a dataset, the path of a recipe.toml, or a recipe that ships: {', '.join(shipped_recipes())}",
        recipe=text,
    )


def _refuse_unfit(dataset: Dataset) -> None:
    """Before a recipe is written: parts that are empty, or one class only, are nothing that a recipe can mend."""
    described = f"{dataset.name}@{dataset.version}"
    if len(dataset.labels) < 2:
        raise DataError(
            f"{described} has one class, {dataset.labels[0]!r}: there is nothing to tell it from",
            fix='add items of another class, or write a recipe with task = "anomaly"',
        )
    counts = dataset.counts()
    empty = [part.label for part in (Part.TRAIN, Part.VALIDATION, Part.TEST) if not counts[part.label]]
    if empty:
        raise DataError(
            f"{described} has nothing in {' and '.join(empty)}, so no model can be trained and judged on it",
            fix=f"add more items of each class to it: edgeops data add SOURCE --name {dataset.name}",
        )


def facts_of(dataset: Dataset) -> DataFacts:
    """What a first recipe is made of; looks at up to 512 items."""
    counts = np.bincount(dataset.targets, minlength=len(dataset.labels))
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(len(dataset), _LOOKED_AT)).astype(int))
    shown = [dataset.inputs[int(row)] for row in rows]
    lengths = dataset.inputs.lengths if isinstance(dataset.inputs, Recordings) else [len(shown[0])]
    return DataFacts(
        name=dataset.name,
        kind=dataset.kind,
        shape=dataset.item_shape,
        typical_length=int(np.quantile(lengths, 0.9)),
        sample_rate_hz=dataset.sample_rate_hz,
        train_items=int((dataset.parts == Part.TRAIN).sum()),
        classes=len(dataset.labels),
        largest_share=float(counts.max() / counts.sum()),
        lowest=float(min(item.min(initial=0) for item in shown)),
        highest=float(max(item.max(initial=0) for item in shown)),
    )
