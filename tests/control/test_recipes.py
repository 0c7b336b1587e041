"""Which recipe a command means, and a first one for a dataset that has none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgeops.control.datasets import register_dataset
from edgeops.control.recipes import recipe_path
from edgeops.control.replays import export_part
from edgeops.control.settings import Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core.errors import DataError, NotFoundError
from edgeops.data.dataset import Dataset
from edgeops.data.recordings import Recordings
from edgeops.training.prepare import prepare
from edgeops.training.recipe import load_recipe, shipped_recipes

RNG = np.random.default_rng(1)


def dataset(name: str, kind: str, inputs: object, rate: float = 0.0) -> Dataset:
    count = len(inputs)  # type: ignore[arg-type]
    return Dataset(
        name,
        1,
        inputs,  # type: ignore[arg-type]
        np.arange(count) % 2,
        ("off", "on"),
        (np.arange(count) // 2 % 4).astype(np.uint8),
        ("source",) * count,
        kind,
        sample_rate_hz=rate,
    )


KINDS = {
    "small": dataset("small", "image", RNG.integers(0, 17, (16, 8, 8)).astype(np.uint8)),
    "photos": dataset("photos", "image", RNG.integers(0, 256, (16, 120, 90, 3)).astype(np.uint8)),
    "icons": dataset("icons", "image", RNG.integers(0, 256, (16, 32, 32, 3)).astype(np.uint8)),
    "words": dataset(
        "words",
        "audio",
        Recordings.of([RNG.integers(-99, 99, 9000 + i).astype(np.int16) for i in range(16)]),
        16_000.0,
    ),
    "pump": dataset(
        "pump",
        "series",
        Recordings.of([RNG.normal(0, 1, (3000 + i, 2)).astype(np.float32) for i in range(16)]),
        1000.0,
    ),
    "house": dataset("house", "table", RNG.normal(0, 50, (16, 9)).astype(np.float32)),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return init_workspace(tmp_path / "farm", Settings("farm"))


@pytest.mark.parametrize("name", KINDS)
def test_a_first_recipe_suits_its_dataset(workspace: Workspace, name: str) -> None:
    register_dataset(workspace, KINDS[name], None, [])
    said: list[str] = []
    path = recipe_path(workspace, name, said.append)
    assert path == workspace.root / "recipes" / name / "recipe.toml"
    assert said == [f"{name} has no recipe yet: {path} is a first one"]
    recipe = load_recipe(path)
    prepared = prepare(recipe, KINDS[name])
    assert len(prepared.inputs) >= 16
    assert np.isfinite(prepared.inputs).all()
    # it is the reader's file from now on
    path.write_text(path.read_text() + "# mine\n")
    assert recipe_path(workspace, name, said.append) == path
    assert path.read_text().endswith("# mine\n")
    assert len(said) == 1


def test_what_ships_goes_before_a_dataset_of_the_same_name(workspace: Workspace) -> None:
    assert recipe_path(workspace, "digits") == shipped_recipes()["digits"]


def test_neither_a_recipe_nor_a_dataset(workspace: Workspace) -> None:
    with pytest.raises(
        NotFoundError, match=r"'nothing' is neither a recipe nor a dataset \(datasets: none yet\)"
    ):
        recipe_path(workspace, "nothing")


def test_a_misspelt_dataset_is_told_what_was_meant(workspace: Workspace) -> None:
    register_dataset(workspace, KINDS["house"], None, [])
    with pytest.raises(NotFoundError, match="did you mean the dataset 'house'") as caught:
        recipe_path(workspace, "hause")
    assert "digits" in (caught.value.fix or "")
    with pytest.raises(NotFoundError, match="did you mean the recipe 'digits'"):
        recipe_path(workspace, "digit")
    with pytest.raises(NotFoundError, match=r"neither a recipe nor a dataset \(datasets: house\)"):
        recipe_path(workspace, "nothing")
    with pytest.raises(NotFoundError, match="no recipe at models/hause"):
        recipe_path(workspace, "models/hause")


def test_no_recipe_is_written_for_what_cannot_be_trained(workspace: Workspace) -> None:
    few = dataclasses.replace(KINDS["house"], name="few", parts=np.zeros(16, np.uint8))
    register_dataset(workspace, few, None, [])
    with pytest.raises(DataError, match="few@1 has nothing in validation and test") as caught:
        recipe_path(workspace, "few")
    assert "edgeops data add SOURCE --name few" in (caught.value.fix or "")
    one = dataclasses.replace(KINDS["house"], name="one", labels=("on",), targets=np.zeros(16, np.int64))
    register_dataset(workspace, one, None, [])
    with pytest.raises(DataError, match="one@1 has one class, 'on'"):
        recipe_path(workspace, "one")
    assert not (workspace.root / "recipes").exists()


def test_recordings_give_several_windows_each(workspace: Workspace) -> None:
    register_dataset(workspace, KINDS["pump"], None, [])
    path = recipe_path(workspace, "pump")
    prepared = prepare(load_recipe(path), KINDS["pump"])
    assert np.bincount(prepared.items).min() >= 4
    assert "# 512 samples, 0.512 s; a window begins every 256 samples of a recording" in path.read_text()
    assert "not known" not in path.read_text()


def test_a_rate_that_is_not_known_is_said_in_the_recipe(workspace: Workspace) -> None:
    unrated = dataclasses.replace(KINDS["pump"], name="unrated", sample_rate_hz=0.0)
    register_dataset(workspace, unrated, None, [])
    path = recipe_path(workspace, "unrated")
    assert "# the sample rate is not known, so 1 stands for it" in path.read_text()
    load_recipe(path)


def test_recordings_are_exported_as_the_model_takes_them(workspace: Workspace, tmp_path: Path) -> None:
    register_dataset(workspace, KINDS["pump"], None, [])
    export_part(workspace, "pump", "test", tmp_path / "replay", "pump")
    inputs = np.load(tmp_path / "replay" / "inputs.npy")
    window = load_recipe(recipe_path(workspace, "pump")).data.window
    assert inputs.shape[1:] == (window, 2)
    assert len(np.load(tmp_path / "replay" / "targets.npy")) == len(inputs)
