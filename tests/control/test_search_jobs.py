"""A search of a workspace: what it is named, what it prints, writes and refuses, and its front."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.search_trials import ARENA_LIMIT, AtOnce, figures

from edgeops.control import search_jobs
from edgeops.control.datasets import add_dataset
from edgeops.control.search_jobs import Search, look, prepare_search, require_front, run, save_recipe
from edgeops.control.search_results import FoundTrial, front_of, pareto_front
from edgeops.control.search_workers import Workers
from edgeops.control.settings import Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core.errors import (
    CheckFailed,
    ConfigError,
    ExitCode,
    MissingExtra,
    NotFoundError,
    UsageError,
    exit_code_of,
)
from edgeops.training.recipe import load_recipe
from edgeops.training.search_trial import TrialFigures, TrialJob

RECIPE = """\
# a note
[recipe]
name = "tiny"
[data]
name = "items"
[preprocessing]
steps = [{ op = "scale", factor = 0.004 }]
[architecture]
kind = "ds_cnn"
filters = 64
[training]
epochs = 7
learning_rate = 0.001
[search]
space = [
    { key = "architecture.filters", low = 8, high = 96, step = 8 },
    { key = "training.learning_rate", low = 1e-4, high = 1e-2, log = true },
]
"""


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a dataset of small images."""
    root = tmp_path_factory.mktemp("search") / "farm"
    workspace = init_workspace(root, Settings("farm"))
    rng = np.random.default_rng(1)
    y = np.arange(150) % 3
    x = (rng.integers(0, 60, (150, 8, 8)) + 60 * y[:, None, None]).astype(np.uint8)
    np.savez(root.parent / "items.npz", x=x, y=y)
    add_dataset(workspace, str(root.parent / "items.npz"), "items")
    workspace.registry.close()
    return root


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def workspace(farm: Path) -> Iterator[Workspace]:
    opened = Workspace(farm)
    yield opened
    opened.registry.close()


def ready(workspace: Workspace, recipe: Path, **other: Any) -> Search:
    """A search of its own name."""
    return prepare_search(workspace, str(recipe), "stm32l4r5", name=recipe.parent.name[:40], **other)


def computed(monkeypatch: pytest.MonkeyPatch, limit: int = ARENA_LIMIT) -> None:
    """No training: figures follow from the number of filters."""

    def trial(job: TrialJob, check: object, values: Any) -> TrialFigures:
        filters = values["architecture.filters"]
        return figures(0.5 + filters / 200, 100 * filters, limit=limit)

    monkeypatch.setattr(search_jobs, "run_trial", trial)


def silent(found: FoundTrial, count: int) -> None:
    """Nobody is told."""


