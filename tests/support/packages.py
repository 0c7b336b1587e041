"""Signed packages of the tiny model in ``tests/vectors/inference``, and a control side made of one broker.

``build()`` gives a whole package, of which every part can be spoilt; ``Control`` publishes packages and
desired states to a ``MemoryBroker`` and reads what a device says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from device_agent.agent import Agent
from device_agent.config import AgentConfig
from edgeops.core import topics
from edgeops.core.codec import Message, decode, encode
from edgeops.core.features.steps import quantized_input, scale_step
from edgeops.core.input_features import FEATURES, extract
from edgeops.core.manifest import Artifact, BlobRef, Manifest, TensorContract, Trial, blob_ref, seal
from edgeops.core.messages import (
    CapturePolicy,
    Desired,
    DesiredModel,
    Event,
    Labels,
    Presence,
    Receipt,
    Report,
    ReportPolicy,
    Sample,
    State,
)
from edgeops.core.observe import ObservePlan, plan_feature
from edgeops.core.selftest import SelfTest
from edgeops.core.signing import Role, TrustRoot, key_id, public_bytes, sign, sign_root
from edgeops.core.tensors import TensorSpec
from edgeops.core.topics import Kind
from edgeops.core.transport import MemoryBroker, MemoryTransport, Received, Will

M = TypeVar("M", bound=Message)

FLEET = "plant"
DEVICE = "cam-01"
MODEL = "tiny"
LABELS = ("zero", "one", "two", "three", "four")
CHUNK_BYTES = 512
TRIAL = Trial(inferences=5, max_errors=1)
TEN_A_WINDOW = ReportPolicy(window_inferences=10, interval_ms=0, observe_permille=1000)

_VECTORS = Path(__file__).parents[1] / "vectors" / "inference"
_CASES = json.loads((_VECTORS / "small_int8.json").read_text())
TFLITE = (_VECTORS / "small_int8.tflite").read_bytes()


def key(name: str) -> Ed25519PrivateKey:
    """A key that depends on its name only."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


KEYS = {role: key(role.value) for role in Role}


def trust_root(fleet: str = FLEET, version: int = 1, **other: Ed25519PrivateKey) -> TrustRoot:
    """A root with one key a role; ``release=key("new")`` replaces one."""
    keys = {role.value: other.get(role.value, KEYS[role]) for role in Role}
    publics = {name: public_bytes(private) for name, private in keys.items()}
    return TrustRoot(
        fleet,
        version,
        1,
        {key_id(public): public for public in publics.values()},
        {name: (key_id(public),) for name, public in publics.items()},
    )


def spec(side: str) -> TensorSpec:
    """The tiny model's input or output tensor."""
    values = _CASES[side]
    return TensorSpec(tuple(values["shape"]), values["dtype"], values["scale"], values["zero_point"])


def image(seed: int = 0) -> NDArray[np.float32]:
    """A raw input (8, 8) between 0 and 16."""
    return np.random.default_rng(seed).uniform(0, 16, (8, 8)).astype(np.float32)


@cache
def observe_plan() -> ObservePlan:
    """Bins over random images, as training would make them."""
    contract = TensorContract.of(spec("input"), "level")
    batch = np.stack([quantized_input(_bare(contract), image(seed)) for seed in range(200)])
    values = extract(FEATURES, batch)
    planned = tuple(plan_feature(name, values[:, column]) for column, name in enumerate(FEATURES))
    return ObservePlan(planned, (0,) * 16, (1,) * len(LABELS), ((0, 0),) * 16)


def self_test(flip: bool = False) -> SelfTest:
    """The vectors' first four cases; ``flip`` makes them say what the model does not."""
    cases = [
        tuple(np.array(case[side], np.int8).tobytes() for side in ("input", "output"))
        for case in _CASES["cases"][:4]
    ]
    outputs = tuple(output[::-1] if flip else output for _, output in cases)
    return SelfTest(tuple(given for given, _ in cases), outputs, _CASES["tolerance"])


@dataclass(frozen=True)
class Package:
    """A manifest, its envelope, and every blob that it names; ``chunks`` is what a broker would hold."""

    manifest: Manifest
    envelope: bytes
    blobs: dict[str, bytes]
    chunks: dict[tuple[str, int], bytes]

    @property
    def digest(self) -> bytes:
        """The manifest digest: the name of the package."""
        return hashlib.sha256(self.envelope).digest()


