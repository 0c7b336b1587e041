"""Registering what was trained: whole or not at all, whatever fails, and one number for each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlmodel import select
from support.trained import digits_workspace, write_recipe

from edgeops.control import training_jobs
from edgeops.control.datasets import load_dataset
from edgeops.control.training_jobs import register
from edgeops.control.workspace import Workspace
from edgeops.core.errors import StorageError
from edgeops.registry.tables import DatasetVersion, ModelVersion, Run
from edgeops.training.pipeline import TrainingResult, train
from edgeops.training.recipe import Recipe, load_recipe

Ready = tuple[Workspace, Recipe, DatasetVersion, TrainingResult]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, TrainingResult]:
    folder = tmp_path_factory.mktemp("trained")
    recipe = load_recipe(write_recipe(folder / "recipe", ("epochs = 2", "epochs = 1")))
    dataset, _ = load_dataset(digits_workspace(folder / "farm"), "digits")
    return recipe, train(recipe, dataset, 1)


@pytest.fixture
def ready(tmp_path: Path, trained: tuple[Recipe, TrainingResult]) -> Ready:
    """An empty workspace, and what there is to register in it."""
    workspace = digits_workspace(tmp_path / "farm")
    _, row = load_dataset(workspace, "digits")
    return workspace, trained[0], row, trained[1]


def names(workspace: Workspace) -> list[str]:
    with workspace.registry.reading() as session:
        assert len(session.exec(select(Run)).all()) == len(session.exec(select(ModelVersion)).all())
        return [f"{row.model}@{row.version}" for row in session.exec(select(ModelVersion))]


def full() -> StorageError:
    return StorageError("cannot write it: No space left on device")


def test_a_disk_that_is_full_at_any_blob_leaves_nothing_registered(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, recipe, row, result = ready
    put, room, written = workspace.blobs.put, 0, 0

    def limited(data: bytes) -> str:
        nonlocal written
        written += 1
        if written > room:
            raise full()
        return put(data)

    monkeypatch.setattr(workspace.blobs, "put", limited)
    while True:
        written = 0
        try:
            register(workspace, recipe, row, result, result.gates)
        except StorageError:
            assert names(workspace) == []
            room += 1
            continue
        break
    assert room >= 4  # weights, model, what the manifest names, and the manifest
    assert names(workspace) == ["tiny@1"]


def test_a_card_that_finds_no_room_is_told_with_what_is_registered(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, recipe, row, result = ready

    def no_room(*_: object) -> None:
        raise full()

    monkeypatch.setattr(training_jobs, "write_cards", no_room)
    with pytest.raises(StorageError, match="tiny@1 is registered, but it has no card yet: cannot") as caught:
        register(workspace, recipe, row, result, result.gates)
    assert "edgeops model card tiny@1" in (caught.value.fix or "")
    assert names(workspace) == ["tiny@1"]


def test_trainings_that_end_at_once_have_a_number_each(ready: Ready) -> None:
    workspace, recipe, row, result = ready
    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(register, workspace, recipe, row, result, result.gates) for _ in range(3)]
        versions = sorted(one.result().version.version for one in done)
    assert versions == [1, 2, 3]
    assert sorted(names(workspace)) == ["tiny@1", "tiny@2", "tiny@3"]
