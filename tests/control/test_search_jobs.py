"""A search: real Optuna and a trial that only computes; what it finds, and that no end of it loses anything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import search_trials
from support.search_trials import ARENA_LIMIT, SPACE, AtOnce, figures, quick

from edgeops.control import search_jobs
from edgeops.control.datasets import add_dataset
from edgeops.control.search_file import open_search
from edgeops.control.search_jobs import (
    Search,
    Trial,
    look,
    prepare_search,
    require_front,
    run,
    run_trials,
    save_recipe,
)
from edgeops.control.search_results import FoundTrial, front_of, pareto_front
from edgeops.control.search_workers import Workers, dask_workers, local_workers
from edgeops.control.settings import Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core.errors import (
    CheckFailed,
    ConfigError,
    DataError,
    EdgeOpsError,
    ExitCode,
    MissingExtra,
    NotFoundError,
    UnreachableError,
    UsageError,
    exit_code_of,
)
from edgeops.training.recipe import load_recipe
from edgeops.training.search_trial import TrialFigures, TrialJob

IDENTITY = {"recipe": "r1", "target": "part", "epochs": 2}
DEADLINE_S = 60
TESTS = Path(__file__).resolve().parents[1]


def search(
    path: Path,
    trials: int,
    trial: Trial = quick,
    *,
    executor: Executor | None = None,
    at_once: int = 1,
    seed: int = 1,
    told: Callable[[FoundTrial, int], None] = lambda found, count: None,
    identity: dict[str, Any] = IDENTITY,
) -> list[FoundTrial]:
    with open_search(path, identity, SPACE, seed) as file:
        run_trials(file, trials, Workers(executor or AtOnce(), at_once), trial, told)
        return file.trials


def found(trials: list[FoundTrial]) -> list[tuple[dict[str, Any], TrialFigures | None, str]]:
    """What was tried and what came of it, without the numbers."""
    return [(dict(trial.values), trial.figures, trial.error) for trial in trials]


class TestSearching:
    def test_it_begins_with_the_recipe_as_it_is_and_ends_after_so_many(self, tmp_path: Path) -> None:
        told: list[tuple[int, int]] = []
        trials = search(tmp_path / "a.db", 6, told=lambda trial, count: told.append((trial.number, count)))
        assert dict(trials[0].values) == {"filters": 64, "rate": 1e-3}
        assert [trial.number for trial in trials] == [1, 2, 3, 4, 5, 6]
        assert told == [(n, n) for n in range(1, 7)]
        for trial in trials[1:]:
            assert trial.values["filters"] in range(8, 97, 8)
            assert 1e-4 <= trial.values["rate"] <= 1e-2

    def test_the_same_seed_searches_the_same(self, tmp_path: Path) -> None:
        first = search(tmp_path / "a.db", 5)
        assert found(search(tmp_path / "b.db", 5)) == found(first)
        assert found(search(tmp_path / "c.db", 5, seed=2)) != found(first)

    def test_what_does_not_fit_is_tried_less_and_less_and_is_never_on_the_front(self, tmp_path: Path) -> None:
        tight = partial(_with_limit, 2000)
        trials = search(tmp_path / "a.db", 40, tight)
        states = [trial.state for trial in trials]
        assert states.count("does not fit") > 5
        assert states[20:].count("OK") > states[:20].count("OK")
        front = front_of(trials)
        assert front
        for trial in front:
            assert trial.arena_bytes <= 2000

    def test_as_many_run_at_a_time_as_there_are_workers(self, tmp_path: Path) -> None:
        executor = search_trials.OneOfMany(at_once=3, in_all=9)
        trials = search(tmp_path / "a.db", 9, executor=executor, at_once=3)
        assert len(trials) == 9
        assert executor.most == 3

    def test_what_was_tried_already_is_not_trained_again(self, tmp_path: Path) -> None:
        two = (SPACE[0].__class__("filters", ("a",), low=8, high=16, step=8, whole=True, own=8),)
        executor = AtOnce()
        with open_search(tmp_path / "a.db", IDENTITY, two, 1) as file:
            run_trials(file, 8, Workers(executor, 1), _one_value, lambda trial, count: None)
            assert file.count == 8
            assert {trial.quality for trial in file.trials} == {8 / 100, 16 / 100}
        assert executor.calls == 2

    def test_nothing_is_written_to_stdout(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        search(tmp_path / "a.db", 12)
        assert capfd.readouterr() == ("", "")


class TestTrialsThatGoWrong:
    def test_a_trial_that_fails_is_kept_with_its_reason_and_the_others_go_on(self, tmp_path: Path) -> None:
        trials = search(tmp_path / "a.db", 12, search_trials.sometimes_wrong)
        failed = [trial for trial in trials if trial.state == "failed"]
        assert len(trials) == 12
        assert failed
        assert {trial.error for trial in failed} == {"ValueError: too narrow"}
        assert all(trial.values["filters"] < 40 for trial in failed)

    def test_a_search_of_which_every_trial_fails_ends_soon(self, tmp_path: Path) -> None:
        with pytest.raises(
            EdgeOpsError, match="the first 3 trials failed, the last with: RuntimeError: no luck"
        ):
            search(tmp_path / "a.db", 100, search_trials.always_wrong)

    def test_what_is_wrong_for_all_trials_is_raised_at_once(self, tmp_path: Path) -> None:
        def unusable(values: Any) -> TrialFigures:
            raise DataError("the part 'validation' is empty", fix="add more items")

        with pytest.raises(DataError, match="is empty") as caught:
            search(tmp_path / "a.db", 100, unusable)
        assert caught.value.fix == "add more items"
        assert len(search(tmp_path / "a.db", 2)) == 2

    def test_a_worker_that_dies_ends_the_search_which_can_go_on(self, tmp_path: Path) -> None:
        with (
            local_workers(1) as workers,
            pytest.raises(EdgeOpsError, match="a worker process died") as caught,
        ):
            search(tmp_path / "a.db", 3, search_trials.dies, executor=workers.executor)
        assert "fewer --workers" in (caught.value.fix or "")
        again = search(tmp_path / "a.db", 3)
        assert found(again) == found(search(tmp_path / "b.db", 3))

    def test_a_trial_that_kills_its_worker_twice_has_failed(self, tmp_path: Path) -> None:
        def broken(values: Any) -> TrialFigures:
            raise BrokenExecutor

        for _ in range(2):
            with pytest.raises(EdgeOpsError, match="a worker process died"):
                search(tmp_path / "a.db", 3, broken)
        trials = search(tmp_path / "a.db", 3)
        assert [trial.state == "failed" for trial in trials] == [True, False, False]
        assert trials[0].error == "its worker process ended 2 times"


class TestResuming:
    def test_more_trials_are_added_to_those_that_are_there(self, tmp_path: Path) -> None:
        whole = found(search(tmp_path / "a.db", 8))
        executor = AtOnce()
        assert found(search(tmp_path / "b.db", 3)) == whole[:3]
        assert found(search(tmp_path / "b.db", 8, executor=executor)) == whole
        assert executor.calls == 5
        assert found(search(tmp_path / "b.db", 5, executor=executor)) == whole
        assert executor.calls == 5

    @pytest.mark.parametrize("calls", range(6))
    def test_interrupted_before_any_trial_it_finds_what_it_would_have_found(
        self, tmp_path: Path, calls: int
    ) -> None:
        whole = found(search(tmp_path / "a.db", 6))
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "b.db", 6, executor=AtOnce(stop_after=calls))
        executor = AtOnce()
        assert found(search(tmp_path / "b.db", 6, executor=executor)) == whole
        assert executor.calls == 6 - calls

    def test_killed_at_any_byte_that_it_writes_it_finds_the_same(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("killed")
        whole = found(search(folder / "a.db", 5))
        journal = (folder / "a.db").read_bytes()

        @settings(max_examples=25)
        @given(st.integers(0, len(journal)))
        def law(written: int) -> None:
            (folder / "b.db").write_bytes(journal[:written])
            (folder / "b.db.lock").unlink(missing_ok=True)
            os.symlink(folder / "b.db", folder / "b.db.lock")
            assert found(search(folder / "b.db", 5)) == whole

        law()

    def test_trials_that_ran_side_by_side_are_all_repeated(self, tmp_path: Path) -> None:
        with open_search(tmp_path / "a.db", IDENTITY, SPACE, 1) as file:
            asked = [dict(file.ask()[1]) for _ in range(3)]
        trials = search(tmp_path / "a.db", 3)
        assert [dict(trial.values) for trial in trials] == asked

    def test_another_search_is_not_continued(self, tmp_path: Path) -> None:
        search(tmp_path / "a.db", 1)
        with pytest.raises(UsageError, match=r"another epochs \(2 there, 5 now\)") as caught:
            search(tmp_path / "a.db", 2, identity={**IDENTITY, "epochs": 5})
        assert caught.value.fields["differs"] == ["epochs"]
        assert len(search(tmp_path / "a.db", 1)) == 1

    def test_two_at_a_time_are_refused(self, tmp_path: Path) -> None:
        with (
            open_search(tmp_path / "a.db", IDENTITY, SPACE, 1),
            pytest.raises(UsageError, match="another search is at work here"),
            open_search(tmp_path / "a.db", IDENTITY, SPACE, 1),
        ):
            pass

    @pytest.mark.parametrize("content", [b"SQLite format 3\x00\n", b'{"op_code": 77}\n', b'["a"]\n'])
    def test_a_file_that_is_no_search_is_refused_and_kept(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.db"
        path.write_bytes(content)
        with pytest.raises(UsageError, match="is not a search, or is damaged"):
            search(path, 1)
        assert path.read_bytes() == content


SCRIPT = """\
import sys
from functools import partial
from pathlib import Path
from edgeops.cli.signals import terminate_as_interrupt
from edgeops.control.search_file import open_search
from edgeops.control.search_jobs import run_trials
from edgeops.control.search_workers import local_workers
from support.search_trials import SPACE, slow

