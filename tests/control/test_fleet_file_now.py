"""What ``fleet.toml`` changes is shown as it is now and as it will be: attributes, plans, and what devices run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from sqlmodel import select
from support.scripted_fleet import Behaviour, ScriptedFleet

from edgeops.control.audit_views import audit_rows
from edgeops.control.fleet_file import Change, apply_file, differences
from edgeops.control.fleet_file_reading import read_fleet_file
from edgeops.control.fleet_file_words import Difference, merged, plan_differences
from edgeops.core.errors import CheckFailed, NotFoundError
from edgeops.fleet.rollout.gates import DEFAULT_GATES
from edgeops.fleet.rollout.hours import parse_hours
from edgeops.fleet.rollout.pace import parse_pace
from edgeops.fleet.rollout.plan import Plan
from edgeops.fleet.rollout.stages import parse_stages
from edgeops.registry.tables import Device, ModelVersion


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[ScriptedFleet]:
    made = ScriptedFleet(tmp_path / "fleet", 0)
    made.release(1)
    yield made
    made.close()


def entry(model: str, to: str = "", **more: str) -> str:
    lines = [f'model = "{model}"', *([f"to = '{to}'"] if to else [])]
    return "\n".join(["[[rollout]]", *lines, *(f"{key} = {value}" for key, value in more.items()), ""])


def differs(fleet: ScriptedFleet, text: str) -> list[Change]:
    path = fleet.workspace.root / "fleet.toml"
    path.write_text(text)
    with fleet.workspace.registry.reading() as session:
        return differences(session, read_fleet_file(path, fleet.workspace))


def applied(fleet: ScriptedFleet, text: str) -> None:
    path = fleet.workspace.root / "fleet.toml"
    path.write_text(text)
    apply_file(fleet.workspace, read_fleet_file(path, fleet.workspace), fleet.clock)
    assert differs(fleet, text) == []


def attributes(fleet: ScriptedFleet, device: str) -> dict[str, str]:
    with fleet.workspace.registry.reading() as session:
        return dict(session.exec(select(Device).where(Device.id == device)).one().attributes)


class TestAttributes:
    def test_a_key_that_is_not_in_the_file_stays(self, fleet: ScriptedFleet) -> None:
        fleet.join("cam-01", site="berlin", target="linux", tags="roof")
        text = '[device.cam-01]\nsite = "hamburg"\n'
        (change,) = differs(fleet, text)
        assert (change.what, change.subject) == ("set attributes", "device cam-01")
        assert (change.now, change.wanted) == (
            "site=berlin, tags=roof, target=linux",
            "site: berlin -> hamburg",
        )
        applied(fleet, text)
        assert attributes(fleet, "cam-01") == {"site": "hamburg", "target": "linux", "tags": "roof"}

    def test_an_empty_text_removes_one_and_each_is_named(self, fleet: ScriptedFleet) -> None:
        fleet.join("cam-01", site="berlin", target="linux")
        text = '[device.cam-01]\nsite = "hamburg"\ntarget = ""\nring = "canary"\nnever = ""\n'
        (change,) = differs(fleet, text)
        assert change.wanted == "ring: not set -> canary; site: berlin -> hamburg; target: linux -> removed"
        assert change.to_dict()["differs"] == [
            {"name": "ring", "now": None, "wanted": "canary"},
            {"name": "site", "now": "berlin", "wanted": "hamburg"},
            {"name": "target", "now": "linux", "wanted": None},
        ]
        applied(fleet, text)
        assert attributes(fleet, "cam-01") == {"site": "hamburg", "ring": "canary"}

    def test_the_audit_trail_keeps_what_was_and_what_is(self, fleet: ScriptedFleet) -> None:
        fleet.join("cam-01", site="berlin", target="linux")
        applied(fleet, '[device.cam-01]\nsite = "hamburg"\ntarget = ""\n')
        (found,) = [each for each in fleet.audit() if each.action == "set attributes"]
        assert found.detail == {"from": {"site": "berlin", "target": "linux"}, "to": {"site": "hamburg"}}
        (row,) = audit_rows(fleet.workspace)
        assert row["what"] == "site=berlin, target=linux -> site=hamburg"

    def test_what_stays_still_decides_what_is_selected(self, fleet: ScriptedFleet) -> None:
        fleet.join("cam-01", site="berlin", ring="canary")
        device = '[device.cam-01]\nsite = "hamburg"\n'
        (_, change) = differs(fleet, entry("tiny@1", "ring = canary and site = hamburg") + device)
        assert (change.what, change.now, change.wanted) == ("start", "nothing", "tiny@1")
        with pytest.raises(NotFoundError):
            differs(fleet, entry("tiny@1", "ring = canary") + device + 'ring = ""\n')

    def test_an_attribute_that_is_empty_can_be_removed(self) -> None:
        assert merged({"a": "", "b": "1"}, {"a": ""}) == {"b": "1"}
        assert str(Difference("a", "", None)) == 'a: "" -> removed'


class TestWhatRunsNow:
    @pytest.fixture
    def fleet(self, fleet: ScriptedFleet) -> ScriptedFleet:
        """Seven devices, five of them in Paris, that run version 1; there are versions 2 and 3."""
        for number in range(7):
            fleet.join(f"cam-{number}", site="paris" if number < 5 else "rome")
        fleet.run(1)
        fleet.release(2)
        fleet.release(3)
        return fleet

    def now(self, fleet: ScriptedFleet, text: str) -> str:
        (change,) = differs(fleet, text)
        return change.now

    def test_it_is_of_the_devices_whatever_selector_brought_it_there(self, fleet: ScriptedFleet) -> None:
        fleet.run(2, to="site = paris")
        everywhere = entry("tiny@3")
        assert self.now(fleet, everywhere) == "tiny@2 on 5 of 7, tiny@1 on 2"
        assert self.now(fleet, entry("tiny@3", "site = rome")) == "tiny@1 on 2 of 2"

    def test_what_devices_were_told_and_what_is_to_come_is_said(self, fleet: ScriptedFleet) -> None:
        for device in fleet.devices.values():
            device.online = False
        number = fleet.start(2, stages="2,100%")
        fleet.turn(1)
        assert (
            self.now(fleet, entry("tiny@3"))
            == f"tiny@1 on 5 of 7, tiny@2 wanted on 2; rollout {number} of tiny@2 is RUNNING"
        )

    def test_a_device_that_refused_is_still_wanted_to_run_it(self, fleet: ScriptedFleet) -> None:
        fleet.behaviours[2] = Behaviour("REJECTED", "no room")
        fleet.start(2, stages="100%", to="device = cam-0", gates=["install=1"])
        fleet.turn(4)
        assert self.now(fleet, entry("tiny@3", "device in (cam-0, cam-1)")) == (
            "tiny@1 on 1 of 2, tiny@2 wanted on 1"
        )

    def test_a_device_without_any_is_counted_last(self, fleet: ScriptedFleet) -> None:
        for name in ("x-1", "x-2"):
            fleet.devices[name] = fleet.join(name, online=False, site="oslo")
        with_them = entry("tiny@3", "site = oslo or device = cam-0")
        assert self.now(fleet, with_them).startswith("tiny@1 on 1 of 3, nothing on 2")

    def test_a_selector_is_what_it_says_not_how_it_is_written(self, fleet: ScriptedFleet) -> None:
        applied(fleet, entry("tiny@2", 'site = "paris"', soak='"5s"', stages='["100%"]'))
        other = entry("tiny@2", 'site="paris"', soak='"5s"', stages='["100%"]')
        assert differs(fleet, other) == []
        (change,) = differs(fleet, other.replace("5s", "1m"))
        assert (change.what, change.wanted) == ("change plan", "soak: 5s -> 1m")
        fleet.turn(6)
        fleet.order(2, "roll_back", "complaints")
        fleet.turn(4)
        with pytest.raises(CheckFailed, match="taken back by rollout 2"):
            differs(fleet, other)


class TestPlans:
    PLAN = Plan("", parse_stages("1,100%"), gates=DEFAULT_GATES)

    def words(self, **changed: object) -> list[str]:
        return [str(found) for found in plan_differences(self.PLAN, replace(self.PLAN, **changed))]

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"stages": parse_stages("1,50%,100%")}, "stages: 1, 100% -> 1, 50%, 100%"),
            ({"soak_s": 600.0}, "soak: 0s -> 10m"),
            ({"patience_s": 60.0}, "patience: 10m -> 1m"),
            ({"hours": parse_hours("22:00-5:00")}, "window: not set -> 22:00-05:00 UTC"),
            ({"pace": parse_pace("1/s"), "rate_text": "1/s"}, "rate: not set -> 1/s"),
            ({"approve": True}, "approve: no -> yes"),
            ({"shadow_inferences": 200}, "shadow: not set -> 200"),
            ({"spread_s": 300.0}, "spread: not set -> 5m"),
            ({"device_bytes_per_day": 7}, "device_bytes_per_day: not set -> 7"),
            ({"max_bytes": 10_000}, "max_bytes: not set -> 10000"),
            (
                {"gates": (replace(DEFAULT_GATES[0], limit=0.25, answer="abort"), *DEFAULT_GATES[2:])},
                "gates: install=0.1:hold:1, rollbacks=0.05:hold:1 -> install=0.25:abort:1, rollbacks=off",
            ),
        ],
    )
    def test_each_option_is_shown_by_its_name_with_both_values(
        self, changed: dict[str, object], says: str
    ) -> None:
        assert self.words(**changed) == [says]

    def test_no_field_of_a_plan_is_forgotten(self) -> None:
        (cases,) = (
            mark.args[1] for mark in self.test_each_option_is_shown_by_its_name_with_both_values.pytestmark
        )
        told = {name for changed, _ in cases for name in changed}
        assert told == {field.name for field in fields(Plan)} - {"selector_text"}

    def test_what_is_written_otherwise_and_means_the_same_is_none(self) -> None:
        paced = replace(self.PLAN, pace=parse_pace("60/min"), rate_text="60/min")
        assert plan_differences(paced, replace(paced, pace=parse_pace("60/min "), rate_text="60/min ")) == ()
        assert plan_differences(paced, replace(paced, selector_text="device like *")) == ()
        assert str(plan_differences(paced, self.PLAN)[0]) == "rate: 60/min -> removed"

    def test_a_change_of_several_options_is_shown_before_it_is_done(self, fleet: ScriptedFleet) -> None:
        fleet.join("cam-0")
        text = entry("tiny@1", soak='"10m"', gates='["accuracy=0.02:hold"]', window='"00:00-23:59"')
        applied(fleet, text)
        other = entry("tiny@1", soak='"1m"', gates='["accuracy=0.02:roll_back"]')
        (change,) = differs(fleet, other)
        assert (change.what, change.subject) == ("change plan", "rollout 1")
        assert [(found.name, found.now, found.wanted) for found in change.differs] == [
            ("soak", "10m", "1m"),
            ("window", "00:00-23:59 UTC", None),
            ("gates", "accuracy=0.02:hold:4", "accuracy=0.02:roll_back:4"),
        ]
        applied(fleet, other)


def test_a_version_that_was_rejected_is_refused_before_anything_is_done(fleet: ScriptedFleet) -> None:
    fleet.join("cam-0")
    with fleet.workspace.registry.session() as session:
        session.exec(select(ModelVersion)).one().state = "rejected"
    for run in (differs, applied):
        with pytest.raises(CheckFailed, match="tiny@1 is in state 'rejected'"):
            run(fleet, entry("tiny@1") + '[device.cam-0]\nsite = "rome"\n')
    assert fleet.audit() == []
