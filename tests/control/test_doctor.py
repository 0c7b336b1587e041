"""What the doctor finds, and how grave it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeops.control import doctor
from edgeops.control.devices import enroll_device
from edgeops.control.settings import Settings
from edgeops.control.workspace import init_workspace


def of(root: Path, check: str) -> dict[str, str | None]:
    return next(row for row in doctor.examine(root) if row["check"] == check)


def test_without_a_broker_one_who_only_trains_is_warned_and_a_fleet_fails(tmp_path: Path) -> None:
    workspace = init_workspace(tmp_path / "farm", Settings("farm", "mqtt://127.0.0.1:9"))
    row = of(workspace.root, "broker")
    assert row["state"] == "WARN"
    assert row["fix"] is not None and row["fix"].startswith("start one: edgeops broker run")
    enroll_device(workspace, "cam-01", {}, None, 100)
    assert of(workspace.root, "broker")["state"] == "FAIL"


def test_a_registry_that_does_not_open_is_named_once(tmp_path: Path) -> None:
    workspace = init_workspace(tmp_path / "farm", Settings("farm", "mqtt://127.0.0.1:9"))
    workspace.registry.close()
    (workspace.root / "registry.db").write_bytes(b"no database at all" * 100)
    states = {row["check"]: row["state"] for row in doctor.examine(workspace.root)}
    assert states["registry"] == "FAIL"


def test_a_part_that_is_missing_has_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", (("no_such_module", "no-such-module", "agent"),))
    monkeypatch.setattr(doctor, "install_line", lambda extra: f"install {extra}")
    assert of(tmp_path, "no-such-module") == {
        "check": "no-such-module",
        "state": "WARN",
        "detail": "not installed",
        "fix": "install agent",
    }
