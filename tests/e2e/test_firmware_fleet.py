"""An emulated Cortex-M3 in a fleet, end to end: the image of ``make boards`` beside Python agents and a C agent on
Linux, on a real Mosquitto, enrolled, rolled out to, watched and asked about as every other device is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware import emulator
from firmware.board_device import BoardDevice
from firmware.c_device import CDevice, release
from firmware.field import (
    SCENES,
    FieldFleet,
    close_calls,
    counted_anew,
    moved,
    reference,
    scenes,
    without_latency,
)
from firmware.fleet_device import FleetDevice, windows_of
from firmware.host_tools import posix_agent
from firmware.logged_broker import LoggedBroker, logged_broker
from sqlmodel import select
from support.mqtt_proxy import Faults, MqttProxy
from support.packages import FLEET, MODEL, Package, observe_plan
from support.real_fleet import RealFleet, padded, wrong_model

from edgeops.cli.main import run
from edgeops.control.settings import DriftSettings
from edgeops.core import topics
from edgeops.core.manifest import Trial
from edgeops.registry.tables import Device, Run

pytest.importorskip("ai_edge_litert")
# Loaded now: after a decision the control plane rests for five times its duration, and the first would load it.
pytest.importorskip("scipy.stats")
pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.e2e, pytest.mark.slow]

BOARD = "mcu-01"
IN_FLIGHT = 8
"""Chunks that the agent asks for at a time."""
SLOW = Faults(delay_s=0.02)
TWO_STAGES = "50%,100%"
WINDOW = 50
ROUND_S = 0.5
BRIGHTER = 6.0
QUIET_WINDOWS = 12

Tool = Callable[..., Any]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LoggedBroker]:
    with logged_broker(tmp_path) as started:
        yield started


@pytest.fixture
def fleet(tmp_path: Path, broker: LoggedBroker) -> Iterator[FieldFleet]:
    """Two Python agents and the control plane, and room for others."""
    drift = DriftSettings(round_s=ROUND_S)
    made = FieldFleet(tmp_path / "fleet", broker.url, 2, labels=False, window=WINDOW, drift=drift)
    yield made
    made.close()


@pytest.fixture
def tool(fleet: FieldFleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """The command line in the fleet's workspace: what it answers with ``--json``."""

    def call(*arguments: str) -> Any:
        command = ["edgeops", *arguments, "--json", "--workspace", str(fleet.workspace.root)]
        monkeypatch.setattr("sys.argv", command)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run()
        printed = capsys.readouterr()
        assert not end.value.code, printed.err
        return json.loads(printed.out)

    return call


@pytest.fixture
def enrolled(tool: Tool, fleet: FieldFleet) -> Iterator[Callable[..., BoardDevice]]:
    """Enrols the board as any device is; it is ended with the test."""
    emulator.need_programs()
    boards: list[BoardDevice] = []

    def enrol(broker: str | None = None) -> BoardDevice:
        config = Path(tool("device", "enroll", BOARD, "-a", "kind=mcu")["config"])
        boards.append(BoardDevice(fleet, BOARD, config, broker))
        boards[-1].sees(scenes())
        return boards[-1]

    yield enrol
    for board in boards:
        board.kill()


@pytest.fixture
def posix() -> Path:
    return posix_agent()


def device_row(fleet: RealFleet, name: str) -> Device:
    with fleet.workspace.registry.reading() as session:
        return session.get_one(Device, name)


def artifact_topics(package: Package, runtime: str) -> set[str]:
    """The topics of the chunks of one artifact of a package."""
    (artifact,) = [one for one in package.manifest.artifacts if one.runtime == runtime]
    return {topics.chunk(FLEET, artifact.blob.hex, index) for index in range(artifact.blob.chunks)}


def release_large(fleet: RealFleet, version: int) -> Package:
    """A version of which every form has many chunks, and none that another version has."""
    return release(fleet, version, seed=version, tflite=padded(seed=version))


