"""The documentation stays true: generated parts are current, commands exist, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from edgeops.cli.main import app
from edgeops.control import settings
from edgeops.core.errors import ExitCode

CHECKOUT = Path(__file__).resolve().parents[2]
README = CHECKOUT / "README.md"
PAGES = [
    README,
    CHECKOUT / "CHANGELOG.md",
    CHECKOUT / "firmware_stubs" / "README.md",
    *sorted(p for p in (CHECKOUT / "docs").rglob("*.md") if not p.name.endswith(".in.md")),
]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", CHECKOUT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def command_lines(page: Path) -> Iterator[str]:
    """Every `edgeops …` line of a fenced block, and every inline one that has an option or an argument."""
    text = page.read_text()
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            line = line.removeprefix("$ ").strip()
            if line.startswith("edgeops "):
                yield line


def parse(line: str) -> None:
    """Let the app itself parse the line, without running it."""
    words = shlex.split(line, comments=True)[1:]
    command: Any = typer.main.get_command(app)
    if words and words[0].startswith("-"):
        command.make_context("edgeops", words, resilient_parsing=True)
        return
    while getattr(command, "commands", None) is not None:
        assert words and words[0] in command.commands, f"{line!r}: there is no such command"
        command = command.commands[words.pop(0)]
    command.make_context(line, words)


def test_the_generated_pages_are_current() -> None:
    for path, text in generator().documents().items():
        assert path.read_text() == text, f"{path.name} is stale. Fix: python docs/generate.py"


def test_the_check_says_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = generator()
    assert module.main(["--check"]) == 0
    for name in ("protocol.in.md", "recipes.in.md", "rollouts.in.md"):
        (tmp_path / name).write_text((CHECKOUT / "docs" / name).read_text())
    module.DOCS = tmp_path
    assert module.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert not (tmp_path / "cli.md").exists()
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0


def test_the_readme_names_every_noun() -> None:
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    commands = README.read_text().split("## Commands")[1].split("\n## ")[0]
    missing = [name for name in names if f"`{name}`" not in commands]
    assert not missing, f"README.md, Commands: {missing} not named"


def test_the_readme_has_every_setting_and_exit_code() -> None:
    text = README.read_text()
    default = settings.Settings("x")
    for section in ("report", "capture", "drift", "retrain", "rollout"):
        for key in vars(getattr(default, section)):
            assert f"`{section}.{key}`" in text, f"README.md, Configuration: {section}.{key} is missing"
    for code in ExitCode:
        assert f"| {int(code)} |" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_command_line_parses(page: Path) -> None:
    for line in command_lines(page):
        parse(line)


def test_command_lines_are_found_and_wrong_ones_refused() -> None:
    assert len(list(command_lines(README))) > 10
    assert len(list(command_lines(CHECKOUT / "docs" / "cli.md"))) > 20
    for wrong in (
        "edgeops fleets status",
        "edgeops fleet stat",
        "edgeops fleet status --colour",
        "edgeops data add",
    ):
        with pytest.raises(Exception, match=r".+"):
            parse(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        if path:
            assert (page.parent / path).exists(), f"{page.name}: {target} does not exist"
        else:
            assert anchor in anchors, f"{page.name}: no heading for #{anchor}"
