"""What ``edgeops.toml`` says about publishing: where else a blob is found, and how long chunks stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.trained import train_recipe, write_recipe

from edgeops.control.datasets import add_dataset
from edgeops.control.plans import PlanShelf
from edgeops.control.settings import FILE, RolloutSettings, Settings, load_settings, render_settings
from edgeops.control.workspace import init_workspace
from edgeops.core.errors import ConfigError

SOURCES = ("https://models.example.org/blobs", "https://10.0.0.7:8443")


def test_sources_and_grace_survive_the_file(tmp_path: Path) -> None:
    settings = Settings("farm", rollout=RolloutSettings(sources=SOURCES, chunk_grace_s=60.0))
    (tmp_path / FILE).write_text(render_settings(settings))
    assert load_settings(tmp_path).rollout == settings.rollout


def test_a_day_of_grace_and_no_source_where_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('fleet = "farm"\n')
    rollout = load_settings(tmp_path).rollout
    assert (rollout.chunk_grace_s, rollout.sources) == (86_400.0, ())


@pytest.mark.parametrize(
    "sources",
    [
        '["http://models.example.org"]',
        '["models.example.org"]',
        '["https://"]',
        '["https://[::1"]',
        '["https://h/?q=1"]',
        '["https://a", "https://b", "https://c", "https://d"]',
        f'["https://{"h" * 200}"]',
        '"https://h"',
    ],
)
def test_what_a_manifest_cannot_name_is_refused_with_file_and_key(tmp_path: Path, sources: str) -> None:
    (tmp_path / FILE).write_text(f'fleet = "farm"\n[rollout]\nsources = {sources}\n')
    with pytest.raises(ConfigError, match=r"rollout\.sources") as refused:
        load_settings(tmp_path)
    assert refused.value.fields["key"] == "sources"


def test_sources_stand_in_the_manifest(tmp_path: Path) -> None:
    settings = Settings("tiny", rollout=RolloutSettings(sources=SOURCES))
    workspace = init_workspace(tmp_path / "w", settings)
    add_dataset(workspace, "sklearn:digits", "digits")
    easy = ("epochs = 2", "epochs = 1")
    trained = train_recipe(workspace, write_recipe(tmp_path / "recipe", easy))
    manifest = PlanShelf(workspace.blobs).manifest(trained.version.manifest_sha256 or "")
    assert manifest.sources == SOURCES
