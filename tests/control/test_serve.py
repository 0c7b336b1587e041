"""The control plane and a real agent on one broker in memory, in one thread, on one clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlmodel import select
from support.packages import FLEET, MODEL, Clock, Package, build, image
from support.registry import add_version, report

from device_agent.agent import Agent
from device_agent.config import load_config
from edgeops.control.devices import enroll_device
from edgeops.control.rollout_orders import plan_of, start_in_workspace
from edgeops.control.serve import ControlPlane
from edgeops.control.settings import ReportSettings, Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core import topics
from edgeops.core.codec import encode
from edgeops.core.messages import Presence
from edgeops.core.signing import Role
from edgeops.core.topics import Kind
from edgeops.core.transport import MemoryBroker, Will
from edgeops.registry.counts import totals
from edgeops.registry.tables import DesiredState, ReportWindow, Rollout

pytest.importorskip("ai_edge_litert")
TURNS = 400


class Plant:
    """A workspace with one registered version, its control plane and its agents."""

    def __init__(self, root: Path, devices: int) -> None:
        report_settings = ReportSettings(window_inferences=10, interval_ms=0)
        self.workspace = init_workspace(root, Settings(FLEET, report=report_settings))
        self.clock = Clock()
        self.broker = MemoryBroker()
        self.told: list[str] = []
        self.package = self.register(1)
        self.names = [f"cam-{n}" for n in range(devices)]
        self.configs = [
            load_config(enroll_device(self.workspace, name, {}, None, 100)) for name in self.names
        ]
        self.plane = self.start_plane()
        self.agents = [self.start_agent(config) for config in self.configs]
        self._seed = 0

    def register(self, version: int) -> Package:
        """Build, store and register a version signed by the workspace's own key."""
        package = build(version, keys=[self.workspace.key(Role.RELEASE)])
        for blob in [*package.blobs.values(), *package.chunks.values(), package.envelope]:
            self.workspace.blobs.put(blob)
        with self.workspace.registry.session() as session:
            add_version(session, package)
        return package

    def start_plane(self) -> ControlPlane:
        plane = ControlPlane(self.workspace, self.broker.client(), self.told.append, self.clock)
        plane.start()
        return plane

    def start_agent(self, config) -> Agent:
        def connect(will: Presence):
            return self.broker.client(Will(topics.device(FLEET, config.device, Kind.PRESENCE), encode(will)))

        return Agent(config, connect, self.clock)

    def turn(self, predict: bool = True) -> None:
        """A second passes: everybody does what is due."""
        self.clock.sleep(1.0)
        self.plane.step(0.0)
        for agent in self.agents:
            agent.poll()
            if predict and agent_runs(agent):
                self._seed += 1
                agent.predict(image(self._seed))

    def until(self, what: Callable[[], bool]) -> None:
        for _ in range(TURNS):
            if what():
                return
            self.turn()
        pytest.fail(f"not within {TURNS} turns; told: {self.told}")

    def rollout(self) -> Rollout:
        with self.workspace.registry.reading() as session:
            return session.exec(select(Rollout).order_by(Rollout.id.desc())).first()  # type: ignore[union-attr]

    def windows(self) -> int:
        with self.workspace.registry.reading() as session:
            return len(session.exec(select(ReportWindow)).all())

    def queued(self) -> int:
        return sum(len(list(config.data.glob("reports/**/*.cbor"))) for config in self.configs) or sum(
            len([p for p in (config.data / "reports").rglob("*") if p.is_file()]) for config in self.configs
        )

    def close(self) -> None:
        for agent in self.agents:
            agent.close()
        self.plane.close()
        self.workspace.registry.close()


def agent_runs(agent: Agent) -> bool:
    try:
        agent.predict(image(0))
    except Exception:
        return False
    return True


@pytest.fixture
def plant(tmp_path: Path):
    made = Plant(tmp_path / "plant", 3)
    yield made
    made.close()


def begin(plant: Plant, model: str = "tiny@1") -> None:
    start_in_workspace(plant.workspace, model, plan_of(plant.workspace, stages="34%,100%"), plant.clock)


def test_a_rollout_goes_to_confirmed_stage_by_stage(plant: Plant) -> None:
    begin(plant)
    plant.until(lambda: plant.rollout().state == "COMPLETED")
    moves = [line for line in plant.told if "rollout" in line]
    assert [line.split(":")[1].split(",")[0].strip() for line in moves] == [
        "stage_confirmed",
        "next_stage",
        "stage_confirmed",
        "completed",
    ]


def test_receipts_empty_the_agents_queues(plant: Plant) -> None:
    begin(plant)
    plant.until(lambda: plant.windows() >= 9)
    for _ in range(5):
        plant.turn(predict=False)
    assert plant.queued() == 0


