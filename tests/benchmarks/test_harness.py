"""``benchmarks/run.py`` on folders made for the purpose, and the limits that the project keeps."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"harness_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


run = load(BENCHMARKS / "run.py")


def row(name: str, value: object, better: str = "lower", peer: object = None, unit: str = "s") -> dict:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "better": better,
        "peer": peer,
        "note": f"note {name}",
    }


def make(folder: Path, limits: str = "", **modules: object) -> Path:
    (folder / "limits.toml").write_text(limits)
    for name, rows in modules.items():
        body = rows if isinstance(rows, str) else f"return {rows!r}"
        (folder / f"bench_{name}.py").write_text(f"def rows():\n    {body}\n")
    return folder


def results(folder: Path) -> dict[str, dict]:
    return {entry["name"]: entry for entry in json.loads((folder / "results.json").read_text())}


def test_rows_are_joined_with_their_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peer = {"name": "typer", "version": "1.0", "value": 2}
    folder = make(
        tmp_path,
        "[a]\nquick = { at_most = 1.5 }\nright = { at_least = 0.9 }\n",
        a=[row("quick", 1.5, peer=peer), row("right", 0.9, "higher")],
        b=[row("free", 12345.6)],
    )
    assert run.main([], folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["quick", "OK"], ["right", "OK"], ["free", "INFO"]]
    assert "typer 1.0: 2" in lines[1]
    assert results(folder)["quick"] == {**row("quick", 1.5, peer=peer), "limit": 1.5}
    assert results(folder)["free"]["limit"] is None
    assert list(results(folder)["free"]) == ["name", "value", "unit", "limit", "better", "peer", "note"]


@pytest.mark.parametrize(
    ("value", "better", "limit"), [(1.51, "lower", "at_most = 1.5"), (0.89, "higher", "at_least = 0.9")]
)
def test_a_missed_limit_is_said_and_exits_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float, better: str, limit: str
) -> None:
    folder = make(tmp_path, f"[a]\nfigure = {{ {limit} }}\n", a=[row("figure", value, better)])
    assert run.main([], folder) == 3
    out = capsys.readouterr().out
    assert out.splitlines()[1].split()[:2] == ["figure", "FAIL"]
    assert "FAIL figure: note figure" in out


def test_a_module_that_fails_is_a_row_and_the_others_still_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path, a="raise OSError('no broker')", b=[row("fine", 1)])
    assert run.main([], folder) == 1
    assert results(folder)["bench_a"]["value"] is None
    assert "no broker" in results(folder)["bench_a"]["note"]
    assert results(folder)["fine"]["value"] == 1
    assert "bench_a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row("x", float("nan"))], "not a figure"),
        ([row("x", 1, "best")], "better is 'best'"),
        ([row("x", 1), row("x", 2)], "same name"),
        ([{"name": "x", "value": 1}], "has the keys"),
        ([row("x", 1, peer={"name": "y"})], "a peer has"),
        ([row("limited", 1, "lower")], "contradicts limits.toml"),
    ],
)
def test_rows_that_are_wrong_fail_their_module(tmp_path: Path, rows: list[dict], says: str) -> None:
    literal = repr(rows).replace("nan", "float('nan')")
    folder = make(tmp_path, "[a]\nlimited = { at_least = 1 }\n", a=f"return {literal}")
    assert run.main([], folder) == 1
    assert says in results(folder)["bench_a"]["note"]


def test_a_module_that_cannot_run_here_says_what_to_do_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "limits.toml").write_text("[a]\na_s = { at_most = 1, issue = 5 }\n")
    (tmp_path / "bench_a.py").write_text("def rows():\n    raise SystemExit('run: make peers')\n")
    assert run.main([], tmp_path) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "FAIL bench_a: run: make peers"
    assert "Traceback" not in said.err


def test_a_module_may_have_dataclasses(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text("")
    (tmp_path / "bench_a.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Seen:\n"
        "    of: int\n"
        "def rows():\n"
        "    return []\n"
    )
    assert run.main([], tmp_path) == 0


def test_a_limit_without_its_row_or_module_fails(tmp_path: Path) -> None:
    limits = "[a]\ngone = { at_most = 1 }\n[nowhere]\nlost = { at_most = 1 }\n"
    folder = make(tmp_path, limits, a=[row("other", 1)])
    assert run.main([], folder) == 1
    assert results(folder)["gone"]["value"] is None
    assert "does not exist" in results(folder)["bench_nowhere"]["note"]


def test_only_runs_a_part_named_by_module_file_or_figure(tmp_path: Path) -> None:
    folder = make(tmp_path, "[b]\nfigure = { at_most = 2 }\n", a=[row("other", 1)], b=[row("figure", 1)])
    for name in ("b", "bench_b", "bench_b.py", "figure"):
        assert run.main(["--only", name], folder) == 0
        assert list(results(folder)) == ["figure"]


def test_an_unknown_name_is_answered_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["--only", "hepl"], make(tmp_path, help=[])) == 2
    assert "did you mean 'help'" in capsys.readouterr().err


def test_json_is_one_document_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path, a=[row("figure", 1)])
    assert run.main(["--json"], folder) == 0
    assert capsys.readouterr().out == (folder / "results.json").read_text()


def test_the_table_keeps_80_columns_and_names_what_it_drops(tmp_path: Path) -> None:
    peer = {"name": "a peer with a long name", "version": "1.2.3", "value": 3}
    name = "a_figure_with_a_name_that_is_quite_long_for_a_table"
    folder = make(tmp_path, a=[row(name, 1, peer=peer)])
    run.main([], folder)
    table = run.render([run.Row(**entry) for entry in results(folder).values()])
    assert max(map(len, table.splitlines())) <= 80
    assert name in table
    assert "Not shown at 80 columns: PEER" in table


def test_limits_that_are_not_one_bound_are_refused(tmp_path: Path) -> None:
    for entry in ("{ at_most = 1, at_least = 2 }", "{ issue = 2 }", "{ at_most = 1, atleast = 2 }"):
        assert run.main([], make(tmp_path, f"[a]\nfigure = {entry}\n")) == 2


def test_the_limits_of_issue_2_stand_as_given() -> None:
    tables = tomllib.loads((BENCHMARKS / "limits.toml").read_text())
    given = {name: entry for table in tables.values() for name, entry in table.items() if entry["issue"] == 2}
    assert {name: entry.get("at_least", entry.get("at_most")) for name, entry in given.items()} == {
        "digits_int8_accuracy_mean5": 0.975,
        "digits_int8_accuracy_min5": 0.96,
        "digits_int8_float_gap_max5": 0.01,
        "demo_accuracy_fall": 0.15,
        "demo_accuracy_after": 0.93,
        "demo_windows_to_detection": 5,
        "demo_alarms_before_drift": 0,
        "demo_seconds_total": 240,
        "help_ratio": 1.5,
    }
    higher = {name for name, entry in given.items() if "at_least" in entry}
    assert higher == {
        "digits_int8_accuracy_mean5",
        "digits_int8_accuracy_min5",
        "demo_accuracy_fall",
        "demo_accuracy_after",
    }


def test_the_demo_rows_are_the_worst_of_the_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = load(BENCHMARKS / "bench_demo.py")
    base = {
        "accuracy_before": 0.98,
        "accuracy_during": 0.70,
        "accuracy_after": 0.95,
        "windows_to_detection": 2,
        "alarms_before_drift": 0,
        "seconds": {"total": 100.0},
    }
    runs = {
        1: base,
        2: {**base, "accuracy_during": 0.80, "windows_to_detection": 4, "seconds": {"total": 200.0}},
        3: {**base, "accuracy_after": 0.94, "alarms_before_drift": 1},
    }
    monkeypatch.setattr(bench, "demo", lambda seed: runs[seed])
    values = {entry["name"]: entry["value"] for entry in bench.rows()}
    assert values == {
        "demo_accuracy_fall": pytest.approx(0.18),
        "demo_accuracy_after": 0.94,
        "demo_windows_to_detection": 4,
        "demo_alarms_before_drift": 1,
        "demo_seconds_total": 200.0,
    }
    runs[2]["windows_to_detection"] = None
    rows = {entry["name"]: entry for entry in bench.rows()}
    assert rows["demo_windows_to_detection"]["value"] is None
    assert "seed 2: never" in rows["demo_windows_to_detection"]["note"]


def test_help_is_timed_only_when_it_works() -> None:
    bench = load(BENCHMARKS / "bench_help.py")
    assert bench.seconds((sys.executable, "-c", "print('Usage')"), {}, says="Usage") > 0
    with pytest.raises(RuntimeError, match="ended with 3"):
        bench.seconds((sys.executable, "-c", "raise SystemExit(3)"), {})


def test_it_runs_as_a_script() -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "run.py", "--only", "no such benchmark"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: no benchmark is called 'no such benchmark'")