def build(
    version: int = 1,
    *,
    model: str = MODEL,
    security_counter: int = 1,
    trial: Trial = TRIAL,
    tflite: bytes = TFLITE,
    execution: tuple[bytes, int] | None = None,
    plan: ObservePlan | None = None,
    vectors: SelfTest | None = None,
    keys: Sequence[Ed25519PrivateKey] = (KEYS[Role.RELEASE],),
    chunk_bytes: int = CHUNK_BYTES,
    change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
) -> Package:
    """A package of the tiny model; ``change`` alters the manifest before it is signed.

    ``execution`` is an execution plan and its arena in bytes, for any target.
    """
    blobs: dict[str, bytes] = {}
    chunks: dict[tuple[str, int], bytes] = {}

    def add(blob: bytes) -> BlobRef:
        ref, listing = blob_ref(blob, chunk_bytes)
        blobs[ref.hex] = blob
        for index in range(ref.chunks):
            chunks[(ref.hex, index)] = blob[index * chunk_bytes : (index + 1) * chunk_bytes]
        if ref.chunk_list is not None and listing is not None:
            chunks[(ref.chunk_list.hex(), 0)] = listing
        return ref

    manifest = replace(
        _bare(TensorContract.of(spec("input"), "level")),
        model=model,
        version=version,
        security_counter=security_counter,
        artifacts=(
            Artifact("tflite", "linux", add(tflite)),
            *([Artifact("plan", "any", add(execution[0]), execution[1])] if execution else []),
        ),
        observe=add(encode(plan or observe_plan())),
        vectors=add(encode(vectors or self_test())),
        trial=trial,
    )
    manifest = change(manifest)
    envelope = seal(manifest, keys)
    chunks[(hashlib.sha256(envelope).hexdigest(), 0)] = envelope
    return Package(manifest, envelope, blobs, chunks)


def _bare(contract: TensorContract) -> Manifest:
    nothing = BlobRef(bytes(32), 0, CHUNK_BYTES)
    return Manifest(
        model=MODEL,
        version=1,
        security_counter=1,
        min_agent=(0, 1, 0),
        artifacts=(),
        input=contract,
        output=TensorContract.of(spec("output"), "score"),
        output_kind="classes",
        labels=LABELS,
        preprocessing=(scale_step(1 / 8, -1.0),),
        observe=nothing,
        vectors=nothing,
        trial=TRIAL,
    )


