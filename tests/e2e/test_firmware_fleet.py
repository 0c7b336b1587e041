"""An emulated Cortex-M3 in a fleet, end to end: the image of ``make boards`` beside Python agents and a C agent on
Linux, on a real Mosquitto, enrolled, rolled out to, watched and asked about as every other device is."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compile.plan_interpreter import run_plan
from firmware import emulator
from firmware.board_device import BoardDevice
from firmware.c_device import CDevice, release
from firmware.fleet_device import FleetDevice, windows_of
from firmware.host_tools import posix_agent
from firmware.logged_broker import LoggedBroker, logged_broker
from numpy.typing import NDArray
from sqlmodel import select
from support.mqtt_proxy import Faults, MqttProxy
from support.packages import FLEET, MODEL, TFLITE, Package, build, image, observe_plan
from support.real_fleet import RealFleet, right, wrong_model

from edgeops.cli.main import run
from edgeops.compile import compile_plan
from edgeops.control.settings import DriftSettings
from edgeops.core import topics
from edgeops.core.counters import Counters
from edgeops.core.features.steps import quantized_input
from edgeops.core.input_features import extract
from edgeops.core.manifest import Trial
from edgeops.core.messages import Report
from edgeops.core.observe import confidence_bin, margins
from edgeops.core.window import Window
from edgeops.registry.tables import Device, ModelVersion, Run

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.e2e, pytest.mark.slow]

BOARD = "mcu-01"
IN_FLIGHT = 8
"""Chunks that the agent asks for at a time."""
SLOW = Faults(delay_s=0.02)
SCENES = 200
TWO_STAGES = "50%,100%"
WINDOW = 50
ROUND_S = 0.5
BRIGHTER = 6.0
QUIET_WINDOWS = 12

Tool = Callable[..., Any]


@cache
def scenes() -> NDArray[np.float32]:
    """What every device sees, one after the other and then again: (SCENES, 8, 8)."""
    return np.stack([image(seed) for seed in range(SCENES)])


class FieldFleet(RealFleet):
    """Every agent sees the scenes from the first on, whatever the others do; nobody tells it a truth."""

    def turn(self, predictions: int = 3) -> None:
        """Everybody does what is due."""
        for name, agent in list(self.agents.items()):
            agent.poll()
            for _ in range(predictions if agent.ready(MODEL) else 0):
                agent.predict(scenes()[self.seen[name] % SCENES], model=MODEL)
                self.seen[name] += 1
        self.plane.step(0.002)

    @property
    def seen(self) -> Counter[str]:
        """How many scenes each agent has seen since it started."""
        if not hasattr(self, "_seen"):
            self._seen: Counter[str] = Counter()
        return self._seen


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
def tool(
    fleet: FieldFleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tool:
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
                versions = [release(fleet, 1), release(fleet, 2)]
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
        self, fleet: FieldFleet, tool: Tool, package: Package, everybody: set[str], c_agents: Sequence[FleetDevice]
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
        third = release(fleet, 3, seed=3)
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
        assert {event.boot for event in board.events()} == {1, 2}
