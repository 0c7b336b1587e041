"""Wrong command lines: said as every other error, with what mends it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer

from edgeops.cli.main import app, run
from edgeops.cli.usage import with_workspace
from edgeops.control import installation


def told(arguments: list[str], patch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on stderr of a command that ends with 2, its answer being nothing."""
    patch.setattr(sys, "argv", ["edgeops", *arguments])
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 2
    out, err = capfd.readouterr()
    assert out == ""
    return err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "error", "fix"),
    [
        (["data", "lst"], "edgeops data has no command 'lst'", "edgeops data list"),
        (
            ["data", "xyz"],
            "edgeops data has no command 'xyz'",
            "one of add, list, show, diff, report, export",
        ),
        (
            ["data", "list", "--jsn"],
            "edgeops data list has no option --jsn",
            "did you mean --json? edgeops data list --help lists all",
        ),
        (
            ["run", "list", "--nonsense"],
            "edgeops run list has no option --nonsense",
            "edgeops run list --help lists all",
        ),
        (
            ["check", "m.tflite"],
            "edgeops check: --target is missing",
            "as in: edgeops check model.tflite --target stm32l4r5",
        ),
        (
            ["check"],
            "edgeops check: MODEL.tflite is missing",
            "as in: edgeops check model.tflite --target stm32l4r5",
        ),
        (
            ["model", "show"],
            "edgeops model show: MODEL is missing",
            "as in: edgeops model show digits@2 --json",
        ),
        (
            ["run", "show", "x"],
            "edgeops run show: RUN: is no whole number",
            "as in: edgeops run show 1 --json",
        ),
        (
            ["search", "r", "-t", "rp2040", "--trials", "-1"],
            "edgeops search: --trials: should be greater than or equal to 0",
            "as in: edgeops search models/keyword --target stm32l4r5 --trials 30 --epochs 10",
        ),
        (
            ["data", "list", "-o", "yaml"],
            "edgeops data list: --output: 'yaml' is not one of 'table', 'json', 'jsonl', 'csv'",
            "--output table|json|jsonl|csv",
        ),
        (["train", "--seed"], "edgeops train: --seed needs a value", "as in: edgeops train models/digits"),
        (["key", "show", "it"], "edgeops key show takes no further argument: it", "as in: edgeops key show"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_ends_with_its_remedy(
    arguments: list[str],
    error: str,
    fix: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert told(arguments, monkeypatch, capfd) == [f"error: {error}", f"Fix: {fix}"]


def test_a_noun_alone_shows_its_help(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = told(["data"], monkeypatch, capfd)
    assert lines[0].startswith("Usage: edgeops data") or lines[0] == ""
    assert not any(line.startswith("error") for line in lines)


class TestWorkspaceInHints:
    root = typer.main.get_command(app)

    @pytest.mark.parametrize(
        ("fix", "mended"),
        [
            ("edgeops run list shows what there is", "edgeops run list -w farm shows what there is"),
            ("start edgeops serve, then again", "start edgeops serve -w farm, then again"),
            ("edgeops data add PATH --name x", "edgeops data add -w farm PATH --name x"),
            ("edgeops train models/digits --seed 2", "edgeops train -w farm models/digits --seed 2"),
            ("edgeops data list -w other", "edgeops data list -w other"),
            ("edgeops target list shows all", "edgeops target list shows all"),
            ("edgeops init FOLDER", "edgeops init FOLDER"),
            ("edgeops train --help", "edgeops train --help"),
            ("free disk space", "free disk space"),
        ],
    )
    def test_a_command_of_a_hint_names_the_workspace_that_was_named(self, fix: str, mended: str) -> None:
        assert with_workspace(fix, "farm", self.root) == mended
        assert with_workspace(fix, "", self.root) == fix

    def test_it_is_what_the_command_line_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        from edgeops.control.settings import Settings
        from edgeops.control.workspace import init_workspace

        init_workspace(tmp_path / "a farm", Settings("farm"))
        for arguments, words in (
            (["run", "show", "9", "-w", str(tmp_path / "a farm")], f"-w '{tmp_path / 'a farm'}' shows"),
            (["run", "show", "9"], "edgeops run list shows"),
        ):
            monkeypatch.chdir(tmp_path / "a farm")
            monkeypatch.setattr(sys, "argv", ["edgeops", *arguments])
            with pytest.raises(SystemExit):
                run()
            assert words in capfd.readouterr().err


class TestInstallation:
    def as_if(self, monkeypatch: pytest.MonkeyPatch, document: object) -> None:
        class Installed:
            def read_text(self, name: str) -> str | None:
                assert name == "direct_url.json"
                return None if document is None else json.dumps(document)

        monkeypatch.setattr(installation.metadata, "distribution", lambda name: Installed())

    def test_from_an_index_an_extra_comes_by_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.as_if(monkeypatch, None)
        assert installation.install_line("search") == 'pip install "edgeops[search]"'

    def test_from_a_checkout_it_comes_from_there_with_its_constraints(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "a checkout"
        folder.mkdir()
        (folder / "pyproject.toml").touch()
        self.as_if(monkeypatch, {"url": folder.as_uri(), "dir_info": {"editable": True}})
        assert installation.install_line("search") == f"pip install -e '{folder}[search]'"
        (folder / "constraints.txt").touch()
        line = f"pip install -e '{folder}[search,train]' -c '{folder}/constraints.txt'"
        assert installation.as_installed('pip install "edgeops[search,train]", then again') == (
            f"{line}, then again"
        )

    def test_a_checkout_that_is_gone_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.as_if(monkeypatch, {"url": (tmp_path / "gone").as_uri()})
        assert installation.checkout() is None
