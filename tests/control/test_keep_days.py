"""``[registry] keep_days``: what devices said goes after it, whatever else the control plane does."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import select
from support.scripted_fleet import Behaviour, ScriptedFleet

from edgeops.control.settings import RegistrySettings, load_settings
from edgeops.core.errors import ConfigError
from edgeops.registry.retention import KEPT_WINDOWS
from edgeops.registry.tables import LabelTruth, ReportWindow

DAY = 86_400


@pytest.mark.parametrize(("days", "kept"), [(30, KEPT_WINDOWS), (0, 40)])
def test_what_is_older_goes_and_a_new_rollout_still_has_the_devices_own_past(
    tmp_path: Path, days: int, kept: int
) -> None:
    fleet = ScriptedFleet(tmp_path / "fleet", 2)
    path = fleet.workspace.root / "edgeops.toml"
    path.write_text(path.read_text().replace("keep_days = 30", f"keep_days = {days}"))
    fleet.workspace.settings = load_settings(fleet.workspace.root)
    fleet.release(1, Behaviour(accuracy=0.9))
    fleet.run(1)
    while fleet.devices["cam-00"].sequence < 40:
        fleet.turn()
    for device in fleet.devices.values():
        device.online = False
    fleet.turn(1, seconds=31 * DAY)
    fleet.turn(1, seconds=60)
    with fleet.workspace.registry.reading() as session:
        windows, labels = session.exec(select(ReportWindow)).all(), session.exec(select(LabelTruth)).all()
    assert [sum(row.device_id == name for row in windows) for name in fleet.devices] == [kept, kept]
    assert len(labels) == 10 * len(windows)
    assert min(row.sequence for row in windows) == 41 - kept
    for device in fleet.devices.values():
        device.online = True
    fleet.release(2, Behaviour(accuracy=0.9))
    number = fleet.start(2, stages="1,100%", soak="1h")
    fleet.turn(10)
    assert fleet.state(number) == "SOAKING"
    fleet.close()


def test_is_a_number_of_days(tmp_path: Path) -> None:
    assert RegistrySettings().keep_days == 30
    (tmp_path / "edgeops.toml").write_text('fleet = "farm"\n[registry]\nkeep_days = -1\n')
    with pytest.raises(ConfigError, match=r"registry\.keep_days = -1: int of at least 0"):
        load_settings(tmp_path)
