"""Which recipe a command means: a path, one of the workspace, one that ships, or a first one for a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeops.control.datasets import load_dataset
from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError
from edgeops.data.dataset import Dataset, Part
from edgeops.data.recordings import Recordings
from edgeops.files import write_atomic
from edgeops.training.recipe import RECIPE_FILE, find_recipe
from edgeops.training.recipe.starter import DataFacts, starter_recipe

FOLDER = "recipes"
_LOOKED_AT = 512


def recipe_path(workspace: Workspace, text: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """The recipe file that ``text`` means; for a dataset without a recipe one is written, and ``say`` told so.

    Raises ``NotFoundError`` when it is neither.
    """
    own = workspace.root / FOLDER / text / RECIPE_FILE
    if own.is_file():
        return own
    try:
        return find_recipe(text)
    except NotFoundError as unknown:
        try:
            dataset, _ = load_dataset(workspace, text)
        except NotFoundError:
            raise unknown from None
    write_atomic(own, starter_recipe(facts_of(dataset)).encode())
    say(f"{dataset.name} has no recipe yet: {own} is a first one")
    return own


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
