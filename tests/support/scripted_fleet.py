"""A control plane with devices that follow a script: they say what an agent would, in no time and without a model.

What the real agent does is for ``tests/device_agent``; here the control side is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session, select

from edgeops.control.devices import enroll_device
from edgeops.control.rollout_orders import order_in_workspace, plan_of, start_in_workspace
from edgeops.control.rollout_views import rollout_facts
from edgeops.control.serve import ControlPlane
from edgeops.control.settings import DriftSettings, ReportSettings, RolloutSettings, Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core import topics
from edgeops.core.codec import Message, decode, encode
from edgeops.core.manifest import Artifact, Manifest
from edgeops.core.messages import (
    Desired,
    Labels,
    ModelState,
    PredictionId,
    Presence,
    ShadowCounts,
    State,
    Truth,
)
from edgeops.core.signing import Role, unverified_payload
from edgeops.core.topics import Kind
from edgeops.core.transport import MemoryBroker
from edgeops.fleet.audit import entries
from edgeops.registry.tables import AuditEntry, Deployment, Rollout
from support.packages import FLEET, MODEL, Clock, Package, build
from support.registry import add_version, report

REPORTED = 10


@dataclass
class Behaviour:
    """How a version behaves on a device: ``accuracy`` of its labels (None: none come back), in 0..1."""

    ends: str = "CONFIRMED"
    reason: str | None = None
    accuracy: float | None = None
    confidence: int = 12  # the bin that all predictions fall into
    latency: int = 3
    errors: int = 0
    disagrees: float | None = None  # the share of shadowed inputs; None: no shadow run
    falls_silent: bool = False


@dataclass
class ScriptedDevice:
    """One device; ``behaviour`` by the version's number."""

    fleet: ScriptedFleet
    name: str
    target: str = "linux"
    takes: tuple[str, ...] = ("tflite",)
    runtime: str = "litert 2.1"
    free_bytes: int = 10**9
    arena_limit: int = 0
    says_artifact: bool = False
    online: bool = True
    confirmed: bytes | None = None
    previous: bytes | None = None
    generation: int = 0
    lifecycle: str = "IDLE"
    reason: str | None = None
    attempt: int = 0
    refused: bytes | None = None
    sequence: int = 0
    shadow: ShadowCounts | None = None
    candidate: bytes | None = None
    seen: list[bytes] = field(default_factory=list)

    def turn(self) -> None:
        """Take the desired state, report a window, send its labels."""
        if not self.online:
            return
        desired = self.fleet.desired(self.name)
        if desired is not None and desired.generation > self.generation:
            self._take(desired)
        if self.candidate is not None:
            self._shadow()
        elif self.confirmed is not None:
            self._report()

    def _take(self, desired: Desired) -> None:
        self.generation = desired.generation
        wanted = desired.models.get(MODEL)
        if wanted is None or wanted.manifest is None or wanted.manifest == self.confirmed:
            self.candidate = None
            self.lifecycle = "CONFIRMED" if self.confirmed else "IDLE"
        elif wanted.manifest == self.previous:
            self.confirmed, self.previous, self.lifecycle = self.previous, self.confirmed, "CONFIRMED"
            self.candidate = None
        elif wanted.manifest != self.refused or wanted.attempt > self.attempt:
            self.seen.append(wanted.manifest)
            self._try(wanted.manifest, wanted.shadow_inferences)
        self.attempt = wanted.attempt if wanted else 0
        self.say_state()

    def _try(self, manifest: bytes, shadow: int) -> None:
        self.shadow = None
        how = self.fleet.behaviour(manifest)
        needed = self._artifact(manifest).arena_bytes
        if 0 < self.arena_limit < needed:
            self.lifecycle = "REJECTED"
            self.reason = f"{needed} bytes of arena are needed, {self.arena_limit} are there"
            self.refused = manifest
        elif how.ends != "CONFIRMED":
            self.lifecycle, self.reason = how.ends, how.reason
            self.refused = manifest if how.ends != "FAILED" else None
        elif shadow and self.confirmed:
            self.candidate, self.lifecycle = manifest, "SHADOWING"
            self.shadow = ShadowCounts(0, 0, 0, 0, 0)
        else:
            self._confirm(manifest)

    def _shadow(self) -> None:
        assert self.candidate is not None and self.shadow is not None
        seen = self.shadow.inferences + 10
        share = self.fleet.behaviour(self.candidate).disagrees or 0.0
        self.shadow = ShadowCounts(seen, round(seen * share), 0, seen * 50, seen * 50)
        if seen >= 200:
            self._confirm(self.candidate)
        self.say_state()

    def _confirm(self, manifest: bytes) -> None:
        self.previous, self.confirmed, self.candidate = self.confirmed, manifest, None
        self.lifecycle, self.reason = "CONFIRMED", None

    def _artifact(self, manifest: bytes) -> Artifact:
        offered = self.fleet.packages[manifest].manifest
        found = [offered.artifact(runtime, self.target) for runtime in self.takes]
        return next(artifact for artifact in found if artifact is not None)

    def say_state(self) -> None:
        """The retained state."""
        said = ModelState(
            lifecycle=self.lifecycle,
            generation=self.generation,
            confirmed=self.confirmed,
            previous=self.previous,
            candidate=self.candidate,
            reason=self.reason,
            shadow=self.shadow,
            artifact=self._artifact(self.confirmed).blob.sha256
            if self.says_artifact and self.confirmed
            else None,
            attempts=3 if self.lifecycle == "FAILED" else 0,
        )
        state = State(
            1, 1, "0.1.0", self.runtime, self.target, self.free_bytes, {MODEL: said}, takes=self.takes
        )
        self.fleet.say(self.name, Kind.STATE, state)

    def say_online(self) -> None:
        """It is there."""
        self.fleet.say(self.name, Kind.PRESENCE, Presence(1, True))
        self.say_state()

    def _report(self) -> None:
        assert self.confirmed is not None
        how = self.fleet.behaviour(self.confirmed)
        if how.falls_silent:
            return
        self.sequence += 1
        confidence = tuple(REPORTED if b == how.confidence else 0 for b in range(16))
        latency = tuple(REPORTED if b == how.latency else 0 for b in range(16))
        said = report(
            self.sequence,
            generation=self.generation,
            package=self.fleet.packages[self.confirmed],
            errors=how.errors,
            confidence=confidence,
            latency=latency,
        )
        self.fleet.say(self.name, Kind.REPORT, said)
        if how.accuracy is not None:
            truths = []
            for index in range(REPORTED):
                right = index < round(how.accuracy * REPORTED)
                made = PredictionId(self.confirmed[:8], 1, self.sequence, index, 0, 12)
                truths.append(Truth(made.pack(), 0 if right else 1))
            self.fleet.say(self.name, Kind.LABEL, Labels(MODEL, tuple(truths)))