def test_a_broker_that_goes_away_and_comes_back_loses_nothing(plant: Plant) -> None:
    begin(plant)
    plant.until(lambda: plant.rollout().state == "COMPLETED")
    before = plant.windows()
    plant.broker.set_online(False)
    for _ in range(15):
        plant.turn()
    assert plant.windows() == before
    assert plant.queued() > 0
    plant.broker.retained.clear()  # it restarted, and had kept nothing
    plant.broker.set_online(True)
    plant.until(lambda: plant.windows() > before + 3)
    for _ in range(20):
        plant.turn(predict=False)
    assert plant.queued() == 0
    assert any("/desired" in topic for topic in plant.broker.retained)
    assert any("/blob/" in topic for topic in plant.broker.retained)


def test_a_control_plane_killed_mid_rollout_goes_on_where_it_was(plant: Plant) -> None:
    begin(plant)
    plant.until(lambda: plant.rollout().stage == 1 or plant.rollout().state == "COMPLETED")
    with plant.workspace.registry.reading() as session:
        before = {row.device_id: row.generation for row in session.exec(select(DesiredState))}
    plant.plane.close()
    for _ in range(10):
        plant.clock.sleep(1.0)
        for agent in plant.agents:
            agent.poll()
    plant.workspace.registry.close()
    plant.workspace = Workspace(plant.workspace.root)
    plant.plane = plant.start_plane()
    plant.until(lambda: plant.rollout().state == "COMPLETED")
    with plant.workspace.registry.reading() as session:
        after = {row.device_id: row.generation for row in session.exec(select(DesiredState))}
    assert all(after[name] == generation for name, generation in before.items())  # nobody was asked twice


def test_a_newer_rollout_supersedes_the_unfinished_one(plant: Plant) -> None:
    begin(plant)
    plant.turn()
    plant.register(2)
    begin(plant, "tiny@2")
    plant.until(lambda: plant.rollout().state == "COMPLETED")
    with plant.workspace.registry.reading() as session:
        assert [r.state for r in session.exec(select(Rollout).order_by(Rollout.id))] == [
            "SUPERSEDED",
            "COMPLETED",
        ]


def test_a_full_disk_keeps_the_reports_and_receipts_nothing(plant: Plant) -> None:
    begin(plant)
    plant.until(lambda: plant.rollout().state == "COMPLETED")
    for _ in range(5):
        plant.turn(predict=False)
    before, full = plant.windows(), True

    def refuse(conn, cursor, statement, *rest) -> None:
        if full and statement.startswith(("INSERT", "UPDATE")):
            raise sqlite3.OperationalError("database or disk is full")

    event.listen(plant.workspace.registry._engine, "before_cursor_execute", refuse)
    for _ in range(12):
        plant.turn()
    assert plant.windows() == before
    assert plant.queued() > 0
    assert any("disk is full" in line for line in plant.told)
    full = False
    plant.until(lambda: plant.windows() > before)
    for _ in range(20):
        plant.turn(predict=False)
    assert plant.queued() == 0


class TestHostileDevices:
    """A device that was enrolled, and lies."""

    @pytest.mark.parametrize(
        "lie",
        [
            {"features": (), "moments": ()},
            {"moments": ()},
            {"classes": (1000,)},
            {"features": ((0,) * 5 + (1000,) + (0,) * 6,) * 9, "moments": ((0, 0),) * 9},
            {"bins": bytes(4)},
        ],
        ids=lambda lie: ",".join(lie),
    )
    def test_counters_of_another_shape_are_counted_and_no_crash(
        self, plant: Plant, lie: dict[str, object]
    ) -> None:
        for sequence in range(1, 9):
            large = {"inferences": 1000, **lie}
            said = report(sequence, package=plant.package, **large)
            plant.broker.deliver(topics.device(FLEET, "cam-0", Kind.REPORT), encode(said), False)
            plant.turn(predict=False)
        assert plant.windows() == 8

    @given(kind=st.sampled_from(list(Kind)), payload=st.binary(max_size=50))
    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_bytes_on_any_topic_are_no_crash(self, plant: Plant, kind: Kind, payload: bytes) -> None:
        plant.broker.deliver(topics.device(FLEET, "cam-0", kind), payload, False)
        plant.turn(predict=False)

    def test_what_was_not_usable_is_counted(self, plant: Plant) -> None:
        plant.broker.deliver(topics.device(FLEET, "cam-0", Kind.REPORT), b"nonsense", False)
        plant.broker.deliver(topics.device(FLEET, "nobody", Kind.REPORT), b"nonsense", False)
        plant.turn(predict=False)
        with plant.workspace.registry.reading() as session:
            found = totals(session)
        assert (found["undecodable report"], found["unknown device"]) == (1, 1)


def test_the_model_name_is_the_packages(plant: Plant) -> None:
    assert plant.package.manifest.model == MODEL
