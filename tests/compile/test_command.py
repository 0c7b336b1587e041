"""``edgeops compile`` as a person and a script meet it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from targets.fit_models import FOLDER, model

from edgeops.cli.main import run as run_app
from edgeops.compile import compile_plan

MODEL = str(FOLDER / "separable.tflite")


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["edgeops", "compile", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_app()
    return (int(ended.value.code or 0), *capsys.readouterr())


def test_the_plan_is_written_and_a_short_table_says_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "small.plan"
    assert run(monkeypatch, capsys, MODEL, "-o", str(target)) == (
        0,
        "plan   1,772 bytes of flash (1.7 KiB), constants 1,413\n"
        "arena  384 bytes of RAM (384 B), 384 bytes live at once\n"
        "work   5,600 MACs\n"
        "ops    2 CONV_2D, 1 DEPTHWISE_CONV_2D, 1 AVERAGE_POOL_2D, 1 FULLY_CONNECTED, 1 SOFTMAX\n",
        "small.plan is written\n",
    )
    assert target.read_bytes() == compile_plan(model("separable")).plan


def test_json_is_the_five_figures_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = run(monkeypatch, capsys, MODEL, "-o", str(tmp_path / "a.plan"), "--json")
    plan = compile_plan(model("separable"))
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "plan_bytes": plan.plan_bytes,
        "arena_bytes": plan.arena_bytes,
        "live_tensor_bytes": plan.live_tensor_bytes,
        "ops": plan.ops,
        "macs": plan.macs,
    }


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("no.tflite", 4, "there is no file no.tflite"),
        (str(FOLDER / "unsupported.tflite"), 2, "the operator TILE is not among those that a plan has"),
        (str(FOLDER), 2, "cannot be read"),
    ],
)
def test_a_no_writes_nothing(
    source: str,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    target = tmp_path / "a.plan"
    got, out, err = run(monkeypatch, capsys, source, "-o", str(target))
    assert (got, out, target.exists()) == (code, "", False)
    assert words in err and err.splitlines()[-1].startswith("Fix: ")


def test_the_model_itself_is_never_overwritten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(MODEL).read_bytes()
    code, _, err = run(monkeypatch, capsys, MODEL, "-o", MODEL)
    assert code == 2 and "the model itself" in err
    assert Path(MODEL).read_bytes() == before
