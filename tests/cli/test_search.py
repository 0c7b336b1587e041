"""``edgeops search``: what a person sees while it runs and when it is done."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.search_trials import AtOnce, figures

from edgeops.cli import search as command
from edgeops.cli.main import run
from edgeops.control import search_jobs
from edgeops.control.datasets import add_dataset
from edgeops.control.search_workers import Workers
from edgeops.control.settings import Settings
from edgeops.control.workspace import init_workspace
from edgeops.training.search_trial import TrialFigures

RECIPE = """\
[recipe]
name = "tiny"
[data]
name = "items"
[architecture]
kind = "ds_cnn"
filters = 64
[training]
epochs = 7
[search]
space = [{ key = "architecture.filters", low = 8, high = 96, step = 8 }]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a workspace ``farm`` and a recipe; trials follow from the number of filters."""
    workspace = init_workspace(tmp_path / "farm", Settings("farm"))
    x = np.random.default_rng(1).integers(0, 255, (120, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "items.npz", x=x, y=np.arange(120) % 3)
    add_dataset(workspace, str(tmp_path / "items.npz"), "items")
    workspace.registry.close()
    (tmp_path / "recipe.toml").write_text(RECIPE)

    def trial(job: object, check: object, values: Any) -> TrialFigures:
        filters = values["architecture.filters"]
        return figures(0.5 + filters / 200, 100 * filters, limit=9000)

    @contextmanager
    def workers(*given: object) -> Iterator[Workers]:
        yield Workers(AtOnce(), 1)

    monkeypatch.setattr(search_jobs, "run_trial", trial)
    monkeypatch.setattr(command, "_workers", workers)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def searched(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *more: str
) -> tuple[int, list[str], list[str]]:
    arguments = ["search", "recipe.toml", "-t", "stm32l4r5", "-w", "farm", *more]
    monkeypatch.setattr(sys, "argv", ["edgeops", *arguments])
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        run()
    out, err = capfd.readouterr()
    return int(end.value.code or 0), out.splitlines(), err.splitlines()


def test_the_front_says_what_it_is_marks_the_best_and_how_to_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, (head, *rows), said = searched(monkeypatch, capfd, "--trials", "8", "--epochs", "2")
    assert code == 0
    assert head.split()[:3] == ["trial", "accuracy", "arena"]
    assert [" best " in row for row in rows] == [False] * (len(rows) - 1) + [True]
    assert f"{len(rows)} of 8 trials: no other is both smaller and more accurate" in said
    assert said[-1] == (
        "Next: edgeops search recipe.toml --target stm32l4r5 --trials 8 --epochs 2 --out tiny-stm32l4r5 "
        "--workspace farm"
    )
    again = said[-1].split()[2:]
    monkeypatch.setattr(sys, "argv", ["edgeops", *again])
    with pytest.raises(SystemExit) as end:
        run()
    assert not end.value.code
    assert (root / "tiny-stm32l4r5" / "recipe.toml").is_file()


def test_csv_has_plain_numbers(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _, lines, said = searched(monkeypatch, capfd, "--trials", "4", "-o", "csv")
    assert all(re.match(r"\d+,", line) for line in lines[1:])
    assert not any(line.startswith("Next") for line in said)


def test_no_trials_are_answered_before_anything_that_is_missing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, said = searched(monkeypatch, capfd, "--trials", "0")
    assert (code, said[-2:]) == (
        3,
        ["error: no trial is there yet", "Fix: search with --trials 1 or more"],
    )
    code, _, said = searched(monkeypatch, capfd, "--trials", "1")
    assert code == 2 and "error: searching needs Optuna" in said