class ScriptedFleet:
    """A workspace, its control plane on a broker in memory, and its devices."""

    def __init__(self, root: Path, devices: int = 4, **rollout: object) -> None:
        settings = Settings(
            FLEET,
            report=ReportSettings(REPORTED, 0),
            # what they count is always the same: not to be judged, also not four windows together
            drift=DriftSettings(min_inputs=10 * REPORTED),
            rollout=RolloutSettings(**rollout),  # type: ignore[arg-type]
        )
        self.workspace: Workspace = init_workspace(root, settings)
        self.clock, self.broker, self.told = Clock(), MemoryBroker(), []
        self.packages: dict[bytes, Package] = {}
        self.behaviours: dict[int, Behaviour] = {}
        self.devices: dict[str, ScriptedDevice] = {}
        self.steady: Callable[[], float] | None = None
        self.plane = self.start_plane()
        for number in range(devices):
            self.join(f"cam-{number:02d}")

    def watch_clock(self, steady: Callable[[], float]) -> None:
        """Start the control plane anew, with a clock that nobody sets beside the one that somebody may."""
        self.plane.close()
        self.steady = steady
        self.plane = self.start_plane()

    def start_plane(self) -> ControlPlane:
        """A control plane; a second one stands for a restart."""
        client = self.broker.client()
        plane = ControlPlane(self.workspace, client, self.told.append, self.clock, steady=self.steady)
        plane.start()
        return plane

    def join(self, name: str, online: bool = True, **attributes: str) -> ScriptedDevice:
        """Enrol a device and let it appear."""
        enroll_device(self.workspace, name, attributes, None, 100)
        device = self.devices[name] = ScriptedDevice(self, name, online=online)
        if online:
            device.say_online()
        return device

    def release(
        self,
        version: int,
        behaviour: Behaviour | None = None,
        change: Callable[[Manifest], Manifest] = lambda m: m,
        **more: object,
    ) -> Package:
        """Build and register a version, and say how it behaves."""
        keys = [self.workspace.key(Role.RELEASE)]
        package = build(version, keys=keys, change=change, **more)  # type: ignore[arg-type]
        for blob in [*package.blobs.values(), *package.chunks.values(), package.envelope]:
            self.workspace.blobs.put(blob)
        with self.workspace.registry.session() as session:
            add_version(session, package)
        self.packages[package.digest] = package
        self.behaviours[version] = behaviour or Behaviour()
        return package

    def behaviour(self, manifest: bytes) -> Behaviour:
        """How the version of a manifest behaves."""
        return self.behaviours[self.packages[manifest].manifest.version]

    def start(self, version: int, **plan: object) -> int:
        """Start a rollout."""
        made = plan_of(self.workspace, **plan)  # type: ignore[arg-type]
        return int(start_in_workspace(self.workspace, f"{MODEL}@{version}", made, self.clock)["rollout"])

    def order(self, rollout: int, command: str, reason: str | None = None) -> None:
        """Ask something of a rollout."""
        order_in_workspace(self.workspace, rollout, command, reason, self.clock)  # type: ignore[arg-type]

    def turn(self, times: int = 1, seconds: float = 1.0) -> None:
        """Time passes: everybody does what is due."""
        for _ in range(times):
            self.clock.sleep(seconds)
            for device in self.devices.values():
                device.turn()
            self.plane.step(0.0)

    def run(self, version: int, **plan: object) -> int:
        """Roll a version out to its end."""
        number = self.start(version, **{"stages": "100%", **plan})
        self.turn(6)
        assert self.state(number) == "COMPLETED", self.facts(number)
        return number

    def say(self, device: str, kind: Kind, message: Message) -> None:
        """What a device publishes."""
        retain = kind in topics.RETAINED_BY_DEVICE
        self.broker.deliver(topics.device(FLEET, device, kind), encode(message), retain)

    def desired(self, device: str) -> Desired | None:
        """What the broker retains for a device."""
        envelope = self.broker.retained.get(topics.device(FLEET, device, Kind.DESIRED))
        return decode(Desired, unverified_payload(envelope)) if envelope else None

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

    def deployments(self, rollout: int) -> dict[str, str]:
        """The state of each device in a rollout."""
        with self.workspace.registry.reading() as session:
            rows = session.exec(select(Deployment).where(Deployment.rollout_id == rollout)).all()
            return {row.device_id: row.state for row in rows}

    def runs(self, version: int) -> set[str]:
        """The devices that run a version now."""
        return {
            name
            for name, device in self.devices.items()
            if device.confirmed is not None and self.packages[device.confirmed].manifest.version == version
        }

    def ever_ran(self, package: Package) -> set[str]:
        """The devices that were ever asked to take a version."""
        return {name for name, device in self.devices.items() if package.digest in device.seen}

    def audit(self, rollout: int | None = None) -> list[AuditEntry]:
        """The audit trail."""
        with Session(self.workspace.registry._engine) as session:
            return list(entries(session, f"rollout {rollout}" if rollout else None))

    def close(self) -> None:
        """Stop the control plane."""
        self.plane.close()
        self.workspace.registry.close()
