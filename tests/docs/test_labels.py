"""docs/labels.md says what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from device_agent import capture, label_queue, served_model
from edgeops.control.label_files import sample_of, stem_of
from edgeops.control.labelling import COLUMNS
from edgeops.control.settings import FILE, load_settings
from edgeops.core.messages import Captured
from edgeops.fleet import labels

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "labels.md").read_text()
REASONS = [
    value
    for name, value in vars(labels).items()
    if name.isupper() and isinstance(value, str) and "label" in value
]


def test_every_reason_is_in_the_table_and_no_other() -> None:
    said = re.findall(r"^\| `([a-z' -]*label[a-z' -]*)` \|", TEXT, re.MULTILINE)
    assert sorted(said) == sorted(REASONS)


def test_its_settings_load(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / FILE).write_text(f'fleet = "x"\n{block}')
    loaded = vars(load_settings(tmp_path).capture)
    assert loaded == {**tomllib.loads(block)["capture"], "labels": loaded["labels"]}


@pytest.mark.parametrize(
    "figure",
    [
        f"remembers {capture.REMEMBERED:,}",
        f"at most {capture.STEPS} writes",
        f"in {label_queue.MAX_BATCHES} batches of at most {served_model.LABEL_BATCH}",
        f"{labels.MAX_HELD:,} of the device",
        f"`registry.labels_days` ({labels.LABELS_DAYS})",
        *(f"`{reason.label}`" for reason in Captured),
        *(f"`{column}`" for column in COLUMNS),
    ],
)
def test_its_figures_are_the_codes(figure: str) -> None:
    assert figure in TEXT


def test_a_files_name_says_what_it_is_of_whatever_the_device_is_called() -> None:
    for device in ("cam-01", "a", "x.y-z_1"):
        assert sample_of(f"folder/{stem_of('0' * 40, device)}.png") == ("0" * 40, device)
    assert sample_of("holiday.png") is None
