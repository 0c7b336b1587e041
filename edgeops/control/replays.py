"""Replay folders for devices: a part of a dataset as it is, or cut into the inputs that a recipe's model takes."""

from __future__ import annotations

from pathlib import Path

from edgeops.control.datasets import load_dataset
from edgeops.control.recipes import recipe_path
from edgeops.control.workspace import Workspace
from edgeops.data.dataset import export_replay, write_replay
from edgeops.data.splitting import part_named
from edgeops.training.prepare import raw_part
from edgeops.training.recipe import load_recipe


def export_part(workspace: Workspace, text: str, part: str, folder: Path, recipe_text: str | None) -> str:
    """Write a part of dataset ``text`` into ``folder``; returns the dataset's name and version.

    With a recipe, recordings are cut into its windows, and its holdout and labels apply. Raises ``DataError``
    for an empty part, or for items of unequal length without a recipe.
    """
    dataset, row = load_dataset(workspace, text)
    if recipe_text is None:
        export_replay(dataset, part, folder)
    else:
        recipe = load_recipe(recipe_path(workspace, recipe_text))
        raw, targets, labels = raw_part(recipe, dataset, part_named(part))
        write_replay(raw, targets, labels, folder)
    return f"{row.name}@{row.version}"