class TestUpdates:
    def test_an_ordinary_rollout_serves_board_and_python_agents_and_a_kill_in_mid_download_costs_no_chunk(
        self,
        fleet: FieldFleet,
        tool: Tool,
        enrolled: Callable[..., BoardDevice],
        broker: LoggedBroker,
        posix: Path,
    ) -> None:
        with MqttProxy(broker.port) as proxy:
            board = enrolled(proxy.url)
            linux = CDevice(posix, fleet, "posix-01")
            everybody = {*fleet.names, board.name, linux.name}
            try:
                board.start()
                linux.start()
                self.joins(fleet, tool, everybody)
                versions = [release_large(fleet, 1), release_large(fleet, 2)]
                for package in versions:
                    self.is_taken_by(fleet, tool, package, everybody, [board, linux])
                self.took_its_own_form(broker, versions)
                self.is_killed_and_goes_on(fleet, board, broker, proxy)
            finally:
                linux.kill()

    def joins(self, fleet: FieldFleet, tool: Tool, everybody: set[str]) -> None:
        def online() -> set[str]:
            rows = tool("fleet", "status")["rows"]
            return {row["device"] for row in rows if row["connection"] == "online"}

        fleet.until(lambda: online() == everybody)
        facts = tool("device", "show", BOARD)
        assert (facts["runtime"], facts["target"]) == ("plan", "cortex-m3")
        assert facts["attributes"] == {"kind": "mcu"}
        assert device_row(fleet, fleet.names[0]).runtime != "plan"

    def is_taken_by(
        self,
        fleet: FieldFleet,
        tool: Tool,
        package: Package,
        everybody: set[str],
        c_agents: Sequence[FleetDevice],
    ) -> None:
        version = package.manifest.version
        number = fleet.complete(version, stages=TWO_STAGES)
        assert fleet.offered(number) == everybody
        assert fleet.confirmed(package) == set(fleet.names)
        assert all(agent.runs(package) for agent in c_agents)
        rows = {row["device"]: row["confirmed"] for row in tool("fleet", "status")["rows"]}
        assert rows == dict.fromkeys(everybody, f"{MODEL}@{version}")

    def took_its_own_form(self, broker: LoggedBroker, versions: list[Package]) -> None:
        plan = artifact_topics(versions[0], "plan") | artifact_topics(versions[1], "plan")
        tflite = artifact_topics(versions[0], "tflite") | artifact_topics(versions[1], "tflite")
        sent = set(broker.chunks_sent(FLEET, BOARD))
        assert plan <= sent
        assert not tflite & sent

    def is_killed_and_goes_on(
        self, fleet: FieldFleet, board: BoardDevice, broker: LoggedBroker, proxy: MqttProxy
    ) -> None:
        third = release_large(fleet, 3)
        chunks = artifact_topics(third, "plan")
        proxy.faults = SLOW  # so that the download has a middle

        def had() -> set[str]:
            return chunks & set(broker.chunks_sent(FLEET, BOARD))

        number = fleet.roll_out(3, stages=TWO_STAGES)
        fleet.until(lambda: len(had()) > 3 * IN_FLIGHT)
        board.kill()
        first_life, already = had(), len(broker.chunks_sent(FLEET, BOARD))
        assert len(first_life) < len(chunks)
        fleet.until(lambda: not device_row(fleet, BOARD).online)  # by its will
        board.start()
        fleet.until(lambda: fleet.state(number) == "COMPLETED")
        assert board.runs(third)
        assert fleet.confirmed(third) == set(fleet.names)
        second_life = chunks & set(broker.chunks_sent(FLEET, BOARD)[already:])
        assert first_life | second_life == chunks
        assert len(first_life & second_life) <= IN_FLIGHT, "only what was on its way is taken again"
        boots = sorted({event.boot for event in board.events()})
        assert boots == [boots[0], boots[0] + 1]


def trials(board: BoardDevice, package: Package) -> int:
    """How often it said that a version is in its trial: when it began, and after each start."""
    said = [event for event in board.events() if event.manifest == package.digest.hex()]
    return sum(event.target == "TRIAL" for event in said)


class TestBadVersions:
    """Each leaves the board on what it ran before, and no chunk of that is asked for again."""

    @pytest.fixture
    def board(self, fleet: FieldFleet, enrolled: Callable[..., BoardDevice]) -> BoardDevice:
        """On version 1, like everybody."""
        board = enrolled()
        board.start()
        release(fleet, 1)
        fleet.complete(1)
        return board

    def test_a_plan_that_fails_its_self_test_is_rejected_where_it_would_run(
        self, fleet: FieldFleet, tool: Tool, board: BoardDevice, broker: LoggedBroker
    ) -> None:
        (first,) = fleet.packages.values()
        # the vectors and the .tflite beside the plan are as they should be
        bad = release(fleet, 2, compiled=wrong_model())
        number = fleet.roll_out(2, stages="100%", soak="1h")
        fleet.until(lambda: fleet.state(number) == "HELD" and fleet.confirmed(bad) == set(fleet.names))
        self.stays_on(fleet, board, broker, first, bad, "REJECTED", "self-test vector 0")
        rollout = tool("rollout", "show", str(number))
        assert [gate["gate"] for gate in rollout["gates"] if gate["verdict"] == "refuses"] == ["install"]
        (row,) = [row for row in rollout["devices"] if row["device"] == BOARD]
        assert (row["state"], row["doing"]) == ("failed", "rejected")
        assert "self-test vector 0" in row["reason"]
        rows = {row["device"]: row["confirmed"] for row in tool("fleet", "status")["rows"]}
        assert rows == dict.fromkeys(fleet.names, f"{MODEL}@2") | {BOARD: f"{MODEL}@1"}

    def test_a_plan_that_takes_the_board_down_in_its_trial_is_rolled_back(
        self, fleet: FieldFleet, tool: Tool, board: BoardDevice, broker: LoggedBroker
    ) -> None:
        (first,) = fleet.packages.values()
        bad = release(fleet, 2, seed=2, trial=Trial(inferences=1_000_000, max_errors=0))
        number = fleet.roll_out(2, stages="100%", soak="1h", to=f"device = {BOARD}")

        for life in (1, 2):
            fleet.until(lambda life=life: trials(board, bad) == life)
            board.kill()
            board.start()
        fleet.until(lambda: fleet.state(number) == "HELD")
        self.stays_on(fleet, board, broker, first, bad, "ROLLED_BACK", "the agent did not survive its trial")
        gates = tool("rollout", "show", str(number))["gates"]
        assert [gate["gate"] for gate in gates if gate["verdict"] == "refuses"] == ["rollbacks"]

    def stays_on(
        self,
        fleet: FieldFleet,
        board: BoardDevice,
        broker: LoggedBroker,
        first: Package,
        bad: Package,
        lifecycle: str,
        reason: str,
    ) -> None:
        """As its state says, as its reports say, and by what it asked the broker for."""
        fleet.until(lambda: (said := board.said()) is not None and said.lifecycle == lifecycle)
        said = board.said()
        assert said is not None
        assert said.confirmed == first.digest.hex()
        assert reason in (said.reason or "")
        counted = board.counted(first)
        fleet.until(lambda: board.counted(first) > counted + WINDOW)
        sent = Counter(broker.chunks_sent(FLEET, BOARD))
        assert {sent[topic] for topic in artifact_topics(first, "plan")} == {1}
        assert all(sent[topic] > 0 for topic in artifact_topics(bad, "plan"))


