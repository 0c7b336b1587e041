"""Runs: what they remember, how two are compared, and whether one can be had again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlmodel import select
from support.trained import alter_run, alter_version, digits_workspace, train_recipe, write_recipe

from edgeops.control.explanations import choose, explain_model
from edgeops.control.reproduce import Reproduced, reproduce
from edgeops.control.runs import changed_settings, compare_runs, flat, run_facts, run_rows
from edgeops.control.training_jobs import Trained
from edgeops.control.workspace import Workspace
from edgeops.core.errors import ConfigError, NotFoundError, UsageError
from edgeops.data.archives import arrays_in
from edgeops.registry.tables import Run

OWN = """\
import keras
def build(input_shape, n_classes, *, width):
    given = keras.Input(input_shape, name="image")
    x = keras.layers.Flatten(name="flatten")(given)
    x = keras.layers.Dense(width, activation="relu", name="hidden")(x)
    return keras.Model(given, keras.layers.Dense(n_classes, activation="softmax", name="scores")(x))
"""


class Plant(NamedTuple):
    workspace: Workspace
    first: Trained  # registered
    second: Trained  # one epoch more, and rejected
    own: Trained  # an architecture of the recipe's own
    folder: Path


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    folder = tmp_path_factory.mktemp("runs")
    workspace = digits_workspace(folder / "farm")
    first = train_recipe(workspace, write_recipe(folder / "first"))
    strict = ("[report]", "[gates]\nmin_int8_accuracy = 1.0\n[report]")
    second = train_recipe(
        workspace, write_recipe(folder / "second", ("epochs = 2", "epochs = 3"), strict), seed=4
    )
    (folder / "own").mkdir()
    (folder / "own" / "model.py").write_text(OWN)
    architecture = 'kind = "small_cnn"\nfilters = [4, 8]\ndense = 16'
    path = write_recipe(
        folder / "own",
        ('name = "tiny"', 'name = "own"'),
        (architecture, 'python = "model.py:build"\nparameters = { width = 8 }'),
    )
    return Plant(workspace, first, second, train_recipe(workspace, path), folder)


@pytest.fixture
def kept(plant: Plant) -> Iterator[Plant]:
    """The plant, of which a test may alter records: they are put back."""
    with plant.workspace.registry.reading() as session:
        before = {run.id: run.record for run in session.exec(select(Run))}
    yield plant
    with plant.workspace.registry.session() as session:
        for number, record in before.items():
            run = session.get_one(Run, number)
            run.record = record
            session.add(run)


def again(plant: Plant, trained: Trained) -> Reproduced:
    return reproduce(plant.workspace, trained.run.id or 0)


class TestRecord:
    def test_the_newest_comes_first_and_rejected_ones_are_there(self, plant: Plant) -> None:
        rows = run_rows(plant.workspace)
        assert [row["run"] for row in rows] == [3, 2, 1]
        assert [row["model"] for row in rows] == ["own@1", "tiny@2", "tiny@1"]
        assert [row["state"] for row in rows] == ["registered", "rejected", "registered"]
        assert rows[2]["dataset"] == "digits@1"

    def test_a_run_remembers_what_it_was(self, plant: Plant) -> None:
        facts = run_facts(plant.workspace, 1)
        assert facts["settings"]["training"]["epochs"] == 2
        assert facts["settings"]["training"]["batch_size"] == 64  # a default
        assert facts["settings"]["preprocessing"]["steps"] == [
            {"op": "scale", "factor": 0.0625, "offset": 0.0}
        ]
        assert len(facts["curves"]) == 2
        assert {"python", "tensorflow", "keras", "numpy", "threads"} <= facts["environment"].keys()
        assert facts["not_for"] == ["Reading cheques."]
        assert "recipe_text" not in facts
        with pytest.raises(NotFoundError, match="no run 99"):
            run_facts(plant.workspace, 99)

    def test_the_float_weights_are_kept(self, plant: Plant) -> None:
        digest = plant.first.run.record["weights_sha256"]
        arrays = arrays_in(plant.workspace.blobs.get(digest))
        model = plant.own.run.record["weights_sha256"]
        assert arrays["w0000"].shape == (3, 3, 1, 4)
        assert arrays_in(plant.workspace.blobs.get(model))["w0000"].shape == (64, 8)

    def test_every_version_has_a_card(self, plant: Plant) -> None:
        folder = plant.workspace.root / "cards"
        names = {f"{name}.{end}" for name in ("tiny-1", "tiny-2", "own-1") for end in ("md", "html")}
        assert {path.name for path in folder.iterdir()} == names
        assert "- Reading cheques." in (folder / "tiny-1.md").read_text()
        assert "Rejected: min_int8_accuracy said no." in (folder / "tiny-2.html").read_text()

    def test_comparing_says_what_differs_and_nothing_else(self, plant: Plant) -> None:
        rows = {row["what"]: (row["run_1"], row["run_2"]) for row in compare_runs(plant.workspace, 1, 2)}
        assert rows["settings.training.epochs"] == (2, 3)
        assert rows["settings.gates.min_int8_accuracy"] == (0.0, 1.0)
        assert rows["seed"] == (1, 4)
        assert rows["state"] == ("registered", "rejected")
        assert not [what for what in rows if what.startswith(("settings.data", "environment"))]
        assert next(iter(rows)) == "metrics.float.accuracy"
        assert compare_runs(plant.workspace, 1, 1) == []

    def test_what_was_measured_is_compared_even_where_it_is_the_same(self, kept: Plant) -> None:
        alter_run(kept.workspace, 1, notes={"said": 1.0})
        with kept.workspace.registry.session() as session:
            one, other = session.get_one(Run, 1), session.get_one(Run, 2)
            before, other.metrics = other.metrics, one.metrics
            session.add(other)
        rows = {row["what"]: (row["run_1"], row["run_2"]) for row in compare_runs(kept.workspace, 1, 2)}
        with kept.workspace.registry.session() as session:
            other = session.get_one(Run, 2)
            other.metrics = before
            session.add(other)
        first, second = rows["metrics.int8.accuracy"]
        assert first == second is not None

    def test_other_steps_are_one_fact(self, kept: Plant) -> None:
        settings = dict(kept.second.run.record["settings"])
        steps = [{"op": "grey"}, {"op": "scale", "factor": 0.5, "offset": 0.0}]
        alter_run(
            kept.workspace, 2, settings={**settings, "preprocessing": {"steps": steps, "normalise": "no"}}
        )
        rows = {row["what"]: row["run_2"] for row in compare_runs(kept.workspace, 1, 2)}
        assert rows["settings.preprocessing.steps"] == steps
        assert not [what for what in rows if what.startswith("settings.preprocessing.steps.")]

    def test_settings_at_a_recipes_default_are_told_from_those_that_were_chosen(self, plant: Plant) -> None:
        chosen = changed_settings(run_facts(plant.workspace, 2)["settings"])
        assert chosen["training.epochs"] == 3
        assert chosen["gates.min_int8_accuracy"] == 1.0
        assert chosen["architecture.filters"] == [4, 8]
        assert "training.batch_size" not in chosen and "training.augmentation.copies" not in chosen
        assert changed_settings({"task": "anomaly", "training": {"batch_size": 32, "threads": 1}}) == {
            "task": "anomaly",
            "training.batch_size": 32,
        }

    def test_nested_values_have_dotted_names(self) -> None:
        assert flat({"a": {"b": [1, 2], "c": [{"d": 3}]}, "e": None}) == {
            "a.b": [1, 2],
            "a.c.0.d": 3,
            "e": None,
        }


class TestReproduce:
    def test_a_run_gives_the_same_bytes(self, plant: Plant) -> None:
        for trained in (plant.first, plant.second):
            found = again(plant, trained)
            assert found.same
            assert found.sha256 == trained.version.artifact_sha256
            assert found.differs == {}
        assert len(run_rows(plant.workspace)) == 3  # nothing was registered

    def test_another_recipe_is_named_by_its_keys(self, kept: Plant) -> None:
        text = kept.first.run.record["recipe_text"].replace("epochs = 2", "epochs = 3")
        alter_run(kept.workspace, 1, recipe_text=text)
        found = again(kept, kept.first)
        assert not found.same
        assert found.differs == {"training.epochs": {"then": "2", "now": "3"}}

    def test_another_version_of_a_library_is_named(self, kept: Plant) -> None:
        was = {**kept.first.run.record["environment"], "numpy": "1.26.0"}
        alter_run(kept.workspace, 1, environment=was)
        found = again(kept, kept.first)
        assert found.same  # it made no difference to the bytes
        assert found.differs["numpy"]["then"] == "1.26.0"
        alter_version(kept.workspace, kept.first.version, artifact_sha256="0" * 64)
        try:
            other = again(kept, kept.first)
        finally:
            alter_version(
                kept.workspace, kept.first.version, artifact_sha256=kept.first.version.artifact_sha256
            )
        assert not other.same
        assert list(other.differs) == ["numpy"]

    def test_the_git_commit_counts_where_bytes_differ(self, kept: Plant) -> None:
        was = {**kept.first.run.record["environment"], "git_commit": "0123456"}
        alter_run(kept.workspace, 1, environment=was)
        assert again(kept, kept.first).differs == {}
        text = kept.first.run.record["recipe_text"].replace("0.005", "0.01")
        alter_run(kept.workspace, 1, recipe_text=text)
        differs = again(kept, kept.first).differs
        assert differs["training.learning_rate"] == {"then": "0.005", "now": "0.01"}
        assert differs["git_commit"]["then"] == "0123456"

    def test_a_key_that_recipes_did_not_have_yet_is_no_difference(self, kept: Plant) -> None:
        settings = {
            key: value for key, value in kept.first.run.record["settings"].items() if key != "retrain"
        }
        alter_run(kept.workspace, 1, settings=settings)
        assert again(kept, kept.first).differs == {}

    def test_a_run_without_its_recipe_says_how_to_get_a_new_one(self, kept: Plant) -> None:
        alter_run(kept.workspace, 1, recipe_text=None)
        with pytest.raises(
            UsageError, match="run 1 was recorded without its recipe, by an older version"
        ) as caught:
            again(kept, kept.first)
        assert caught.value.fix == f"edgeops train {kept.first.run.recipe} --seed 1"

    def test_code_of_the_recipes_own_is_taken_from_beside_it(self, kept: Plant) -> None:
        assert again(kept, kept.own).same
        code = kept.folder / "own" / "model.py"
        try:
            code.write_text(OWN.replace("relu", "tanh"))
            found = again(kept, kept.own)
            assert not found.same
            assert list(found.differs) == ["code"]
            with pytest.raises(UsageError, match="own@1 is code of its recipe's own"):
                explain_model(kept.workspace, "own", 0)
            code.unlink()
            with pytest.raises(ConfigError, match=r"no file 'model.py' beside the recipe"):
                again(kept, kept.own)
        finally:
            code.write_text(OWN)


class TestExplain:
    def test_figures_hold_together(self, plant: Plant) -> None:
        told: list[tuple[int, int]] = []
        found = explain_model(plant.workspace, "tiny@1", 7, progress=lambda *step: told.append(step))
        assert told[-1] == (64, 64)
        assert (found.view, found.grid, found.tested) == ("image", (8, 8), 361)
        assert found.wrong == round((1 - plant.first.run.metrics["float"]["accuracy"]) * 361)
        # the corners of these pictures are always empty
        corners = [loss for loss in found.losses if loss.region in ("row 0, column 0", "row 7, column 0")]
        assert [loss.lost for loss in corners] == [0, 0]
        assert max(loss.lost for loss in found.losses) > 0.01
        assert [item.right for item in found.items] == [False] * 3 + [True] * 4
        assert found.items[0].confidence >= found.items[1].confidence >= found.items[2].confidence
        for item in found.items:
            assert item.total == pytest.approx(item.difference, abs=0.02)
            assert item.total == pytest.approx(sum(item.by_region.values()), abs=1e-4)
            assert item.heat is not None and item.heat.shape == (8, 8)
            assert (item.against is None) == item.right

    def test_an_architecture_of_its_own_is_explained_without_a_map(self, plant: Plant) -> None:
        found = explain_model(plant.workspace, "own", 2)
        assert [item.heat for item in found.items] == [None, None]

    def test_versions_without_weights_are_told_so(self, kept: Plant) -> None:
        alter_run(kept.workspace, 1, weights_sha256=None)
        with pytest.raises(UsageError, match="tiny@1 has no float weights to explain"):
            explain_model(kept.workspace, "tiny@1", 1)

    def test_weights_that_are_gone_are_named_with_what_makes_them_again(self, kept: Plant) -> None:
        alter_run(kept.workspace, 1, weights_sha256="0" * 64)
        with pytest.raises(NotFoundError, match="the float weights of tiny@1 are gone") as caught:
            explain_model(kept.workspace, "tiny@1", 1)
        assert f"edgeops train {kept.first.run.recipe} --seed 1" in (caught.value.fix or "")

    def test_half_are_wrong_ones_and_right_ones_are_of_all_classes(self) -> None:
        import numpy as np

        targets = np.repeat(np.arange(4), 25)
        predicted = targets.copy()
        predicted[:10] = 3
        confidence = np.linspace(0.3, 0.9, 100).astype(np.float32)
        chosen = choose(predicted, targets, confidence, 8, seed=1)
        assert chosen[:4].tolist() == [9, 8, 7, 6]
        assert sorted(targets[chosen[4:]].tolist()) == [0, 1, 2, 3]
        assert len(choose(predicted, targets, confidence, 200, seed=1)) == 100
        right = choose(targets, targets, confidence, 6, seed=1)
        assert len(right) == 6 == len(set(right.tolist()))
        wrong = choose((targets + 1) % 4, targets, confidence, 6, seed=1)
        assert wrong.tolist() == [99, 98, 97, 96, 95, 94]
        assert len(choose(predicted, targets, confidence, 0, seed=1)) == 0
