"""Trainings that cannot end well: each says so, and what leaks into the test part is counted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import ConfigError, DataError, ExitCode, TrainingDiverged, exit_code_of
from edgeops.data.dataset import Dataset, Part, new_dataset
from edgeops.data.items import Items
from edgeops.training import pipeline
from edgeops.training.pipeline import check, count_leaked_rows, train
from edgeops.training.prepare import prepare
from edgeops.training.recipe import Recipe, load_recipe
from edgeops.training.windows import overlap

RECIPE = """\
[recipe]
name = "rows"
TASK
[data]
name = "rows"
kind = "KIND"
WINDOW
[preprocessing]
steps = [{ op = "scale", factor = FACTOR }]
[architecture]
kind = "ARCHITECTURE"
[training]
epochs = 2
learning_rate = RATE
"""
TABLE = {"TASK": "", "KIND": "table", "WINDOW": "", "FACTOR": "1.0", "ARCHITECTURE": "dense", "RATE": "0.01"}
ANOMALY = {**TABLE, "TASK": 'task = "anomaly"', "ARCHITECTURE": "autoencoder"}


def recipe_of(folder: Path, values: dict[str, str], more: str = "") -> Recipe:
    text = RECIPE + more
    for key, value in values.items():
        text = text.replace(key, value)
    path = folder / "recipe.toml"
    path.write_text(text)
    return load_recipe(path)


def rows(
    targets: list[int],
    labels: tuple[str, ...],
    parts: list[Part] | None = None,
    groups: tuple[str, ...] = (),
    scale: float = 1.0,
) -> Dataset:
    """A table of five columns, the first of which tells the label."""
    x = np.random.default_rng(1).normal(size=(len(targets), 5)).astype(np.float32)
    x[:, 0] += np.array(targets, np.float32)
    x *= np.float32(scale)
    dataset = new_dataset("rows", Items(x, np.array(targets), labels, (), "table"))
    if parts is None:
        return dataset
    order = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in np.asarray(dataset.inputs)]
    ordered = tuple(groups[i] for i in order) if groups else ()
    return dataclasses.replace(dataset, parts=np.array([parts[i] for i in order], np.uint8), groups=ordered)


PARTS = [Part.TRAIN] * 20 + [Part.VALIDATION] * 10 + [Part.TEST] * 10


class TestWhatCannotBeTrained:
    def test_a_loss_that_is_no_number_ends_the_training_and_names_the_rate(self, tmp_path: Path) -> None:
        dataset = rows([0] * 100 + [1] * 20, ("normal", "worn"), scale=1e25)
        with (
            np.errstate(over="ignore"),
            pytest.raises(TrainingDiverged, match="the training diverged: after epoch 1") as caught,
        ):
            train(recipe_of(tmp_path, ANOMALY), dataset, 1)
        assert "lower training.learning_rate, which is 0.01" in (caught.value.fix or "")
        assert caught.value.fields["epoch"] == 1
        assert exit_code_of(caught.value) == ExitCode.UNEXPECTED

    def test_a_front_end_whose_values_are_not_finite_is_told_from_it(self, tmp_path: Path) -> None:
        recipe = recipe_of(tmp_path, {**TABLE, "FACTOR": "9e9"})
        with (
            np.errstate(over="ignore"),
            pytest.raises(DataError, match="preprocessing gives values that are not finite"),
        ):
            train(recipe, rows([0, 1] * 60, ("a", "b"), scale=1e30), 1)

    def test_one_class_is_nothing_to_tell_apart(self, tmp_path: Path) -> None:
        recipe = recipe_of(tmp_path, TABLE)
        with pytest.raises(DataError, match="every item of the train part of rows@1 is 'a'") as caught:
            train(recipe, rows([0] * 80, ("a",)), 1)
        assert "anomal" in (caught.value.fix or "")

    def test_what_cannot_be_trained_is_found_out_before_a_value_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unread(*_: object) -> None:
            raise AssertionError("the front end ran")

        monkeypatch.setattr(pipeline, "prepare", unread)
        for dataset, words in (
            (rows([0] * 80, ("a",)), "nothing to tell apart"),
            (rows([0, 1], ("a", "b")), "empty"),
        ):
            with pytest.raises(DataError, match=words):
                train(recipe_of(tmp_path, TABLE), dataset, 1)
        resized = {'{ op = "scale", factor = FACTOR }': '{ op = "resize", height = 4, width = 4 }'}
        unfit = recipe_of(tmp_path, {**resized, **TABLE})
        with pytest.raises(ConfigError, match="preprocessing does not suit"):
            check(unfit, rows([0, 1] * 40, ("a", "b")))

    def test_two_items_name_the_part_that_is_empty(self, tmp_path: Path) -> None:
        recipe = recipe_of(tmp_path, TABLE)
        with pytest.raises(DataError, match="is empty"):
            train(recipe, rows([0, 1], ("a", "b")), 1)

    def test_anomalies_without_any_to_judge_by_are_refused_before_the_training(self, tmp_path: Path) -> None:
        epochs: list[int] = []
        recipe = recipe_of(tmp_path, ANOMALY)
        with pytest.raises(DataError, match="the test part of rows@1 has no item that is anomaly"):
            train(recipe, rows([0] * 80, ("normal",)), 1, lambda epoch, *_: epochs.append(epoch))
        assert epochs == []


class TestWhatWasUsed:
    def test_the_parts_and_the_groups_of_the_test_part_are_told(self, tmp_path: Path) -> None:
        groups = (*[""] * 30, *"aabbccddee")
        result = train(recipe_of(tmp_path, TABLE), rows([0, 1] * 20, ("a", "b"), PARTS, groups), 1)
        assert result.parts["test"] == {"inputs": 10, "items": 10, "groups": 5}
        assert result.parts["train"]["inputs"] == 20
        assert result.int8_metrics.effective_n is not None
        alone = train(recipe_of(tmp_path, TABLE), rows([0, 1] * 20, ("a", "b"), PARTS), 1)
        assert alone.int8_metrics.effective_n is None


class TestCurves:
    def test_an_autoencoder_has_no_accuracy(self, tmp_path: Path) -> None:
        dataset = rows([0] * 100 + [1] * 20, ("normal", "worn"))
        result = train(recipe_of(tmp_path, ANOMALY), dataset, 1)
        assert {name for figures in result.curves for name in figures} == {"loss", "val_loss"}


class TestLeaks:
    def leaked(self, folder: Path, groups: tuple[str, ...], targets: list[int] | None = None) -> int:
        recipe = recipe_of(folder, TABLE if targets is None else ANOMALY)
        names = ("a", "b") if targets is None else ("normal", "worn")
        dataset = rows(targets or [0, 1] * 20, names, PARTS, groups)
        return count_leaked_rows(recipe, dataset, prepare(recipe, dataset))

    def test_parts_without_a_common_group_leak_nothing(self, tmp_path: Path) -> None:
        assert self.leaked(tmp_path, tuple(part.label for part in PARTS)) == 0
        assert self.leaked(tmp_path, ()) == 0

    def test_a_group_of_the_train_part_in_the_test_part_is_counted(self, tmp_path: Path) -> None:
        assert self.leaked(tmp_path, ("x", *[""] * 37, "x", "x")) == 1

    def test_so_is_one_of_the_validation_part_which_chooses_too(self, tmp_path: Path) -> None:
        assert self.leaked(tmp_path, (*[""] * 25, "x", *[""] * 13, "x")) == 1

    def test_a_leak_makes_the_gate_say_no(self, tmp_path: Path) -> None:
        dataset = rows([0, 1] * 20, ("a", "b"), PARTS, ("x", *[""] * 38, "x"))
        result = train(recipe_of(tmp_path, TABLE), dataset, 1)
        gate = next(gate for gate in result.gates if gate.name == "no_leakage")
        assert (gate.passed, gate.value) == (False, 1)
        assert not result.passed

    def test_faults_of_a_machine_whose_normal_state_is_known_are_none(self, tmp_path: Path) -> None:
        """All anomalies test, those of the machines of the train part as well."""
        targets = [0, 1] * 20
        machines = tuple(f"{part.label} {i}" for part, i in zip(PARTS, [0, 0] * 20, strict=True))
        assert self.leaked(tmp_path, machines, targets) == 0
        shared = (*machines[:38], "train 0", machines[39])
        assert self.leaked(tmp_path, shared, targets) == 1


@given(
    first=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    second=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    length=st.integers(1, 20),
)
def test_windows_overlap_where_they_share_a_sample(first: list[int], second: list[int], length: int) -> None:
    def samples(starts: list[int]) -> set[int]:
        return {start + i for start in starts for i in range(length)}

    shared = bool(samples(first) & samples(second))
    assert overlap(np.array(first), np.array(second), length) == shared


def test_a_whole_recording_overlaps_itself() -> None:
    assert overlap(np.array([0]), np.array([0]), 0)


def test_windows_cut_by_time_do_not_leak_and_shifted_ones_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4, 400)).astype(np.float32)
    dataset = new_dataset("rows", Items(x, np.array([0, 1, 0, 1]), ("a", "b"), (), "series"))
    values = {**TABLE, "KIND": "series", "WINDOW": "window = 40\nstride = 10", "ARCHITECTURE": "cnn_1d"}
    recipe = recipe_of(tmp_path, values, '[split]\nby_time = ["a", "b"]\n')
    data = prepare(recipe, dataset)
    assert data.window == 40
    assert count_leaked_rows(recipe, dataset, data) == 0
    tested = data.parts == Part.TEST
    moved = dataclasses.replace(data, starts=np.where(tested, data.starts - 150, data.starts))
    assert count_leaked_rows(recipe, dataset, moved) == 4