class TestReports:
    """What the board counts is what a Python agent would have counted, and is judged as such."""

    @pytest.fixture
    def package(self, fleet: FieldFleet) -> Package:
        """Version 1, with the scenes as its reference."""
        package = release(fleet, 1, plan=observe_plan())
        with fleet.workspace.registry.session() as session:
            (stored,) = session.exec(select(Run))
            stored.record = {
                **stored.record,
                "drift_reference_sha256": fleet.workspace.blobs.put(reference()),
            }
            session.add(stored)
        return package

    @pytest.fixture
    def board(self, fleet: FieldFleet, package: Package, enrolled: Callable[..., BoardDevice]) -> BoardDevice:
        """On version 1, like everybody."""
        board = enrolled()
        board.start()
        fleet.complete(1)
        return board

    def test_its_windows_are_those_of_a_python_agent_that_sees_the_same(
        self, fleet: FieldFleet, package: Package, board: BoardDevice
    ) -> None:
        wanted = 2 * SCENES
        agents = [board.name, *fleet.names]
        fleet.until(
            lambda: all(
                sum(w.counters.inferences for w in windows_of(fleet, name)) > wanted for name in agents
            )
        )
        windows = {name: windows_of(fleet, name, package) for name in agents}
        of_board = windows[board.name]
        assert [window.sequence for window in of_board] == list(range(1, len(of_board) + 1))
        assert [window.trial for window in of_board] == [True] + [False] * (len(of_board) - 1)
        for seen, expected in zip(of_board, counted_anew(package, of_board), strict=True):
            assert without_latency(seen.counters) == without_latency(expected)
            assert sum(seen.counters.latency) == seen.counters.inferences
        for name in fleet.names:
            same = [w.counters for w in windows[name]]
            pairs = list(zip([w.counters for w in of_board], same, strict=False))
            assert len(pairs) > wanted // WINDOW
            for ours, theirs in pairs:
                assert (ours.inferences, ours.observed) == (theirs.inferences, theirs.observed)
                assert (ours.bins, ours.features, ours.moments) == (
                    theirs.bins,
                    theirs.features,
                    theirs.moments,
                )
            apart = moved([ours.classes for ours, _ in pairs], [theirs.classes for _, theirs in pairs])
            assert apart <= close_calls(package) * sum(ours.inferences for ours, _ in pairs) / SCENES

    def test_its_drift_is_found_and_is_its_own(
        self, fleet: FieldFleet, tool: Tool, package: Package, board: BoardDevice
    ) -> None:
        def judged() -> bool:
            return all(len(windows_of(fleet, name)) > QUIET_WINDOWS for name in [BOARD, *fleet.names])

        fleet.until(judged)
        assert moved_alerts(tool) == []
        (model,) = tool("drift", "status")["models"]
        assert (model["model"], model["devices"], model["drifted"]) == (f"{MODEL}@1", 3, 0)

        board.kill()
        board.sees(np.clip(scenes() + BRIGHTER, 0, 16))
        board.start()
        fleet.until(lambda: moved_alerts(tool) != [])
        later = {name: len(windows_of(fleet, name)) for name in fleet.names}
        fleet.until(lambda: all(len(windows_of(fleet, name)) > later[name] + QUIET_WINDOWS for name in later))
        alerts = moved_alerts(tool)
        assert {(alert["model"], alert["device"]) for alert in alerts} == {(f"{MODEL}@1", BOARD)}
        assert board.runs(package)


def moved_alerts(tool: Tool) -> list[dict[str, Any]]:
    """The alerts about inputs that moved. That inputs come at another pace is told too, and is the test's own doing."""
    alerts: list[dict[str, Any]] = tool("drift", "status")["alerts"]
    return [alert for alert in alerts if any(shift["kind"] == "data" for shift in alert["shifts"])]