@dataclass
class Control:
    """The control side of one device, on a broker in memory: publishes, and remembers what came."""

    broker: MemoryBroker = field(default_factory=MemoryBroker)
    device: str = DEVICE
    generation: int = 0
    desired: dict[str, DesiredModel] = field(default_factory=dict)
    policy: ReportPolicy = TEN_A_WINDOW

    def __post_init__(self) -> None:
        """Listen to everything of the fleet."""
        self._ears = self.broker.client()
        self._ears.connect(1.0)
        for kind in (Kind.PRESENCE, Kind.STATE, Kind.EVENT, Kind.REPORT, Kind.LABEL, Kind.SAMPLE):
            self._ears.subscribe(topics.every_device(FLEET, kind))
        self._heard: list[tuple[Kind, bytes]] = []

    def publish(self, package: Package, *, without: set[tuple[str, int]] | None = None) -> None:
        """Retain the chunks of a package, but for some."""
        for chunk, data in package.chunks.items():
            if chunk not in (without or set()):
                self.put_chunk(chunk, data)

    def put_chunk(self, chunk: tuple[str, int], data: bytes) -> None:
        """Retain one chunk."""
        self._ears.publish(topics.chunk(FLEET, *chunk), data, retain=True)

    def desire(
        self,
        package: Package | None,
        *,
        capture: CapturePolicy | None = None,
        labels: bool = False,
        key: Ed25519PrivateKey = KEYS[Role.DEPLOY],
        **other: object,
    ) -> bytes:
        """Publish a desired state of a new generation that names this package; returns the envelope."""
        self.generation += 1
        wanted = DesiredModel(
            package.digest if package else None,
            len(package.envelope) if package else 0,
            self.policy,
            capture,
            labels,
        )
        name = package.manifest.model if package else MODEL
        document = Desired(FLEET, self.device, self.generation, {name: wanted})
        envelope = sign(encode(replace(document, **other)), Desired.PURPOSE, [key])  # type: ignore[arg-type]
        self.send(Kind.DESIRED, envelope)
        return envelope

    def send(self, kind: Kind, payload: bytes) -> None:
        """Retain something on one of the device's topics."""
        self._ears.publish(topics.device(FLEET, self.device, kind), payload, retain=True)

    def trust(self, root: TrustRoot, *keys: Ed25519PrivateKey) -> None:
        """Retain a trust root."""
        self._ears.publish(topics.trust(FLEET), sign_root(root, keys), retain=True)

    def receipt(self, boot: int, sequence: int, model: str = MODEL) -> None:
        """Say that all reports up to ``sequence`` are committed."""
        self.send(Kind.RECEIPT, encode(Receipt(boot, {model: sequence})))

    def heard(self, kind: Kind) -> list[bytes]:
        """The payloads of one kind, in order, since ``forget``."""
        while (incoming := self._ears.receive(0.0)) is not None:
            if isinstance(incoming, Received):
                topic = topics.parse(incoming.topic)
                assert isinstance(topic, topics.DeviceTopic)
                self._heard.append((topic.kind, incoming.payload))
        return [payload for found, payload in self._heard if found is kind]

    def forget(self) -> None:
        """Forget what was heard."""
        self.heard(Kind.STATE)
        self._heard.clear()

    def reports(self) -> list[Report]:
        """The reports that came, also those that came twice."""
        return self._decoded(Kind.REPORT, Report)

    def events(self) -> list[Event]:
        """The lifecycle transitions that came."""
        return self._decoded(Kind.EVENT, Event)

    def steps(self) -> list[str]:
        """The lifecycle states that the device went to, in order."""
        return [event.target for event in self.events()]

    def labels(self) -> list[Labels]:
        """The truths that came."""
        return self._decoded(Kind.LABEL, Labels)

    def samples(self) -> list[Sample]:
        """The captured inputs that came."""
        return self._decoded(Kind.SAMPLE, Sample)

    def presence(self) -> list[Presence]:
        """The presences that came."""
        return self._decoded(Kind.PRESENCE, Presence)

    def state(self) -> State:
        """The state that the broker holds."""
        return decode(State, self.broker.retained[topics.device(FLEET, self.device, Kind.STATE)])

    def _decoded(self, kind: Kind, message: type[M]) -> list[M]:
        return [decode(message, payload) for payload in self.heard(kind)]


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now: float = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def enrol(folder: Path, device: str = DEVICE, **other: object) -> AgentConfig:
    """The configuration of a device with its trust root on disk, as an enrolment leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    trust = folder / "trust.cose"
    trust.write_bytes(sign_root(trust_root(), [KEYS[Role.ROOT]]))
    config = AgentConfig(FLEET, device, "mqtt://127.0.0.1:1", folder / "data", trust)
    return replace(config, **other)  # type: ignore[arg-type]


@dataclass
class Bench:
    """One device on a bench: its disk, its broker, its clock; the agent can be cut off and started again."""

    config: AgentConfig
    control: Control = field(default_factory=Control)
    clock: Clock = field(default_factory=Clock)
    log: list[str] = field(default_factory=list)
    transport: MemoryTransport | None = None

    def start(self) -> Agent:
        """Start the agent, as after a reboot."""

        def connect(will: Presence) -> MemoryTransport:
            topic = topics.device(FLEET, self.config.device, Kind.PRESENCE)
            self.transport = self.control.broker.client(Will(topic, encode(will)))
            return self.transport

        return Agent(self.config, connect, self.clock, self.log.append)

    def cut(self) -> None:
        """A power cut: the agent says nothing any more, the broker publishes its will."""
        assert self.transport is not None
        self.transport.vanish()
        self.clock.sleep(1.0)

    def wait(self, agent: Agent, seconds: float) -> None:
        """Let the agent poll for so long, in steps of a second at most."""
        while seconds > 0:
            self.clock.sleep(min(seconds, 1.0))
            seconds -= 1.0
            agent.poll()


def poll_until_quiet(agent: Agent, turns: int = 40) -> None:
    """Poll until everything that was retained has come, one window of chunks after the other."""
    for _ in range(turns):
        agent.poll()
