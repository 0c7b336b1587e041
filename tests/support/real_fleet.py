"""A whole fleet in one process: the real control plane and real agents, on a real broker.

Models are the tiny one of ``tests/vectors/inference`` and what is made of it: padded, so that it has many chunks, or
with its output rows exchanged, so that it is as fast and as sure of itself as before and wrong.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlmodel import select

from device_agent.agent import Agent
from device_agent.config import load_config
from device_agent.inference import Interpreter, open_interpreter
from device_agent.slots import MANIFEST
from edgeops.control.devices import enroll_device
from edgeops.control.rollout_orders import plan_of, start_in_workspace
from edgeops.control.rollout_views import rollout_facts
from edgeops.control.serve import ControlPlane
from edgeops.control.settings import DriftSettings, ReportSettings, RolloutSettings, Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core import topics
from edgeops.core.features.steps import quantized_input
from edgeops.core.manifest import Manifest
from edgeops.core.selftest import SelfTest
from edgeops.core.signing import Role
from edgeops.core.transport import Received
from edgeops.fleet.audit import entries
from edgeops.mqtt import MqttTransport
from edgeops.registry.tables import Deployment, DeviceEvent, DeviceModel, Rollout
from support.packages import FLEET, LABELS, MODEL, TFLITE, Package, build, image
from support.registry import add_version

INPUTS = 64
PADDED_BYTES = 100_000
PATIENCE_S = 60.0
HIDDEN = 144
"""Inputs of the tiny model's last layer."""


@cache
def right() -> Interpreter:
    """The model that is right by definition."""
    return open_interpreter(TFLITE)


@cache
def inputs() -> list[tuple[NDArray[np.float32], str]]:
    """Raw inputs (8, 8) and their true labels."""
    manifest = build().manifest
    raw = [image(seed) for seed in range(INPUTS)]
    return [(x, LABELS[int(right().invoke(quantized_input(manifest, x)).argmax())]) for x in raw]


def padded(model: bytes = TFLITE, seed: int = 0, size: int = PADDED_BYTES) -> bytes:
    """A model of ``size`` bytes: an interpreter does not look at what follows the tables."""
    return model + np.random.default_rng(seed).bytes(size - len(model))


@cache
def wrong_model() -> bytes:
    """The tiny model with the rows of its last layer moved by one: never the right label, and as sure of it."""
    size = len(LABELS) * HIDDEN
    length = size.to_bytes(4, "little")  # stands before the weights, and nowhere else
    assert TFLITE.count(length) == 1
    begin = TFLITE.index(length) + 4
    weights = TFLITE[begin : begin + size]
    return TFLITE[:begin] + weights[-HIDDEN:] + weights[:-HIDDEN] + TFLITE[begin + size :]


def vectors_of(model: bytes) -> SelfTest:
    """Self-test vectors as packaging makes them: by the model itself."""
    interpreter = open_interpreter(model)
    manifest = build().manifest
    given = [quantized_input(manifest, image(seed)) for seed in range(4)]
    outputs = tuple(interpreter.invoke(x).tobytes() for x in given)
    return SelfTest(tuple(x.tobytes() for x in given), outputs, 2)


@dataclass
class Skewed:
    """The wall clock, which somebody sets wrong."""

    offset: float = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset


