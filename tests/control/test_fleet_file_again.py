"""``fleet.toml`` applied to a fleet that is under way: other stages, and entries of one model that overlap."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import select
from support.scripted_fleet import ScriptedFleet

from edgeops.control.fleet_file import apply_file, differences
from edgeops.control.fleet_file_reading import read_fleet_file
from edgeops.core.errors import ConfigError
from edgeops.registry.tables import Deployment

STAGED = """
[[rollout]]
model = "tiny@2"
soak = "1h"
stages = [{stages}]
"""


def entry(model: str, to: str = "") -> str:
    selector = f"to = 'site = {to}'\n" if to else ""
    return f'[[rollout]]\nmodel = "{model}"\nstages = ["100%"]\n{selector}'


def applied(fleet: ScriptedFleet, text: str) -> list[str]:
    """What was done; nothing differs afterwards."""
    path = fleet.workspace.root / "fleet.toml"
    path.write_text(text)
    changes = apply_file(fleet.workspace, read_fleet_file(path, fleet.workspace), fleet.clock)
    assert differs(fleet, text) == []
    return [f"{change.what} {change.subject}" for change in changes]


def differs(fleet: ScriptedFleet, text: str) -> list[str]:
    path = fleet.workspace.root / "fleet.toml"
    path.write_text(text)
    with fleet.workspace.registry.reading() as session:
        found = differences(session, read_fleet_file(path, fleet.workspace))
    return [f"{change.what} {change.subject}, now {change.now}" for change in found]


class TestOtherStages:
    """A plan whose stages change while the rollout is under way."""

    @pytest.fixture
    def fleet(self, tmp_path: Path):
        made = ScriptedFleet(tmp_path / "fleet", 8)
        made.release(1)
        made.run(1)
        made.release(2)
        yield made
        made.close()

    def under_way(self, fleet: ScriptedFleet, more: str = "") -> None:
        """In the soak of the second stage of three, with two of eight devices."""
        applied(fleet, STAGED.format(stages='"1", "25%", "100%"') + more)
        fleet.turn(4)
        fleet.turn(1, seconds=3600)
        fleet.turn(3)
        if more:
            return
        assert (fleet.state(2), fleet.row(2).stage, len(fleet.runs(2))) == ("SOAKING", 1, 2)

    def stages_of_devices(self, fleet: ScriptedFleet) -> list[int]:
        with fleet.workspace.registry.reading() as session:
            query = select(Deployment.stage).where(Deployment.rollout_id == 2).order_by(Deployment.offered_at)
            return [stage for stage in session.exec(query) if stage is not None]

    def test_fewer_stages_do_not_end_the_control_plane(self, fleet: ScriptedFleet) -> None:
        self.under_way(fleet)
        applied(fleet, STAGED.format(stages='"100%"'))
        fleet.plane.close()
        fleet.plane = fleet.start_plane()
        fleet.turn(4)
        assert (fleet.state(2), fleet.row(2).stage, len(fleet.runs(2))) == ("SOAKING", 0, 8)
        fleet.turn(1, seconds=3600)
        assert fleet.state(2) == "COMPLETED"

    def test_the_stage_is_the_one_that_the_devices_are_in_and_it_is_soaked_anew(
        self, fleet: ScriptedFleet
    ) -> None:
        self.under_way(fleet)
        fleet.turn(1, seconds=3000)
        applied(fleet, STAGED.format(stages='"2", "50%", "100%"'))
        assert (fleet.row(2).stage, self.stages_of_devices(fleet)) == (0, [0, 0])
        fleet.turn(1)
        fleet.turn(1, seconds=3000)  # 6,000 s after its devices confirmed, 3,000 s after the change
        assert (fleet.state(2), len(fleet.runs(2))) == ("SOAKING", 2)
        fleet.turn(1, seconds=600)
        fleet.turn(3)
        assert (fleet.state(2), fleet.row(2).stage, len(fleet.runs(2))) == ("SOAKING", 1, 4)

    def test_a_stage_that_became_larger_is_filled_before_it_is_soaked(self, fleet: ScriptedFleet) -> None:
        self.under_way(fleet)
        applied(fleet, STAGED.format(stages='"1", "50%", "100%"'))
        assert (fleet.state(2), fleet.row(2).stage, self.stages_of_devices(fleet)) == ("RUNNING", 1, [0, 1])
        fleet.turn(3)
        assert (fleet.state(2), len(fleet.runs(2))) == ("SOAKING", 4)

    def test_an_approval_that_was_asked_for_is_asked_for_again(self, fleet: ScriptedFleet) -> None:
        asks = "approve = true"
        applied(fleet, STAGED.format(stages='"1", "100%"') + asks)
        fleet.turn(4)
        fleet.turn(2, seconds=3600)
        assert fleet.state(2) == "NEEDS_APPROVAL"
        applied(fleet, STAGED.format(stages='"1", "50%", "100%"') + asks)
        fleet.turn(2)
        assert fleet.state(2) == "SOAKING"
        fleet.turn(2, seconds=3600)
        assert (fleet.state(2), len(fleet.runs(2))) == ("NEEDS_APPROVAL", 1)

    def test_what_is_asked_for_with_the_same_stages_changes_no_stage(self, fleet: ScriptedFleet) -> None:
        self.under_way(fleet)
        text = STAGED.format(stages='"1", "25%", "100%"')
        assert applied(fleet, text.replace("1h", "2h")) == ["change plan rollout 2"]
        assert (fleet.state(2), fleet.row(2).stage, self.stages_of_devices(fleet)) == ("SOAKING", 1, [0, 1])


def test_a_fault_that_nobody_foresaw_holds_its_rollout_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = ScriptedFleet(tmp_path / "fleet", 0)
    for name, site in (("a", "berlin"), ("b", "rome")):
        fleet.join(name, site=site)
    fleet.release(1)
    fleet.release(2)
    first = fleet.start(1, to="site = berlin", stages="1,100%")
    second = fleet.start(2, to="site = rome", stages="100%")
    with fleet.workspace.registry.session() as session:  # as an earlier version may have left it
        row = session.get_one(type(fleet.row(first)), first)
        row.stage = 7
    fleet.turn(4)
    assert (fleet.state(first), fleet.state(second)) == ("HELD", "COMPLETED")
    assert fleet.row(first).reason == "IndexError: tuple index out of range"
    assert [line for line in fleet.told if "IndexError" in line] == [
        "rollout 1: IndexError: tuple index out of range"
    ]
    fleet.close()


class TestOverlappingEntries:
    """Of two entries of a model that select the same device the later one wins, whatever is applied when."""

    @pytest.fixture
    def fleet(self, tmp_path: Path):
        made = ScriptedFleet(tmp_path / "fleet", 0)
        for number in range(4):
            made.join(f"cam-{number}", site="berlin" if number < 2 else "rome")
        for version in (1, 2, 3, 4):
            made.release(version)
        yield made
        made.close()

    def test_an_entry_is_started_anew_when_one_above_it_was(self, fleet: ScriptedFleet) -> None:
        text = entry("tiny@2") + entry("tiny@3", "berlin")
        assert len(applied(fleet, text)) == 2
        fleet.turn(6)
        assert (fleet.runs(2), fleet.runs(3)) == ({"cam-2", "cam-3"}, {"cam-0", "cam-1"})
        later = text.replace("tiny@2", "tiny@4")
        assert differs(fleet, later) == [
            "start tiny to every device, now tiny@2 on 2 of 4, tiny@3 on 2",
            "start tiny to site = berlin, now tiny@3 on 2 of 2; overruled by an entry above",
        ]
        applied(fleet, later)
        fleet.turn(6)
        assert (fleet.runs(4), fleet.runs(3)) == ({"cam-2", "cam-3"}, {"cam-0", "cam-1"})
        assert differs(fleet, later) == []

    def test_entries_that_share_no_device_leave_each_other_alone(self, fleet: ScriptedFleet) -> None:
        text = entry("tiny@2", "rome") + entry("tiny@3", "berlin")
        applied(fleet, text)
        fleet.turn(6)
        assert applied(fleet, text.replace("tiny@2", "tiny@4")) == ["start tiny to site = rome"]

    def test_an_entry_that_later_ones_leave_no_device_is_not_started_again_and_again(
        self, fleet: ScriptedFleet
    ) -> None:
        text = entry("tiny@3", "berlin") + entry("tiny@2")
        assert applied(fleet, text) == ["start tiny to every device"]
        fleet.turn(6)
        assert differs(fleet, text) == []
        assert fleet.runs(2) == set(fleet.devices)

    def test_the_attributes_that_the_file_gives_decide_what_overlaps(self, fleet: ScriptedFleet) -> None:
        text = entry("tiny@2", "rome") + entry("tiny@3", "berlin")
        applied(fleet, text)
        fleet.turn(6)
        text = text.replace("'site = rome'", "'floor = 1'").replace("tiny@2", "tiny@4")
        for device, site in (("cam-0", "berlin"), ("cam-2", "rome")):
            text += f'[device.{device}]\nsite = "{site}"\nfloor = "1"\n'
        assert applied(fleet, text)[2:] == ["start tiny to floor = 1", "start tiny to site = berlin"]
        fleet.turn(6)
        assert (fleet.runs(4), fleet.runs(3)) == ({"cam-2"}, {"cam-0", "cam-1"})

    def test_two_entries_for_the_same_devices_are_refused_by_their_names(self, fleet: ScriptedFleet) -> None:
        text = entry("tiny@2", "berlin") + entry("tiny@3") + entry("tiny@3", '"berlin"')
        with pytest.raises(ConfigError, match='rollout 1 and rollout 3 are both of tiny, to site = "berlin"'):
            differs(fleet, text)
