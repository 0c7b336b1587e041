"""A workspace with the digits and a recipe that is trained in a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeops.control.datasets import add_dataset
from edgeops.control.settings import Settings
from edgeops.control.training_jobs import Trained, train_and_register
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.registry.tables import ModelVersion, Run

TINY = """\
[recipe]
name = "tiny"
description = "A digit a time"
[data]
name = "digits"
[preprocessing]
steps = [{ op = "scale", factor = 0.0625 }]
[architecture]
kind = "small_cnn"
filters = [4, 8]
dense = 16
[training]
epochs = 2
learning_rate = 0.005
[quantization]
representative = [50]
[report]
not_for = ["Reading cheques."]
"""


def digits_workspace(root: Path) -> Workspace:
    """A new workspace that has the dataset ``digits``."""
    workspace = init_workspace(root, Settings("tiny"))
    add_dataset(workspace, "sklearn:digits", "digits")
    return workspace


def write_recipe(folder: Path, *changes: tuple[str, str]) -> Path:
    """The tiny recipe with texts replaced; every text must be in it."""
    text = TINY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def train_recipe(workspace: Workspace, path: Path, seed: int = 1) -> Trained:
    """Train it and register what comes out."""
    return train_and_register(workspace, str(path), None, seed)


def alter_run(workspace: Workspace, run_id: int, **record: Any) -> None:
    """Change what a run recorded; ``None`` takes an entry away."""
    with workspace.registry.session() as session:
        run = session.get_one(Run, run_id)
        merged = {**run.record, **record}
        run.record = {key: value for key, value in merged.items() if value is not None}
        session.add(run)


def alter_version(workspace: Workspace, version: ModelVersion, **values: Any) -> None:
    """Change columns of a model version."""
    with workspace.registry.session() as session:
        row = session.get_one(ModelVersion, version.id)
        for key, value in values.items():
            setattr(row, key, value)
        session.add(row)
