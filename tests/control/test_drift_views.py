"""``drift list``, ``explain`` and ``ack``: an alert is told with who and what, and closed by a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlmodel import select
from support.drift_reference import give_reference, loud
from support.packages import MODEL, observe_plan
from support.registry import report
from support.scripted_fleet import ScriptedFleet
from support.terminal import in_terminal

from edgeops.cli.main import run
from edgeops.control.drift_orders import acknowledge
from edgeops.control.drift_views import alert_list, explain
from edgeops.control.settings import DriftSettings
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.core.topics import Kind
from edgeops.registry.names import find_model
from edgeops.registry.tables import Alert, AlertDevice, Retrain

PLAN = observe_plan()
ROUND_S = DriftSettings().round_s
SITES = ["berlin"] * 4 + ["rome"] * 8


@pytest.fixture
def fleet(tmp_path: Path):
    made = ScriptedFleet(tmp_path / "fleet", 0)
    for number, site in enumerate(SITES):
        made.join(f"cam-{number:02d}", site=site)
    made.package = made.release(1)  # type: ignore[attr-defined]
    with made.workspace.registry.session() as session:
        give_reference(session, made.workspace.blobs, find_model(session, f"{MODEL}@1"))
    made.run(1)
    for device in made.devices.values():
        device.online = False  # from here on they say what the tests let them
    yield made
    made.close()


def drifts(fleet: ScriptedFleet, *names: str) -> None:
    """These devices report a window in which every feature lies beyond its bins."""
    for name in names:
        device = fleet.devices[name]
        device.sequence += 1
        said = report(device.sequence, package=fleet.package, **loud(200))  # type: ignore[attr-defined]
        fleet.say(name, Kind.REPORT, said)
    fleet.plane.step(0.0)
    fleet.clock.sleep(ROUND_S)
    fleet.plane.step(0.0)


def tool(fleet: ScriptedFleet, monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["edgeops", *arguments, "-w", str(fleet.workspace.root)])
    with pytest.raises(SystemExit) as end:
        run()
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out, " ".join(printed.err.split())


def test_one_device_is_diagnosed_as_a_sensor(fleet: ScriptedFleet) -> None:
    drifts(fleet, "cam-05")
    (row,) = alert_list(fleet.workspace)
    assert (row["devices"], row["diagnosis"], row["selector"]) == (1, "device", None)
    facts = explain(fleet.workspace, row["alert"])
    assert "look at its sensor" in facts["words"]
    assert facts["devices"] == ["cam-05"]


def test_a_cohort_is_named_by_what_it_shares(fleet: ScriptedFleet) -> None:
    drifts(fleet, *(f"cam-{n:02d}" for n in range(4)))
    (row,) = alert_list(fleet.workspace)
    assert (row["diagnosis"], row["selector"]) == ("cohort", 'site = "berlin"')


def test_a_diagnosis_stands_when_the_fleet_has_moved_on_to_another_version(fleet: ScriptedFleet) -> None:
    """In the demo three drifted cameras of six became the whole fleet as soon as version 2 was rolled out."""
    drifts(fleet, *(f"cam-{n:02d}" for n in range(4)))
    for device in fleet.devices.values():
        device.online = True
    fleet.release(2)
    fleet.run(2)
    (row,) = alert_list(fleet.workspace)
    assert (row["diagnosis"], row["selector"]) == ("cohort", 'site = "berlin"')
    assert "4 of 12 devices" in explain(fleet.workspace, 1)["words"]


def test_features_are_told_the_farthest_first_with_their_bins(fleet: ScriptedFleet) -> None:
    drifts(fleet, "cam-05", "cam-06")
    facts = explain(fleet.workspace, 1)
    sizes = [feature["size"] for feature in facts["features"]]
    assert sizes == sorted(sizes, reverse=True)
    bins = facts["bins"][facts["features"][0]["feature"]]
    assert bins["current"][-1] == 1.0
    assert sum(bins["reference"]) == pytest.approx(1.0, abs=0.01)
    assert explain(fleet.workspace, 1, "cam-06")["devices"] == ["cam-06"]
    with pytest.raises(NotFoundError, match="cam-00 did not alarm"):
        explain(fleet.workspace, 1, "cam-00")
    with pytest.raises(NotFoundError, match="no alert 7"):
        explain(fleet.workspace, 7)


def test_an_acknowledged_alert_is_closed_and_asks_for_nothing_more(fleet: ScriptedFleet) -> None:
    drifts(fleet, "cam-05")
    fleet.turn(2)
    assert fleet.desired("cam-05").models[MODEL].capture is not None  # type: ignore[union-attr]
    acknowledge(fleet.workspace, 1, "lens was dirty", fleet.clock)
    fleet.turn(2)
    assert fleet.desired("cam-05").models[MODEL].capture is None  # type: ignore[union-attr]
    assert alert_list(fleet.workspace)[0]["state"] == "closed"
    assert [(e.action, e.reason) for e in fleet.audit()][-1] == ("acknowledge", "lens was dirty")
    with pytest.raises(UsageError, match="closed already"):
        acknowledge(fleet.workspace, 1, None, fleet.clock)


def test_an_alert_whose_retrain_is_at_work_is_not_closed_under_it(fleet: ScriptedFleet) -> None:
    drifts(fleet, "cam-05")
    with fleet.workspace.registry.session() as session:
        session.add(Retrain(alert_id=1, state="TRAINING", seed=1, created_at=1.0))
    with pytest.raises(UsageError, match="is TRAINING"):
        acknowledge(fleet.workspace, 1, None, fleet.clock)
    with fleet.workspace.registry.reading() as session:
        assert session.get_one(Alert, 1).state == "open"


def test_the_commands_show_it(fleet: ScriptedFleet, monkeypatch, capsys) -> None:
    drifts(fleet, "cam-05")
    assert "device" in tool(fleet, monkeypatch, capsys, "drift", "list")[1]
    code, out, told = tool(fleet, monkeypatch, capsys, "drift", "explain", "1")
    assert (code, "sensor" in told, "reference" in out) == (0, True, True)
    assert json.loads(tool(fleet, monkeypatch, capsys, "drift", "explain", "1", "--json")[1])["alert"] == 1
    assert tool(fleet, monkeypatch, capsys, "drift", "ack", "1", "--reason", "dirt")[2] == "alert 1 is closed"
    assert tool(fleet, monkeypatch, capsys, "drift", "ack", "1")[0] == 2
    assert tool(fleet, monkeypatch, capsys, "drift", "explain", "9")[0] == 4


def test_a_terminal_of_80_columns_holds_it(fleet: ScriptedFleet) -> None:
    drifts(fleet, "cam-05")
    shown = in_terminal("drift", "explain", "1", "-w", str(fleet.workspace.root), columns=80)
    assert max(map(len, shown.splitlines())) <= 80


def test_a_device_that_is_quiet_again_sends_no_more_inputs(fleet: ScriptedFleet) -> None:
    drifts(fleet, "cam-05")
    assert fleet.desired("cam-05").models[MODEL].capture is not None
    with fleet.workspace.registry.session() as session:
        row = session.exec(select(AlertDevice)).one()
        row.cleared_at = 1.0
        session.add(row)
    fleet.plane.step(0.0)
    fleet.clock.sleep(1.0)
    fleet.plane.step(0.0)
    assert fleet.desired("cam-05").models[MODEL].capture is None
