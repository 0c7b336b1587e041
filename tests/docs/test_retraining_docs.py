"""docs/retraining.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from edgeops.control.lineage_views import ENOUGH_WINDOWS
from edgeops.control.retrain_worker import RETRAIN_ATTEMPTS
from edgeops.drift.device_track import FLAGS
from edgeops.drift.policy import ALARMS, RetrainPolicy

PAGE = (Path(__file__).parents[2] / "docs" / "retraining.md").read_text()
WORDS = {"all five": ALARMS, "none": "", "false": False}


def test_every_key_of_the_policy_stands_there_with_its_default() -> None:
    table = PAGE.split("| key | default | what |")[1].split("\n\n")[0]
    told: dict[str, object] = {}
    for keys, defaults in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", table, re.MULTILINE):
        names = re.findall(r"`(\w+)`", keys)
        values = [defaults] if defaults in WORDS else defaults.split(", ")
        told.update(zip(names, values, strict=True))
    wanted = {name: getattr(RetrainPolicy(), name) for name in RetrainPolicy.__dataclass_fields__}
    assert told.keys() == wanted.keys()
    for name, text in told.items():
        value = WORDS[text] if text in WORDS else float(str(text))
        assert value == wanted[name], name


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"{FLAGS} windows are remembered" in PAGE
    assert f"in {ENOUGH_WINDOWS} windows each" in PAGE
    assert RETRAIN_ATTEMPTS == 3 and "at most three times" in PAGE
    assert len(PAGE.splitlines()) <= 120