class TestInAWorkspace:
    def test_a_search_is_named_after_recipe_and_target(self, workspace: Workspace, recipe: Path) -> None:
        search = prepare_search(workspace, str(recipe), "STM32L4R5ZIT6")
        assert search.name == "tiny-stm32l4r5"
        assert search.path == workspace.root / "search" / "tiny-stm32l4r5.db"
        assert not search.path.exists()
        assert (search.identity["epochs"], search.identity["dataset"]) == (7, "items@1")

    def test_the_front_is_a_document_and_a_picture(
        self, workspace: Workspace, recipe: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computed(monkeypatch)
        outcome = run(ready(workspace, recipe, epochs=2), 12, Workers(AtOnce(), 1), silent)
        document = json.loads(json.dumps(outcome.to_dict()))
        trials = {trial["trial"]: trial for trial in document["trials"]}
        assert len(trials) == 12
        assert document["best"] == document["front"][-1]
        qualities = [trials[number]["quality"] for number in document["front"]]
        assert qualities == sorted(qualities)
        assert trials[1]["values"] == {"architecture.filters": 64, "training.learning_rate": 0.001}
        assert trials[1]["reasons"] == ["it needs an arena of 6400 bytes; there are 6000"]
        assert (document["target"], document["epochs"], document["measure"]) == ("stm32l4r5", 2, "accuracy")
        drawn = ElementTree.fromstring(outcome.picture())
        labels = [text.text for text in drawn.iter() if text.get("font-weight") == "600"]
        assert set(map(str, document["front"])) <= set(labels)

    def test_the_best_becomes_a_recipe_that_names_the_target(
        self, workspace: Workspace, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computed(monkeypatch)
        outcome = run(ready(workspace, recipe, epochs=2), 12, Workers(AtOnce(), 1), silent)
        best = require_front(outcome)
        written = save_recipe(outcome, best, tmp_path / "out")
        again = load_recipe(written)
        assert again.architecture.parameters["filters"] == best.values["architecture.filters"]
        assert again.training.learning_rate == pytest.approx(best.values["training.learning_rate"], rel=1e-5)
        assert again.training.epochs == 7
        assert again.targets.names == ("stm32l4r5",)
        assert f"trial {best.number}: accuracy {best.quality:.4f}" in written.read_text()
        with pytest.raises(UsageError, match="exists already"):
            save_recipe(outcome, best, tmp_path / "out")

    def test_a_recipes_own_code_goes_with_it(
        self, workspace: Workspace, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "model.py").write_text("def build(shape, classes, filters): ...\n")
        own = RECIPE.replace(
            'kind = "ds_cnn"\nfilters = 64', 'python = "model.py:build"\nparameters = { filters = 64 }'
        )
        recipe.write_text(own.replace("architecture.filters", "architecture.parameters.filters"))
        monkeypatch.setattr(search_jobs, "run_trial", lambda job, check, values: figures(0.9, 100))
        outcome = run(ready(workspace, recipe), 2, Workers(AtOnce(), 1), silent)
        written = save_recipe(outcome, require_front(outcome), tmp_path / "out")
        assert load_recipe(written).architecture.python == (tmp_path / "out" / "model.py", "build")

    def test_when_nothing_fits_the_nearest_is_named(
        self, workspace: Workspace, recipe: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computed(monkeypatch, limit=500)
        outcome = run(ready(workspace, recipe), 4, Workers(AtOnce(), 1), silent)
        assert (outcome.front, outcome.best) == ([], None)
        assert "no trial fits yet" in outcome.picture()
        least = min(trial.values["architecture.filters"] for trial in outcome.trials)
        with pytest.raises(
            CheckFailed, match=f"none of 4 trials fits stm32l4r5.*{100 * least} bytes"
        ) as caught:
            require_front(outcome)
        assert exit_code_of(caught.value) == ExitCode.CHECK_FAILED

    def test_when_every_trial_failed_that_is_said_and_not_that_nothing_fits(
        self, workspace: Workspace, recipe: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(job: TrialJob, check: object, values: Any) -> TrialFigures:
            raise RuntimeError("no luck")

        monkeypatch.setattr(search_jobs, "run_trial", fails)
        search = ready(workspace, recipe)
        outcome = run(search, 2, Workers(AtOnce(), 1), silent)
        with pytest.raises(
            CheckFailed, match="every one of 2 trials failed, the last with: RuntimeError: no luck"
        ) as caught:
            require_front(outcome)
        assert exit_code_of(caught.value) == ExitCode.CHECK_FAILED
        computed(monkeypatch, limit=500)
        more = run(search, 4, Workers(AtOnce(), 1), silent)
        with pytest.raises(CheckFailed, match="none of 4 trials fits stm32l4r5, 2 failed; the nearest"):
            require_front(more)

    def test_a_search_without_trials_says_so(self, workspace: Workspace, recipe: Path) -> None:
        with pytest.raises(CheckFailed, match="no trial is there yet"):
            require_front(look(ready(workspace, recipe)))

    def test_looking_at_what_has_not_begun_needs_no_optuna_and_begins_nothing(
        self, workspace: Workspace, recipe: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "optuna", None)
        search = ready(workspace, recipe)
        assert look(search).trials == ()
        assert not search.path.exists()
        with pytest.raises(MissingExtra, match="Optuna"):
            run(search, 1, Workers(AtOnce(), 1), silent)

    def test_other_epochs_are_another_search(self, workspace: Workspace, recipe: Path) -> None:
        run(ready(workspace, recipe), 0, Workers(AtOnce(), 1), silent)
        with pytest.raises(UsageError, match=r"another epochs \(7 there, 3 now\)"):
            look(ready(workspace, recipe, epochs=3))
        recipe.write_text(RECIPE.replace("high = 96", "high = 80"))
        with pytest.raises(UsageError, match="another space"):
            look(ready(workspace, recipe))

    def test_what_is_not_there_is_found_out_before_anything_runs(
        self, workspace: Workspace, recipe: Path
    ) -> None:
        with pytest.raises(NotFoundError, match="did you mean 'stm32l4r5'"):
            prepare_search(workspace, str(recipe), "stm32l4r")
        recipe.write_text(RECIPE.replace('"items"', '"other"'))
        with pytest.raises(NotFoundError, match="other"):
            prepare_search(workspace, str(recipe), "stm32l4r5")
        with pytest.raises(ConfigError, match="'data.name' is 'other'"):
            prepare_search(workspace, str(recipe), "stm32l4r5", "items")

    @pytest.mark.slow
    def test_the_command_trains_and_goes_on(self, farm: Path, recipe: Path, tmp_path: Path) -> None:
        """Two trainings for real, one epoch each, measured with the interpreter of microcontrollers."""
        recipe.write_text(RECIPE.replace("high = 96, step = 8", "high = 64, step = 4"))
        plain = [
            "--target",
            "stm32l4r5",
            "--epochs",
            "1",
            "--workers",
            "1",
            "-w",
            str(farm),
            "--name",
            "real",
        ]
        first = edgeops("search", str(recipe), *plain, "--trials", "1", "--json")
        assert first.returncode == 0, first.stderr
        document = json.loads(first.stdout)
        (trial,) = document["trials"]
        assert trial["state"] == "OK"
        assert 0 <= trial["quality"] <= 1
        assert trial["arena_bytes"] > 1000
        assert trial["latency_ms"]["low"] < trial["latency_ms"]["high"]
        space, line = first.stderr.splitlines()
        assert space == "real: filters 8..64, learning_rate 0.0001..0.01"
        assert line.startswith("1 of 1  trial 1  accuracy ")
        out = ["--plot", str(tmp_path / "front.svg"), "--out", str(tmp_path / "found")]
        second = edgeops("search", str(recipe), *plain, "--trials", "2", *out)
        assert second.returncode == 0, second.stderr
        assert "real: 1 of 2 trials are there" in second.stderr
        assert "2 of 2  trial 2" in second.stderr
        head, *rows = second.stdout.splitlines()
        assert head.split()[:5] == ["trial", "accuracy", "arena", "ms", "estimated"]
        assert 1 <= len(rows) <= 2
        assert load_recipe(tmp_path / "found").training.epochs == 7
        assert ElementTree.parse(tmp_path / "front.svg").getroot().tag.endswith("svg")
        refused = edgeops("search", str(recipe), *plain, "--trials", "2", *out)
        assert refused.returncode == 2
        assert "exists already" in refused.stderr


def edgeops(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeops", *arguments],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=240,
    )


class TestFront:
    points = st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 40))
        | st.tuples(st.sampled_from([0.5, 0.6]), st.integers(0, 3)),
        max_size=30,
    )

    @given(points)
    def test_no_point_of_the_front_is_beaten_and_every_other_is(
        self, points: list[tuple[float, float]]
    ) -> None:
        front = pareto_front(points)
        for place in front:
            assert not any(_beats(other, points[place]) for other in points)
        for place in set(range(len(points))) - set(front):
            assert any(_beats(points[f], points[place]) or points[f] == points[place] for f in front)

    @given(points)
    def test_it_rises_from_the_smallest_to_the_best(self, points: list[tuple[float, float]]) -> None:
        front = [points[place] for place in pareto_front(points)]
        assert front == sorted(set(front))
        assert front == sorted(front, key=lambda point: point[1])
        if points:
            assert front[-1][0] == max(quality for quality, _ in points)
            assert front[0][1] == min(size for _, size in points)

    @given(points, st.randoms(use_true_random=False))
    def test_the_order_of_the_trials_does_not_matter(
        self, points: list[tuple[float, float]], rng: Any
    ) -> None:
        shuffled = points[:]
        rng.shuffle(shuffled)
        front = [points[place] for place in pareto_front(points)]
        assert [shuffled[place] for place in pareto_front(shuffled)] == front
        assert [front[place] for place in pareto_front(front)] == front

    def test_only_trained_trials_that_fit_are_on_it(self) -> None:
        trials = [
            FoundTrial(1, {}, figures(0.9, 500)),
            FoundTrial(2, {}, figures(0.99, ARENA_LIMIT + 1)),
            FoundTrial(3, {}, None, "ValueError: no"),
            FoundTrial(4, {}, figures(0.8, 400)),
        ]
        assert [trial.number for trial in front_of(trials)] == [4, 1]
        assert [trial.state for trial in trials] == ["OK", "does not fit", "failed", "OK"]

    @given(st.sampled_from([figures(0.5, 100), figures(0.5, 9000), TrialFigures(None, ("why",), None, 1.5)]))
    def test_figures_survive_json(self, there: TrialFigures) -> None:
        assert TrialFigures.from_dict(json.loads(json.dumps(there.to_dict()))) == there

    def test_what_does_not_fit_is_told_by_how_much(self) -> None:
        assert figures(0.5, ARENA_LIMIT).violation == 0
        assert figures(0.5, ARENA_LIMIT * 2).violation == pytest.approx(1.0)
        assert TrialFigures(None, ("does not build",), None, 0.0).violation == 1.0


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] <= other[1]
