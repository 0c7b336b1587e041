"""Registering what was trained: whole or not at all, whatever fails, and one number for each."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlmodel import select
from support.trained import digits_workspace, write_recipe

from edgeops.control import training_jobs
from edgeops.control.datasets import load_dataset
from edgeops.control.training_jobs import register, require_gates
from edgeops.control.training_words import measured_on, next_steps, scarce_test
from edgeops.control.workspace import Workspace
from edgeops.core.errors import GateFailed, StorageError
from edgeops.registry.tables import DatasetVersion, Device, ModelVersion, Run
from edgeops.training.gates import Gate
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


def test_the_same_bytes_are_told_from_the_first_version_that_has_them(ready: Ready) -> None:
    workspace, recipe, row, result = ready
    told = [register(workspace, recipe, row, result, result.gates) for _ in range(3)]
    assert [one.same_as for one in told] == [None, "tiny@1", "tiny@1"]
    assert told[2].as_dict()["same_as"] == "tiny@1"


def test_what_is_not_for_devices_is_neither_packaged_nor_newest(ready: Ready) -> None:
    workspace, recipe, row, result = ready
    register(workspace, recipe, row, result, result.gates)
    measured = register(workspace, recipe, row, result, result.gates, for_devices=False)
    assert (measured.version.state, measured.version.manifest_sha256) == ("evaluation", None)
    bad = (Gate("min_int8_accuracy", False, 0.5, 0.9),)
    assert register(workspace, recipe, row, result, bad, for_devices=False).version.state == "rejected"
    card = (workspace.root / "cards" / "tiny-2.md").read_text()
    assert "- Devices: it was trained to be tested on what --holdout named, and is not rolled out." in card
    assert next_steps(workspace, measured) == ("edgeops model card tiny@2",)


def test_the_next_step_ends_at_a_device(ready: Ready) -> None:
    workspace, recipe, row, result = ready
    trained = register(workspace, recipe, row, result, result.gates)
    rollout = "edgeops rollout start tiny@1"
    assert next_steps(workspace, trained) == ("edgeops device enroll NAME", rollout)
    with workspace.registry.session() as session:
        session.add(Device(id="cam-01", enrolled_at=1.0))
    assert next_steps(workspace, trained) == (rollout,)


@pytest.mark.parametrize(
    ("gate", "words", "fix"),
    [
        (
            Gate("fits_rp2040", False, 1.014, 1.0, "it needs 66,478 bytes of flash; rp2040 has 65,536"),
            "tiny@1 is rejected: it does not fit rp2040: it needs 66,478 bytes of flash; rp2040 has 65,536",
            "--target rp2040 finds a smaller model, or name a larger part",
        ),
        (Gate("no_leakage", False, 2, 0), "no_leakage: 2 against 0", "--group"),
        (Gate("beats_old_on_captured", False, 0.8, 0.8), "beats_old_on_captured", "label more samples"),
        (Gate("min_auc", False, 0.8, 0.9), "min_auc: 0.8 against 0.9", "under [gates]"),
    ],
)
def test_a_gate_that_says_no_tells_what_mends_it(ready: Ready, gate: Gate, words: str, fix: str) -> None:
    workspace, recipe, row, result = ready
    trained = register(workspace, recipe, row, result, (*result.gates, gate))
    with pytest.raises(GateFailed) as caught:
        require_gates(trained)
    assert words in caught.value.message
    assert fix in (caught.value.fix or "")


def test_few_test_items_are_told(ready: Ready) -> None:
    workspace, recipe, row, result = ready
    enough = register(workspace, recipe, row, result, result.gates)
    assert scarce_test(enough) == ""
    n = result.int8_metrics.n
    assert measured_on(enough) == f"{n} images"
    parts = {**result.parts, "test": {"inputs": 63, "items": 3}}
    fewer = dataclasses.replace(result, parts=parts)
    row.kind = "series"
    trained = register(workspace, recipe, row, fewer, result.gates)
    assert measured_on(trained) == "63 windows of 3 recordings"
    assert scarce_test(trained) == "3 recordings"
