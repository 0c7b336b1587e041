"""What is read of a rollout: verdicts in words, what it waits for, and the command lines that are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.scripted_fleet import Behaviour, ScriptedFleet

from edgeops.control.listening import command
from edgeops.control.rollout_views import reason_words
from edgeops.control.rollout_waits import time_words
from edgeops.control.workspace import Workspace
from edgeops.fleet.rollout.evidence import Evidence
from edgeops.fleet.rollout.gates import GATES
from edgeops.fleet.rollout.single import Single
from edgeops.fleet.verdicts import compare_words, single_words


@pytest.fixture
def fleet(tmp_path: Path):
    made = ScriptedFleet(tmp_path / "fleet", 4)
    yield made
    made.close()


def test_a_verdict_names_its_figure_and_what_odds_are_enough(fleet: ScriptedFleet) -> None:
    fleet.release(1, Behaviour(accuracy=0.9))
    fleet.run(1)
    fleet.turn(30)
    fleet.release(2, Behaviour(accuracy=0.1))
    number = fleet.start(2, stages="1,100%", soak="10m", gates=["accuracy=0.05:hold"])
    fleet.turn(40)
    told = {gate["gate"]: gate["evidence"] for gate in fleet.facts(number)["gates"]}
    assert told["accuracy"].startswith("right answers new 0.100, control 0.900, at most 0.05 below, after ")
    assert told["accuracy"].endswith(" to 1 against it; 100 to 1 is enough")
    assert told["errors"].startswith("error rate new 0.000, control 0.000, at most 0.02 above")
    assert told["confidence"].startswith("mean confidence new 0.781")
    assert told["latency"].startswith("latency p95 new 124 us, control 124 us, limit x1.5")
    assert (
        f"edgeops rollout resume {number} or edgeops rollout rollback {number}"
        in fleet.facts(number)["progress"]
    )


def test_words_where_nothing_was_seen_and_of_a_shadow_run() -> None:
    assert compare_words(GATES["errors"].default, Evidence()) == "no figures from the new version yet"
    words = single_words(GATES["shadow"].default, Single(), 0.3, None)
    assert words == (
        "the models disagree on 30.0% of inputs, limit 25%, after 0 figures; "
        "odds 1.0 to 1 against it; 100 to 1 is enough"
    )


def test_the_engines_command_gets_its_number() -> None:
    assert reason_words(5, "the next stage waits for: edgeops rollout approve") == (
        "the next stage waits for: edgeops rollout approve 5"
    )
    assert reason_words(5, None) is None
    assert (
        reason_words(5, "on the way to edgeops rollout approved") == "on the way to edgeops rollout approved"
    )


def test_a_command_names_the_workspace_where_it_is_not_here(
    fleet: ScriptedFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(fleet.workspace, "rollout show", 2) == f"edgeops rollout show -w {fleet.workspace.root} 2"
    (tmp_path / "my farm").symlink_to(fleet.workspace.root)
    monkeypatch.chdir(tmp_path)
    assert command(Workspace(Path("my farm")), "serve") == "edgeops serve -w 'my farm'"
    monkeypatch.chdir(fleet.workspace.root)
    assert command(Workspace(Path()), "serve") == "edgeops serve"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.2, "1 s"), (119, "119 s"), (121, "3 min"), (7201, "3 h"), (200_000, "3 d")],
)
def test_what_is_left_is_rounded_up(seconds: float, words: str) -> None:
    assert time_words(seconds) == words
