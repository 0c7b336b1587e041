"""From an alarm to whether it cleared, and back from a version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlmodel import select
from support.packages import build
from support.registry import add_version
from support.retrain_site import RetrainSite
from support.terminal import in_terminal

from edgeops.cli.main import run
from edgeops.control.lineage_views import ENOUGH_WINDOWS, chain
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.core.signing import Role
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    DatasetVersion,
    Deployment,
    ReportWindow,
    Retrain,
    Rollout,
    Run,
)

ATTEMPTS = [
    {
        "strategy": "recalibrate",
        "passed": False,
        "gates": [{"name": "beats_old_on_captured", "passed": False, "value": 0.4, "limit": 0.5}],
    },
    {"strategy": "head", "passed": True, "gates": []},
]


class Answered(RetrainSite):
    """Two of four devices drifted, a retrain made version 2, and a rollout brought it to them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ready()
        second = build(2, keys=[self.workspace.key(Role.RELEASE)])
        self.put(second)
        with self.session() as session:
            version = add_version(session, second, parent=1)
            self.second = version.manifest_sha256 or ""
            held = session.get_one(DatasetVersion, 2)
            held.parts = {"train": 90, "capture_holdout": 12}
            row = session.get_one(Run, version.run_id)
            row.retrain_id, row.record = 1, {"strategy": "head"}
            retrain = session.get_one(Retrain, 1)
            retrain.state, retrain.model_version_id, retrain.dataset_id = "DEPLOYED", version.id, 2
            retrain.attempts = ATTEMPTS
            session.get_one(Alert, 1).state = "answered"
            session.add(Rollout(model_version_id=2, state="COMPLETED", created_at=self.now))
            session.flush()
            for name, state in (("a", "confirmed"), ("b", "confirmed"), ("c", "offered")):
                session.add(Deployment(rollout_id=1, device_id=name, state=state))

    def runs_on(self, device: str, windows: int) -> None:
        with self.session() as session:
            for sequence in range(windows):
                session.add(
                    ReportWindow(
                        device_id=device,
                        model="tiny",
                        manifest=self.second,
                        boot=2,
                        sequence=sequence,
                        generation=9,
                        trial=False,
                        inferences=10,
                        errors=0,
                        rejected_inputs=0,
                        dropped=0,
                        counters=b"",
                        received_at=self.now,
                    )
                )

    def outcome(self) -> dict:
        return chain(self.workspace, "1")["outcome"]


@pytest.fixture
def site(tmp_path: Path):
    made = Answered(tmp_path / "site")
    yield made
    made.workspace.registry.close()


def tool(site: RetrainSite, monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["edgeops", *arguments, "-w", str(site.workspace.root)])
    with pytest.raises(SystemExit) as end:
        run()
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out, printed.err


def test_the_whole_chain_is_told(site: Answered) -> None:
    facts = chain(site.workspace, "1")
    assert (facts["alert"]["devices"], facts["alert"]["model"]) == (["a", "b"], "tiny@1")
    assert facts["alert"]["features"] == [{"feature": "level", "kind": "data", "size": 0.3, "devices": 2}]
    assert facts["captured"] == {
        "samples": 5,
        "labelled": 5,
        "labelled_by_device": {"a": 5},
        "labelled_by_source": {"device": 5},
    }
    (retrain,) = facts["retrains"]
    assert (retrain["version"], retrain["strategy"], retrain["run"]) == ("tiny@2", "head", 2)
    assert (retrain["dataset"]["dataset"], retrain["dataset"]["held_out"]) == ("set@2", 12)
    assert retrain["attempts"] == ATTEMPTS
    assert retrain["rollouts"] == [{"rollout": 1, "state": "COMPLETED", "devices": 3, "confirmed": 2}]


def test_it_is_too_early_to_say_before_each_device_has_reported(site: Answered) -> None:
    site.runs_on("a", ENOUGH_WINDOWS)
    site.runs_on("b", 3)
    outcome = site.outcome()
    assert (outcome["verdict"], outcome["windows"]) == ("too early to say", 3)
    assert "1 of 2" in outcome["words"]


def test_it_cleared_when_none_alarms_under_the_new_version(site: Answered) -> None:
    for name in "ab":
        site.runs_on(name, ENOUGH_WINDOWS)
    assert site.outcome()["verdict"] == "cleared"


