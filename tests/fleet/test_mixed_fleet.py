"""One rollout for boards that take a ``.tflite`` and microcontrollers that take an execution plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.packages import TFLITE
from support.scripted_fleet import ScriptedDevice, ScriptedFleet

from edgeops.control.devices import device_facts
from edgeops.control.plans import PlanShelf
from edgeops.control.rollout_orders import plan_of
from edgeops.control.rollout_preview import preview_rollout
from edgeops.control.rollout_views import plan_rollout
from edgeops.fleet.patches import saved_bytes
from edgeops.registry.artifacts import bytes_for, choose, forms_of
from edgeops.registry.names import find_model
from edgeops.registry.tables import Device, ModelVersion, Patch

ARENA = 5_000
PLAN_BYTES = 3_000


def plan_of_version(version: int) -> bytes:
    """An execution plan that differs from that of another version in a few bytes."""
    content = bytearray(np.random.default_rng(7).bytes(PLAN_BYTES))
    content[100 : 100 + version] = bytes(version)
    return bytes(content)


def join_board(fleet: ScriptedFleet, name: str, **said: object) -> ScriptedDevice:
    """A microcontroller with the agent in C."""
    device = fleet.join(name, online=False)
    device.online, device.target, device.takes = True, "cortex-m3", ("plan",)
    device.runtime, device.free_bytes, device.says_artifact = "plan", 60_000, True
    for key, value in said.items():
        setattr(device, key, value)
    device.say_online()
    fleet.turn()
    return device


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[ScriptedFleet]:
    """Two Linux boards and two microcontrollers."""
    made = ScriptedFleet(tmp_path, devices=2)
    for name in ("mcu-00", "mcu-01"):
        join_board(made, name)
    for number in (1, 2):
        made.release(number, execution=(plan_of_version(number), ARENA))
    yield made
    made.close()


def version(fleet: ScriptedFleet, number: int) -> ModelVersion:
    with fleet.workspace.registry.reading() as session:
        return find_model(session, f"tiny@{number}")


def published(fleet: ScriptedFleet) -> set[str]:
    """The digests of the blobs that stand on the broker."""
    return {topic.split("/")[-2] for topic in fleet.broker.retained if "/blob/" in topic}


def test_one_rollout_serves_both_kinds_and_both_artifacts_are_published(fleet: ScriptedFleet) -> None:
    fleet.run(1)
    assert fleet.runs(1) == {"cam-00", "cam-01", "mcu-00", "mcu-01"}
    forms = {form.runtime: form for form in forms_of(version(fleet, 1))}
    assert forms.keys() == {"tflite", "plan"}
    assert {form.sha256 for form in forms.values()} <= published(fleet)
    assert (forms["plan"].bytes, forms["plan"].arena_bytes) == (PLAN_BYTES, ARENA)


def test_a_selector_picks_the_devices_that_run_plans(fleet: ScriptedFleet) -> None:
    fleet.run(1, to="runtime = plan")
    assert fleet.runs(1) == {"mcu-00", "mcu-01"}
    fleet.run(2, to="target = cortex-m3")
    assert fleet.runs(2) == {"mcu-00", "mcu-01"}


def test_what_a_microcontroller_says_of_itself_is_shown(fleet: ScriptedFleet) -> None:
    said = device_facts(fleet.workspace, "mcu-00")
    assert (said["runtime"], said["target"], said["takes"]) == ("plan", "cortex-m3", ["plan"])
    assert said["free_bytes"] == 60_000


def test_the_preview_shows_for_each_device_its_artifact(fleet: ScriptedFleet) -> None:
    rows = plan_rollout(fleet.workspace, "tiny@1", plan_of(fleet.workspace, stages="100%"))
    shown = {row["device"]: (row["runtime"], row["bytes"]) for row in rows}
    assert shown["cam-00"] == ("tflite", len(TFLITE))
    assert shown["mcu-00"] == ("plan", PLAN_BYTES)


class TestBeforeTheStart:
    def preview(self, fleet: ScriptedFleet, **plan: object) -> dict[str, Any]:
        made = plan_of(fleet.workspace, stages="100%", soak="1h", **plan)  # type: ignore[arg-type]
        return preview_rollout(fleet.workspace, "tiny@1", made)

    def test_the_bytes_are_those_of_each_device_s_own_artifact(self, fleet: ScriptedFleet) -> None:
        every = 2 * len(TFLITE) + 2 * PLAN_BYTES
        found = self.preview(fleet, max_bytes=every)
        assert (found["bytes"], found["by_runtime"], found["warnings"]) == (
            every,
            {"plan": 2, "tflite": 2},
            [],
        )
        (warning,) = self.preview(fleet, max_bytes=every - 1)["warnings"]
        assert f"--max-bytes {every - 1} ends it" in warning and f"fetch {every} bytes" in warning

    def test_a_part_with_too_little_ram_is_warned_of(self, fleet: ScriptedFleet) -> None:
        join_board(fleet, "mcu-09", target="stm32l053")
        assert self.preview(fleet)["warnings"] == []
        fleet.release(7, execution=(plan_of_version(7), 9_000))
        made = plan_of(fleet.workspace, stages="100%", soak="1h")
        (warning,) = preview_rollout(fleet.workspace, "tiny@7", made)["warnings"]
        assert (
            warning == "stm32l053 has 8192 bytes of RAM in one piece; the plan needs an arena of 9000: mcu-09"
        )

    def test_a_device_without_room_is_warned_of(self, fleet: ScriptedFleet) -> None:
        join_board(fleet, "mcu-09", free_bytes=PLAN_BYTES)
        assert self.preview(fleet)["warnings"] == []
        join_board(fleet, "mcu-10", free_bytes=PLAN_BYTES - 1)
        assert self.preview(fleet)["warnings"] == ["fewer bytes are free than the version takes: mcu-10"]


def test_a_patch_is_of_the_artifact_that_the_device_runs(fleet: ScriptedFleet) -> None:
    fleet.run(1)
    number = fleet.run(2)
    desired = fleet.desired("mcu-00")
    assert desired is not None
    (patch,) = [way for way in desired.models["tiny"].transfers if way.base is not None]
    old, new = (
        choose(forms_of(version(fleet, n)), Device(id="x", enrolled_at=0, takes=["plan"])) for n in (1, 2)
    )
    assert old is not None and new is not None
    assert (patch.base.hex(), patch.target.hex()) == (old.sha256, new.sha256)
    with fleet.workspace.registry.reading() as session:
        made = session.get(Patch, (old.sha256, new.sha256))
        assert made is not None
        # the boards' .tflite is the same in both versions: nothing is saved there
        assert saved_bytes(session, number) == 2 * (PLAN_BYTES - made.bytes) > 0


def test_the_byte_budget_counts_what_each_device_fetches(fleet: ScriptedFleet) -> None:
    every = 2 * len(TFLITE) + 2 * PLAN_BYTES
    number = fleet.start(1, stages="100%", max_bytes=every)
    fleet.turn(6)
    assert fleet.state(number) == "COMPLETED"
    number = fleet.start(2, stages="100%", max_bytes=every - 1)
    fleet.turn(6)
    assert len(fleet.runs(2)) == 3
    assert fleet.state(number) == "HELD"
    waiting = [row["reason"] for row in fleet.facts(number)["devices"] if row["state"] == "waiting"]
    assert len(waiting) == 1
    assert f"budget of {every - 1} is spent: 3 devices that take" in fleet.facts(number)["reason"]


def test_a_version_without_a_plan_does_not_suit_and_the_reason_names_a_command(fleet: ScriptedFleet) -> None:
    fleet.release(3)
    number = fleet.start(3, stages="100%")
    fleet.turn(6)
    assert fleet.state(number) == "COMPLETED"
    assert fleet.runs(3) == {"cam-00", "cam-01"}
    rows = {row["device"]: row for row in fleet.facts(number)["devices"]}
    assert rows["mcu-00"]["state"] == "unsuited"
    assert rows["mcu-00"]["reason"] == (
        "it takes plan for cortex-m3; the version has tflite for linux; edgeops model show tiny@3 tells why"
    )


def test_a_plan_that_needs_more_arena_than_a_device_has_is_refused_with_both_figures(
    fleet: ScriptedFleet,
) -> None:
    join_board(fleet, "mcu-02", arena_limit=ARENA - 1)
    join_board(fleet, "mcu-03", arena_limit=ARENA)
    number = fleet.start(1, stages="100%", gates=["install=off"])
    fleet.turn(6)
    rows = {row["device"]: row for row in fleet.facts(number)["devices"]}
    assert rows["mcu-02"]["state"] == "failed"
    assert rows["mcu-02"]["reason"] == f"rejected: {ARENA} bytes of arena are needed, {ARENA - 1} are there"
    assert rows["mcu-03"]["state"] == "confirmed"


class TestChoosing:
    def of(self, *takes: str, target: str = "cortex-m3") -> Device:
        return Device(id="x", enrolled_at=0, takes=list(takes), target=target)

    def test_the_order_of_what_a_device_takes_decides(self, fleet: ScriptedFleet) -> None:
        forms = forms_of(version(fleet, 1))
        both = choose(forms, self.of("plan", "tflite", target="linux"))
        assert both is not None and both.runtime == "plan"
        assert choose(forms, self.of("tflite")) is None  # the .tflite is for linux alone
        assert choose(forms, self.of("other")) is None

    def test_a_device_that_was_never_heard_of_counts_as_a_linux_board(self, fleet: ScriptedFleet) -> None:
        assert bytes_for(version(fleet, 1), None) == len(TFLITE)
        assert bytes_for(version(fleet, 1), self.of("plan")) == PLAN_BYTES

    def test_a_version_of_an_older_registry_has_its_tflite(self) -> None:
        row = {"model": "m", "version": 1, "state": "registered", "run_id": 1, "created_at": 0.0}
        old = ModelVersion(**row, artifact_sha256="ab", artifact_bytes=7, manifest_sha256="cd")
        (form,) = forms_of(old)
        assert (form.runtime, form.target, form.sha256, form.bytes) == ("tflite", "any", "ab", 7)
        assert forms_of(ModelVersion(**row, artifact_sha256="ab", artifact_bytes=7)) == ()


def test_the_registry_says_of_a_version_what_its_manifest_says(fleet: ScriptedFleet) -> None:
    row = version(fleet, 2)
    manifest = PlanShelf(fleet.workspace.blobs).manifest(row.manifest_sha256 or "")
    said = [(a.runtime, a.target, a.blob.hex, a.blob.size, a.arena_bytes) for a in manifest.artifacts]
    assert said == [(f.runtime, f.target, f.sha256, f.bytes, f.arena_bytes) for f in forms_of(row)]
