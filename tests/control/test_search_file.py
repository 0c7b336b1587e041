"""A search kept in a file: what it finds with real Optuna, and that no end of it loses anything."""

from __future__ import annotations

import os
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import search_trials
from support.search_trials import IDENTITY, SPACE, AtOnce, figures, found, search

from edgeops.control.search_file import open_search
from edgeops.control.search_jobs import run_trials
from edgeops.control.search_results import front_of
from edgeops.control.search_workers import Workers, local_workers
from edgeops.core.errors import DataError, EdgeOpsError, TrainingDiverged, UsageError
from edgeops.training.search_trial import TrialFigures


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

    def test_a_training_that_diverges_is_one_trials_affair(self, tmp_path: Path) -> None:
        def steep(values: Any) -> TrialFigures:
            if values["rate"] >= 1e-3:
                raise TrainingDiverged("the training diverged: after epoch 1", fix="lower it", epoch=1)
            return search_trials.quick(values)

        trials = search(tmp_path / "a.db", 8, steep)
        assert len(trials) == 8
        assert trials[0].error == "the training diverged: after epoch 1"
        assert "OK" in {trial.state for trial in trials}

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


def _with_limit(limit: int, values: Any) -> TrialFigures:
    return figures(0.5 + values["filters"] / 200, 100 * values["filters"], limit=limit)


def _one_value(values: Any) -> TrialFigures:
    return figures(values["filters"] / 100, 100 * values["filters"])
