"""Cards, explanations and runs on the command line: what is printed where, and with which status it ends."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from support import fake_mlflow
from support.trained import alter_run, digits_workspace, write_recipe

from edgeops.cli.main import run
from edgeops.control.settings import Settings
from edgeops.control.workspace import Workspace, init_workspace


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """The command line in this process: TensorFlow starts once."""

    def __init__(self, patch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], root: Path) -> None:
        self._patch, self._capfd, self._root = patch, capfd, root

    def __call__(self, *arguments: str) -> Said:
        self._patch.setattr(sys, "argv", ["edgeops", *arguments, "-w", str(self._root)])
        self._capfd.readouterr()
        code = 0
        try:
            run()
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *self._capfd.readouterr())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_workspace(tmp_path_factory.mktemp("models") / "farm").root


@pytest.fixture
def edgeops(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], root: Path) -> Shell:
    return Shell(monkeypatch, capfd, root)


@pytest.fixture
def trained(edgeops: Shell, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two versions of ``tiny``, the second rejected; made by whichever test comes first."""
    if Workspace(root).root.joinpath("cards").exists():
        return
    folder = tmp_path_factory.mktemp("recipes")
    first = edgeops("train", str(write_recipe(folder / "a")))
    assert first.code == 0
    lines = first.err.splitlines()
    assert lines[-2] == f"Model card: {root}/cards/tiny-1.md and tiny-1.html"
    assert (
        lines[-1]
        == f"Next: edgeops device enroll NAME -w {root}, then edgeops rollout start tiny@1 -w {root}"
    )
    assert re.search(r"^int8 +accuracy \d\.\d{3} \(\d\.\d{3}\.\.\d\.\d{3}\)$", first.out, re.MULTILINE)
    assert re.search(r"^tested on +\d+ images$", first.out, re.MULTILINE)
    strict = ("[report]", "[gates]\nmin_int8_accuracy = 1.0\n[report]")
    second = edgeops("train", str(write_recipe(folder / "b", ("epochs = 2", "epochs = 1"), strict)), "--json")
    assert second.code == 3
    assert json.loads(second.out)["state"] == "rejected"
    assert "Model card" not in second.err
    assert (root / "cards" / "tiny-2.html").exists()


pytestmark = pytest.mark.usefixtures("trained")


class TestCard:
    def test_markdown_on_stdout(self, edgeops: Shell) -> None:
        said = edgeops("model", "card", "tiny@1")
        assert said.code == 0
        assert said.out.startswith("# tiny@1\n\nA digit a time\n")
        assert "- Reading cheques." in said.out

    def test_to_a_file_with_the_fit_on_a_part(self, edgeops: Shell, tmp_path: Path) -> None:
        said = edgeops("model", "card", "tiny@1", "--out", str(tmp_path / "c.html"), "--target", "stm32l4r5")
        assert (said.code, said.out) == (0, "")
        page = (tmp_path / "c.html").read_text()
        assert "<h1>tiny@1</h1>" in page and "stm32l4r5" in page

    @pytest.mark.parametrize(
        ("code", "words", "arguments"),
        [
            (2, "neither .html nor .md", ["tiny", "--out", "card.pdf"]),
            (4, "stm32", ["tiny", "--target", "stm32nothing"]),
            (4, "no model 'nothing'", ["nothing"]),
        ],
    )
    def test_what_cannot_be_is_said(
        self, edgeops: Shell, code: int, words: str, arguments: list[str]
    ) -> None:
        said = edgeops("model", "card", *arguments)
        assert said.code == code
        assert words in said.err and "Traceback" not in said.err


class TestExplain:
    def test_figures_and_the_page(self, edgeops: Shell, tmp_path: Path) -> None:
        page = tmp_path / "why.html"
        said = edgeops("model", "explain", "tiny@1", "--items", "3", "--out", str(page), "--json")
        assert said.code == 0
        document = json.loads(said.out)
        assert document["model"] == "tiny@1"
        assert document["importance"]["of"] == "int8 model"
        assert document["importance"]["lost"][0]["lost"] > 0
        assert len(document["items"]["explained"]) == 3
        assert "Why tiny@1 answers as it does" in page.read_text()
        assert said.err.splitlines()[-1] == f"tiny@1: explanation written to {page}"

    def test_a_table_for_people(self, edgeops: Shell) -> None:
        said = edgeops("model", "explain", "tiny@1", "--items", "1")
        assert said.code == 0
        head, *rows = said.out.splitlines()
        assert head.split() == ["region", "accuracy", "lost", "+-"]
        assert 0 < len(rows) <= 10
        assert all(re.search(r"  0\.\d{3}  +0\.\d{3}$", row) for row in rows)
        assert re.search(
            r"^tiny@1: accuracy 0\.\d{3} on \d+ test items; .*of 64 lose nothing alone$", said.err, re.M
        )

    def test_every_region_is_there_for_a_program(self, edgeops: Shell) -> None:
        said = edgeops("model", "explain", "tiny@1", "--items", "1", "-o", "csv")
        assert said.out.splitlines()[0] == "region,lost,deviation"
        assert len(said.out.splitlines()) == 65

    def test_no_item_is_refused(self, edgeops: Shell) -> None:
        assert edgeops("model", "explain", "tiny@1", "--items", "0").code == 2

    def test_a_page_is_html(self, edgeops: Shell) -> None:
        said = edgeops("model", "explain", "tiny@1", "--out", "why.png")
        assert (said.code, said.out) == (2, "")
        assert "why.png does not end in .html" in said.err


