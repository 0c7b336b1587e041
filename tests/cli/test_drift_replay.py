"""``edgeops drift replay``: files in, alarms out, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeops.cli.main import app, run

RUN = CliRunner()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    draw = np.random.default_rng(1)
    moved = draw.standard_normal((4_000, 3))
    moved[2_000:, 1] += 1.0
    np.savez(
        tmp_path / "ref.npz",
        x=draw.standard_normal((5_000, 3)),
        features=np.array(["level", "spread", "hum"]),
    )
    np.savez(tmp_path / "stream.npz", x=moved, features=np.array(["level", "spread", "hum"]))
    return {"ref": tmp_path / "ref.npz", "stream": tmp_path / "stream.npz", "folder": tmp_path}


def given(files: dict[str, Path]) -> list[str]:
    named = ["--reference", str(files["ref"]), "--stream", str(files["stream"])]
    return ["drift", "replay", *named, "--window", "200"]


def replayed(files: dict[str, Path], *more: str):
    return RUN.invoke(app, [*given(files), *more])


def test_json_has_windows_and_alarms_with_their_features(files: dict[str, Path]) -> None:
    found = json.loads(replayed(files, "--json").stdout)
    assert found["windows"] == 20
    assert [alarm["window"] for alarm in found["alarms"] if alarm["kind"] == "data"] == list(range(10, 20))
    first = found["alarms"][0]
    assert first.keys() >= {"window", "kind", "features", "evidence", "size"}
    assert first["features"] == ["spread"]


def test_the_table_says_the_same(files: dict[str, Path]) -> None:
    result = replayed(files)
    assert result.exit_code == 0
    assert "spread" in result.stdout


def test_labels_may_come_in_a_file_of_their_own(files: dict[str, Path]) -> None:
    draw = np.random.default_rng(2)
    predicted = draw.integers(0, 3, 20_000)
    x = draw.standard_normal((20_000, 3))
    names = np.array(["level", "spread", "hum"])
    np.savez(files["ref"], x=x, y_pred=predicted, y_true=predicted, features=names)
    np.savez(files["stream"], x=x[:4_000], y_pred=predicted[:4_000], features=names)
    np.save(files["folder"] / "truth.npy", np.where(np.arange(4_000) < 2_000, predicted[:4_000], 0))
    found = json.loads(replayed(files, "--labels", str(files["folder"] / "truth.npy"), "--json").stdout)
    assert next(alarm["window"] for alarm in found["alarms"] if alarm["kind"] == "concept") == 10


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--false-alarms", "now and then"], 2, "no rate of false alarms"),
        (["--false-alarms", "1 per 30 days per device"], 2, "how long a window lasts"),
        (["--labels", "nowhere.npz"], 4, "is not there"),
    ],
)
def test_what_cannot_be_done_is_said(
    files: dict[str, Path], monkeypatch, capsys, more: list[str], code: int, says: str
) -> None:
    ended, told = ended_with([*given(files), *more], monkeypatch, capsys)
    assert (ended, says in told) == (code, True), told


def test_a_file_that_holds_no_arrays_is_said(files: dict[str, Path], monkeypatch, capsys) -> None:
    files["ref"].write_bytes(b"PK\x03\x04 not a zip")
    ended, told = ended_with(given(files), monkeypatch, capsys)
    assert ended != 0
    assert "cannot be read as arrays" in told


def ended_with(arguments: list[str], monkeypatch, capsys) -> tuple[int, str]:
    """The exit code of the command line, and what it said."""
    monkeypatch.setattr("sys.argv", ["edgeops", *arguments])
    with pytest.raises(SystemExit) as end:
        run()
    return int(end.value.code or 0), " ".join(capsys.readouterr().err.split())
