"""``edgeops.toml``: what is wrong in it is named, with the nearest right thing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgeops.control.settings import (
    BROKER_ENVIRONMENT,
    FILE,
    RolloutSettings,
    Settings,
    load_settings,
    render_settings,
)
from edgeops.core.errors import ConfigError, EdgeOpsError, NotFoundError, UsageError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BROKER_ENVIRONMENT, raising=False)


def load(folder: Path, text: str) -> Settings:
    (folder / FILE).write_text(text)
    return load_settings(folder)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    settings = Settings(
        "farm",
        "mqtt://h:1",
        rollout=RolloutSettings(stages=("1", "5%", "100%"), gates=("accuracy=0.02:hold",)),
    )
    assert load(tmp_path, render_settings(settings)) == settings


def test_every_key_stands_in_the_file_that_is_written() -> None:
    text = render_settings(Settings("farm"))
    for section in dataclasses.fields(Settings)[2:]:
        assert f"[{section.name}]" in text


def test_a_fleet_name_is_enough(tmp_path: Path) -> None:
    assert load(tmp_path, 'fleet = "farm"') == Settings("farm")


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BROKER_ENVIRONMENT, "mqtt://elsewhere:1883")
    assert load(tmp_path, 'fleet = "farm"\nbroker = "mqtt://here:1"').broker == "mqtt://elsewhere:1883"


@pytest.mark.parametrize(
    ("text", "named", "nearest"),
    [
        ('fleet = "f"\nbrokr = "x"', "brokr", "broker"),
        ('fleet = "f"\n[rolout]\nx = 1', "rolout", "rollout"),
        ('fleet = "f"\n[drift]\nmin_sise = 1', "drift.min_sise", "min_size"),
        ('fleet = "f"\n[retrain]\nmin_sample = 1', "retrain.min_sample", "min_samples"),
        ('fleet = "f"\n[capture]\nzzzz = 1', "capture.zzzz", None),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    tmp_path: Path, text: str, named: str, nearest: str | None
) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        load(tmp_path, text)
    assert caught.value.fields["nearest"] == nearest
    assert (nearest or "known keys") in caught.value.message


@pytest.mark.parametrize(
    "line",
    [
        "fleet = 5", "fleet = ''", "fleet = 'a/b'", "broker = 5", "report = 5", "[[report]]",
        "[report]\nwindow_inferences = -1", "[report]\ninterval_ms = 1.5", "[report]\ninterval_ms = '5'",
        "[report]\ninterval_ms = true", "[drift]\nmin_size = '1'", "[drift]\nmin_size = -1",
        "[drift]\nmin_size = true",
        "[drift]\nmin_size = nan", "[drift]\nmin_size = 2", "[drift]\nlearn_windows = 1", "[drift]\nround_s = 0",
        "[drift]\nlearn_windows = 100000", "[drift]\nseason = 'day'", "[drift]\nfalse_alarms = 'few'",
        "[retrain]\nautomatic = 1", "[retrain]\nautomatic = 'yes'",
        "[rollout]\nstages = 100", "[rollout]\nstages = []", "[rollout]\nstages = [50]",
        "[rollout]\ngates = ['speed=1']",
        "[rollout]\nstages = [50, 10, 100]", "[rollout]\nstages = [0, 100]", "[rollout]\nstages = [50, 50, 100]",
        "[rollout]\nstages = [true, 100]", "[rollout]\nstages = ['50%', '10%', '100%']", "no toml at all",
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_with_exit_code_2(tmp_path: Path, line: str) -> None:
    text = line if line.startswith("fleet") else f'fleet = "f"\n{line}'
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert caught.value.exit_code == 2


def test_no_workspace_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="not a workspace") as caught:
        load_settings(tmp_path)
    assert "edgeops init" in (caught.value.fix or "")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(EdgeOpsError):
        load_settings(tmp_path)