class TestEvaluation:
    def test_what_is_held_out_on_the_command_line_makes_no_version_for_devices(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        edgeops = Shell(monkeypatch, capfd, init_workspace(tmp_path / "farm", Settings("two")).root)
        rng = np.random.default_rng(1)
        for label, period in (("slow", 16), ("fast", 4)):
            (tmp_path / "two" / label).mkdir(parents=True)
            for name in [f"{place}_{number}" for place in ("north", "south") for number in range(10)]:
                wave = np.sin(np.arange(256) * 2 * np.pi / period) + rng.normal(0, 0.1, 256)
                np.savetxt(tmp_path / "two" / label / f"{name}.csv", wave, "%.4f", header="v", comments="")
        pattern = ("--pattern", "{label}/{place}_{n}", "--sample-rate", "10", "--split", "50,25,25,0")
        added = edgeops("data", "add", str(tmp_path / "two"), "--name", "two", "--kind", "series", *pattern)
        assert added.code == 0, added.err
        said = edgeops("train", "two", "--holdout", "place=south")
        assert said.code == 0, said.err
        assert re.search(r"^state +evaluation$", said.out, re.MULTILINE)
        assert re.search(
            r"^tested on +\d+ windows of 20 recordings; .* count them as \d+$", said.out, re.MULTILINE
        )
        assert "Warning: 20 recordings test it" in said.err
        assert "Next: edgeops model card two@1" in said.err
        assert re.search(r"test \d+ windows of 20 recordings", edgeops("model", "card", "two").out)
        refused = edgeops("rollout", "start", "two")
        assert (refused.code, refused.err.splitlines()[0]) == (
            4,
            "error: no version of 'two' is registered: there is two@1 (evaluation)",
        )


class TestRuns:
    def test_list_show_and_compare(self, edgeops: Shell) -> None:
        head, *rows = edgeops("run", "list").out.splitlines()
        assert head.split() == ["run", "model", "state", "dataset", "seed", "int8", "created"]
        assert [row.split()[:3] for row in rows] == [
            ["2", "tiny@2", "rejected"],
            ["1", "tiny@1", "registered"],
        ]
        assert [row["run"] for row in json.loads(edgeops("run", "list", "--json").out)] == [2, 1]
        shown = edgeops("run", "show", "1")
        assert "settings training epochs" in shown.out and "confusion" not in shown.out
        facts = json.loads(edgeops("run", "show", "1", "--json").out)
        assert len(facts["curves"]) == 2 and facts["metrics"]["int8"]["confusion"]
        rows = json.loads(edgeops("run", "compare", "1", "2", "--json").out)
        assert {"what": "settings.training.epochs", "run_1": 2, "run_2": 1} in rows
        same = edgeops("run", "compare", "1", "1")
        assert (same.out, same.err) == ("", "runs 1 and 1 do not differ\n")
        missing = edgeops("run", "show", "99")
        assert (missing.code, missing.err.splitlines()[0]) == (4, "error: no run 99")

    def test_a_run_is_reproduced_or_what_differs_is_said(self, edgeops: Shell, root: Path) -> None:
        said = edgeops("train", "--reproduce", "2", "--json")
        assert said.code == 0
        assert json.loads(said.out)["same"] is True
        workspace = Workspace(root)
        record = json.loads(edgeops("run", "show", "2", "--json").out)
        text = write_recipe(root / "altered", ("epochs = 2", "epochs = 3")).read_text()
        alter_run(workspace, 2, recipe_text=text)
        other = edgeops("train", "--reproduce", "2")
        assert other.code == 3
        assert "run 2 gave other bytes; what differs: training.epochs, gates.min_int8_accuracy" in other.err
        assert "then=1" in other.out and "now=3" in other.out
        alter_run(workspace, 2, recipe_text=None)
        old = edgeops("train", "--reproduce", "2")
        assert old.code == 2
        assert "by an older version of EdgeOps" in old.err
        assert re.search(
            rf"^Fix: edgeops train .*{re.escape(record['recipe'])} --seed 1$", old.err, re.MULTILINE
        )

    def test_a_recipe_beside_reproduce_is_refused(self, edgeops: Shell, root: Path) -> None:
        said = edgeops("train", "digits", "--reproduce", "1")
        assert said.code == 2
        assert re.search(r"^Fix: edgeops train .*--reproduce 1$", said.err, re.MULTILINE)

    def test_export(self, edgeops: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        servers = fake_mlflow.install(monkeypatch)
        said = edgeops("run", "export", "1", "--mlflow", str(tmp_path), "--json")
        assert said.code == 0
        document = json.loads(said.out)
        assert document["new"] and document["experiment"] == "tiny"
        assert servers[document["uri"]].run(document["mlflow_run"]).params["training.epochs"] == "2"
        monkeypatch.setitem(sys.modules, "mlflow", None)
        without = edgeops("run", "export", "1", "--mlflow", str(tmp_path))
        assert without.code == 2
        assert re.search(r"^Fix: pip install .*\[mlflow\]", without.err, re.MULTILINE)