def test_it_did_not_clear_when_one_alarms_again(site: Answered) -> None:
    with site.session() as session:
        session.add(Alert(model_version_id=2, state="open", opened_at=site.now))
        session.flush()
        for name in "bc":
            session.add(
                AlertDevice(
                    alert_id=2, device_id=name, boot=2, sequence=1, windows_seen=1, raised_at=site.now
                )
            )
    outcome = site.outcome()
    assert (outcome["verdict"], outcome["alarmed_again"]) == (
        "not cleared",
        ["b"],
    )  # c had not drifted before


def alarmed_under_the_new_version(site: Answered, **about_device: float | None) -> Alert:
    with site.session() as session:
        alert = Alert(model_version_id=2, state="open", opened_at=site.now)
        session.add(alert)
        session.flush()
        session.add(
            AlertDevice(
                alert_id=alert.id or 0,
                device_id="a",
                boot=2,
                sequence=1,
                windows_seen=1,
                raised_at=site.now,
                **about_device,
            )
        )
        return alert


def test_an_alarm_under_the_new_version_counts_when_it_is_quiet_again(site: Answered) -> None:
    """It was forgotten when it had cleared, and the chain said that the new version had answered the drift."""
    for name in "ab":
        site.runs_on(name, ENOUGH_WINDOWS)
    alarmed_under_the_new_version(site, cleared_at=site.now)
    outcome = site.outcome()
    assert (outcome["verdict"], outcome["alarmed_again"]) == ("not cleared", ["a"])


def test_a_sensor_at_fault_under_the_new_version_is_no_drift(site: Answered) -> None:
    for name in "ab":
        site.runs_on(name, ENOUGH_WINDOWS)
    alert = alarmed_under_the_new_version(site)
    with site.session() as session:
        session.get_one(Alert, alert.id).kind = "quality"
    assert site.outcome()["verdict"] == "cleared"


def test_it_can_clear_without_another_version(tmp_path: Path) -> None:
    site = RetrainSite(tmp_path / "site")
    site.drifts("a")
    assert chain(site.workspace, "1")["outcome"]["verdict"] == "open"
    with site.session() as session:
        for row in session.exec(select(AlertDevice)):
            row.cleared_at = site.now
        session.get_one(Alert, 1).state = "closed"
    outcome = chain(site.workspace, "1")["outcome"]
    assert outcome["verdict"] == "cleared"
    assert "without another version" in outcome["words"]


def test_a_version_leads_back_to_its_alarm(site: Answered) -> None:
    facts = chain(site.workspace, "tiny@2")
    assert (facts["version"]["parent"], facts["version"]["alert"]) == ("tiny@1", 1)
    assert facts["alert"] == chain(site.workspace, "1")["alert"]
    first = chain(site.workspace, "tiny@1")
    assert (first["version"]["retrain"], "alert" in first) == (None, False)


@pytest.mark.parametrize(
    ("text", "kind"), [("7", NotFoundError), ("tiny@9", NotFoundError), ("tiny", UsageError)]
)
def test_what_is_not_there_is_named(site: Answered, text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        chain(site.workspace, text)


def test_the_commands_show_it(site: Answered, monkeypatch, capsys) -> None:
    code, out, told = tool(site, monkeypatch, capsys, "lineage", "show", "1")
    assert code == 0
    for words in (
        "2 devices",
        "5 labelled",
        "12 held out",
        "tiny@2 in run 2, by head",
        "confirmed by 2 of 3",
    ):
        assert words in out
    assert "failed beats_old_on_captured" in out
    assert "No alarm under tiny@2 yet" in told
    assert json.loads(tool(site, monkeypatch, capsys, "lineage", "show", "tiny@2", "--json")[1])["version"]
    assert "asked for by a person" in tool(site, monkeypatch, capsys, "lineage", "show", "tiny@1")[1]
    assert tool(site, monkeypatch, capsys, "lineage", "show", "9")[0] == 4
    assert "DEPLOYED" in tool(site, monkeypatch, capsys, "retrain", "list")[1]


def test_a_person_answers_by_command(site: Answered, monkeypatch, capsys) -> None:
    with site.session() as session:
        session.get_one(Retrain, 1).state = "WAITING"
    assert tool(site, monkeypatch, capsys, "retrain", "approve", "1")[2] == "retrain 1 is READY\n"
    assert tool(site, monkeypatch, capsys, "retrain", "reject", "1", "--reason", "no")[0] == 2


def test_a_terminal_of_80_columns_holds_it(site: Answered) -> None:
    for command in (("lineage", "show", "1"), ("retrain", "list")):
        shown = in_terminal(*command, "-w", str(site.workspace.root), columns=80)
        assert max(map(len, shown.splitlines())) <= 80