class RealFleet:
    """A workspace, its control plane on the broker at ``url``, and agents that connect to ``device_url``."""

    def __init__(
        self,
        root: Path,
        url: str,
        devices: int,
        device_url: str | None = None,
        labels: bool = True,
        window: int = 10,
        drift: DriftSettings | None = None,
        **rollout: object,
    ) -> None:
        settings = Settings(
            FLEET,
            url,
            report=ReportSettings(window, 0, labels=labels),
            drift=drift or DriftSettings(),
            rollout=RolloutSettings(**rollout),  # type: ignore[arg-type]
        )
        self.workspace: Workspace = init_workspace(root, settings)
        self.url, self._device_url = url, device_url or url
        self.clock = Skewed()
        self.told: list[str] = []
        self.packages: dict[bytes, Package] = {}
        self.agents: dict[str, Agent] = {}
        self.ran: dict[str, set[int]] = {}
        self._next = 0
        self.plane = self.start_plane()
        self.names = [f"cam-{number:02d}" for number in range(devices)]
        self.paths = {name: enroll_device(self.workspace, name, {}, None, 0) for name in self.names}
        for name in self.names:
            self.start(name)

    def start_plane(self) -> ControlPlane:
        """A control plane; a second one stands for a restart."""
        transport = MqttTransport(self.url, f"control-{len(self.told)}")
        plane = ControlPlane(self.workspace, transport, self.told.append, self.clock, steady=time.monotonic)
        plane.start()
        return plane

    def start(self, name: str) -> Agent:
        """Start a device's agent."""
        config = replace(load_config(self.paths[name]), broker=self._device_url)
        self.agents[name] = Agent(config)
        return self.agents[name]

    def stop(self, name: str) -> None:
        """End a device's agent in order."""
        self.agents.pop(name).close()

    def release(
        self,
        version: int,
        tflite: bytes = TFLITE,
        model: str = MODEL,
        change: Callable[[Manifest], Manifest] = lambda m: m,
    ) -> Package:
        """Build, sign and register a version."""
        keys = [self.workspace.key(Role.RELEASE)]
        made = build(
            version, model=model, tflite=tflite, vectors=vectors_of(tflite), keys=keys, chunk_bytes=1024,
            change=change,
        )  # fmt: skip
        for blob in [*made.blobs.values(), *made.chunks.values(), made.envelope]:
            self.workspace.blobs.put(blob)
        with self.workspace.registry.session() as session:
            add_version(session, made)
        self.packages[made.digest] = made
        return made

    def roll_out(self, version: int, model: str = MODEL, **plan: object) -> int:
        """Start a rollout."""
        made = plan_of(self.workspace, **{"stages": "100%", **plan})  # type: ignore[arg-type]
        return int(start_in_workspace(self.workspace, f"{model}@{version}", made, self.clock)["rollout"])

    def turn(self, predictions: int = 3) -> None:
        """Everybody does what is due: inputs, truths, network, decisions."""
        for name, agent in list(self.agents.items()):
            agent.poll()
            for model in list(agent._models):
                for _ in range(predictions if agent.ready(model) else 0):
                    self._next += 1
                    raw, truth = inputs()[self._next % INPUTS]
                    said = agent.predict(raw, model=model)
                    if model == MODEL:
                        self.ran.setdefault(name, set()).add(said.model_version)
                    agent.feedback(said.id, truth)
        self.plane.step(0.002)

    def until(self, done: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Turns, until it is so."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, self.words()
            self.turn()

    def complete(self, version: int, **plan: object) -> int:
        """Roll a version out to its end."""
        number = self.roll_out(version, **plan)  # type: ignore[arg-type]
        self.until(lambda: self.state(number) == "COMPLETED")
        return number

    def row(self, rollout: int) -> Rollout:
        """The row of a rollout."""
        with self.workspace.registry.reading() as session:
            return session.get_one(Rollout, rollout)

    def state(self, rollout: int) -> str:
        """The state of a rollout."""
        return self.row(rollout).state

    def facts(self, rollout: int) -> dict:
        """What ``rollout show`` says."""
        return rollout_facts(self.workspace, rollout)

    def offered(self, rollout: int) -> set[str]:
        """The devices that a rollout ever offered its version."""
        with self.workspace.registry.reading() as session:
            rows = session.exec(select(Deployment).where(Deployment.rollout_id == rollout)).all()
            return {row.device_id for row in rows if row.offered_at is not None}

    def actors(self, rollout: int) -> list[str]:
        """Who did something to a rollout, in order."""
        with self.workspace.registry.reading() as session:
            return [entry.actor for entry in entries(session, f"rollout {rollout}")]

    def events(self, name: str) -> list[DeviceEvent]:
        """What a device said of its updates."""
        with self.workspace.registry.reading() as session:
            return list(session.exec(select(DeviceEvent).where(DeviceEvent.device_id == name)))

    def confirmed(self, package: Package) -> set[str]:
        """The devices that run a package, as they know it themselves."""
        name = package.manifest.model
        return {
            device
            for device, agent in self.agents.items()
            if name in agent._models and agent._models[name].host.state.confirmed == package.digest
        }

    def ever_ran(self, version: int) -> set[str]:
        """The devices that ever answered with a version."""
        return {name for name, versions in self.ran.items() if version in versions}

    def check_slots(self) -> None:
        """No slot of any device holds a byte that no digest vouches for."""
        for name in self.names:
            for slot in self.paths[name].parent.glob("data/models/*/slot-*"):
                if not (slot / MANIFEST).exists():
                    continue
                digest = hashlib.sha256((slot / MANIFEST).read_bytes()).digest()
                manifest = self.packages[digest].manifest
                for ref in (manifest.artifacts[0].blob, manifest.observe, manifest.vectors):
                    assert hashlib.sha256((slot / ref.hex).read_bytes()).digest() == ref.sha256

    def chunks(self) -> set[str]:
        """The blobs of which the broker retains a chunk."""
        ears = MqttTransport(self.url, "ears")
        ears.connect(10)
        ears.subscribe(f"{topics.ROOT}/{FLEET}/blob/#")
        found = set()
        while (incoming := ears.receive(0.5)) is not None:
            if isinstance(incoming, Received) and incoming.payload:
                found.add(incoming.topic.split("/")[-2])
        ears.close()
        return found

    def words(self) -> str:
        """Where everybody is, for a test that fails."""
        lines = list(self.told[-5:])
        with self.workspace.registry.reading() as session:
            lines += [f"rollout {row.id}: {row.state} {row.reason}" for row in session.exec(select(Rollout))]
            for said in session.exec(select(DeviceModel)):
                lines.append(f"{said.device_id}: {said.lifecycle} {said.reason or ''}")
        return "\n".join(lines)

    def close(self) -> None:
        """End all of it."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.stop, list(self.agents)))
        self.plane.close()
        self.workspace.registry.close()