if __name__ == "__main__":
    terminate_as_interrupt()
    folder = Path(sys.argv[1])
    try:
        with local_workers(2) as workers, open_search(folder / "a.db", {"target": "part"}, SPACE, 1) as file:
            run_trials(file, 4, workers, partial(slow, folder), lambda trial, count: None)
    except KeyboardInterrupt:
        sys.exit(130)
"""


class TestWorkers:
    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
    def test_they_end_with_their_search_however_it_ends(self, tmp_path: Path, number: signal.Signals) -> None:
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        process = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
        )
        try:
            _until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
            workers = [int(path.stem) for path in tmp_path.glob("*.pid")]
            # Ctrl-C reaches every process of a terminal
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
            out, err = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
        assert out == ""
        assert "a library talks on stdout" in err
        assert "Traceback" not in err
        assert "leaked" not in err or number == signal.SIGKILL
        _until(lambda: not any(_alive(worker) for worker in workers))
        again = search(tmp_path / "a.db", 2, identity={"target": "part"})
        assert found(again) == found(search(tmp_path / "b.db", 2))

    def test_a_dask_cluster_that_is_not_installed_or_does_not_answer_is_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(MissingExtra) as missing, dask_workers("tcp://127.0.0.1:9"):
            pass
        assert missing.value.fix == 'pip install "edgeops[dask]"'
        monkeypatch.setitem(sys.modules, "distributed", _distributed(fails=True))
        with (
            pytest.raises(UnreachableError, match="tcp://127.0.0.1:9") as silent,
            dask_workers("tcp://127.0.0.1:9"),
        ):
            pass
        assert exit_code_of(silent.value) == ExitCode.UNREACHABLE
        monkeypatch.setitem(sys.modules, "distributed", _distributed(workers=0))
        with pytest.raises(UnreachableError, match="has no workers"), dask_workers("tcp://127.0.0.1:9"):
            pass

    @pytest.mark.parametrize("address", ["", "nonsense", "tcp://host", "host:port", "tcp://a b:1"])
    def test_what_is_no_address_is_refused(self, address: str) -> None:
        with pytest.raises(UsageError, match="no address of a Dask scheduler"), dask_workers(address):
            pass

    def test_a_dask_cluster_runs_one_trial_a_worker(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "distributed", _distributed(workers=3))
        with dask_workers("tcp://here:8786") as workers:
            assert workers.count == 3
            trials = search(tmp_path / "a.db", 5, executor=workers.executor, at_once=workers.count)
        assert len(trials) == 5

    def test_a_real_dask_cluster(self, tmp_path: Path) -> None:
        distributed = pytest.importorskip("distributed", reason="edgeops[dask] is not installed")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
            ) as cluster,
            dask_workers(cluster.scheduler_address) as workers,
        ):
            assert workers.count == 2
            trials = search(tmp_path / "a.db", 6, executor=workers.executor, at_once=workers.count)
        assert len({trial.number for trial in trials}) == 6
        assert {trial.state for trial in trials} <= {"OK", "does not fit"}


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

    def test_other_epochs_are_another_search(self, workspace: Workspace, recipe: Path) -> None:
        look(ready(workspace, recipe))
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


def _with_limit(limit: int, values: Any) -> TrialFigures:
    return figures(0.5 + values["filters"] / 200, 100 * values["filters"], limit=limit)


def _one_value(values: Any) -> TrialFigures:
    return figures(values["filters"] / 100, 100 * values["filters"])


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _distributed(*, workers: int = 1, fails: bool = False) -> ModuleType:
    """A module that has as much of ``distributed`` as is used."""

    class Client:
        def __init__(self, address: str, *, timeout: float, set_as_default: bool) -> None:
            del timeout, set_as_default
            if fails:
                raise TimeoutError(f"Timed out trying to connect to {address}")
            self._pool = ThreadPoolExecutor(max(workers, 1))

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *end: object) -> None:
            self._pool.shutdown()

        def nthreads(self) -> dict[str, int]:
            return {f"tcp://worker-{number}": 1 for number in range(workers)}

        def get_executor(self, *, pure: bool) -> Executor:
            assert not pure
            return self._pool

    module = ModuleType("distributed")
    module.Client = Client  # type: ignore[attr-defined]
    return module
