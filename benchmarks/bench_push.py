"""What a push costs: 200 agents, a model of 100 KB, Mosquitto, one machine.

The agents are real ones, in a few processes: they download to a real disk, verify, test themselves with LiteRT and run
their trial. Beside them, as many bare paho clients take the same retained bytes from the same broker and throw them
away: what the transport alone costs on this machine.
"""

from __future__ import annotations

import gc
import importlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.broker import PrivateBroker
from edgeops.core import topics
from edgeops.core.messages import ReportPolicy
from edgeops.core.signing import Role
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.publisher import Publisher
from edgeops.fleet.transfers import Ways
from edgeops.mqtt import MqttTransport
from edgeops.registry.blobs import BlobStore
from edgeops.registry.store import open_registry
from edgeops.registry.tables import DesiredState

AGENTS = 200
PROCESSES = 2
MODEL_BYTES = 100_000
CHUNK_BYTES = 4096
PATIENCE_S = 240.0
PAUSE_S = 0.005  # between two turns of a process, whose idle agents would else take time from the busy ones
TESTS = Path(__file__).parents[1] / "tests"
ROUNDS = 3  # of the bare subscribers: the median


def rows() -> list[dict[str, Any]]:
    """Seconds and bytes of one push to everybody, and of taking it back."""
    with (
        tempfile.TemporaryDirectory(prefix="edgeops-bench-") as folder,
        PrivateBroker(kind="mosquitto") as broker,
        control(broker.url, Path(folder)) as side,
    ):
        with workers("agents", broker.url, folder) as agents:
            side.push(side.first)
            agents.wait("CONFIRMED")
            side.transport.sent.clear()
            began = side.push(side.second)
            verified = agents.wait("STAGED", began) - began
            confirmed = agents.wait("CONFIRMED", began) - began
            blob, everything = side.uplink(side.second)
            began = side.push(side.first)
            back = agents.wait("CONFIRMED", began) - began
        bare = sorted(side.bare(broker.url, folder) for _ in range(ROUNDS))
    peer = {
        "name": "bare paho subscribers",
        "version": metadata.version("paho-mqtt"),
        "value": bare[ROUNDS // 2],
    }
    each = ", ".join(f"{seconds:.2f}" for seconds in bare)
    what = (
        f"measured, {AGENTS} agents in {PROCESSES} processes, {MODEL_BYTES} bytes in chunks of {CHUNK_BYTES}"
    )

    def row(
        name: str, value: float, unit: str, note: str, other: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return {"name": name, "value": value, "unit": unit, "better": "lower", "peer": other, "note": note}

    return [
        row(
            "push_verified_ratio",
            verified / bare[ROUNDS // 2],
            "x",
            f"{what}: the last VERIFIED after {verified:.2f} s, bare subscribers {each} s",
            peer,
        ),
        row("push_verified_seconds", verified, "s", f"{what}; fsync on the disk of the temporary folder"),
        row("push_confirmed_seconds", confirmed, "s", f"{what}, with a trial of 5 inferences each"),
        row(
            "push_uplink_ratio",
            blob / MODEL_BYTES,
            "x",
            f"{blob} bytes of the blob sent by the control side to serve {AGENTS} devices",
        ),
        row(
            "push_uplink_all_ratio",
            everything / MODEL_BYTES,
            "x",
            f"{everything} bytes with manifest and chunk list; desired states are each device's own",
        ),
        row("rollback_seconds", back, "s", f"{what}: from the decision to the last CONFIRMED"),
    ]


class Control:
    """The publishing part of a control plane: registry, store, writer and publisher."""

    def __init__(self, url: str, folder: Path) -> None:
        self.support: Any = support()
        self.blobs = BlobStore(folder / "blobs")
        self.registry = open_registry(folder / "registry.db", create=True)
        self.first, self.second = (self._package(version) for version in (1, 2))
        keys, fleet = self.support.KEYS, self.support.FLEET
        self.transport = _Counting(url)
        self.publisher = Publisher(fleet, self.transport, self.blobs)
        policy = ReportPolicy(0, 60_000, 1000)
        self.writer = DesiredWriter(fleet, keys[Role.DEPLOY], policy, Ways(fleet, self.blobs))
        with self.registry.session() as session:
            importlib.import_module("support.registry").add_devices(session, *map(name_of, range(AGENTS)))
        self.transport.connect(10.0)
        self.settle()

    def uplink(self, package: Any) -> tuple[int, int]:
        """The bytes of the model's chunks, and of all chunks, that were published."""
        sent = self.transport.sent
        return sent[package.manifest.artifacts[0].blob.hex], sum(sent.values())

    def push(self, package: Any) -> float:
        """Make it the desired version of every device and publish; when that began."""
        began = time.monotonic()
        with self.registry.session() as session:
            for number in range(AGENTS):
                self._desire(session, name_of(number), package)
        self.settle()
        return began

    def settle(self) -> None:
        """Publish until the broker has everything."""
        unpublished = select(DesiredState).where(col(DesiredState.published).is_(False))
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            while (incoming := self.transport.receive(0.01)) is not None:
                self.publisher.take(incoming)
            with self.registry.session() as session:
                self.publisher.desired(session, time.time())
                if session.exec(unpublished).first() is None:
                    return
        raise RuntimeError("the broker did not take what was published within 10 s")

    def bare(self, url: str, folder: str) -> float:
        """Seconds in which as many bare subscribers get the bytes that stand on the broker."""
        with workers("subscribers", url, folder, self.second) as subscribers:
            began = time.monotonic()
            subscribers.go()
            return subscribers.wait("DONE", began) - began

    def close(self) -> None:
        """Disconnect."""
        self.transport.close()
        self.registry.close()

    def _desire(self, session: Session, device: str, package: Any) -> None:
        digest, size = package.digest.hex(), len(package.envelope)
        self.writer.change(session, device, package.manifest.model, manifest=digest, manifest_bytes=size)

    def _package(self, version: int) -> Any:
        rng = importlib.import_module("numpy").random.default_rng(version)
        # an interpreter reads what its flatbuffer's tables name, and not what follows
        tflite = self.support.TFLITE
        tflite += rng.bytes(MODEL_BYTES - len(tflite))
        package = self.support.build(version, tflite=tflite, chunk_bytes=CHUNK_BYTES)
        for blob in [*package.blobs.values(), *package.chunks.values(), package.envelope]:
            self.blobs.put(blob)
        return package


class _Counting(MqttTransport):
    """Counts the bytes of chunks by their blob."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "edgeops-bench-control")
        self.sent: Counter[str] = Counter()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        if "/blob/" in topic:
            self.sent[topic.split("/")[-2]] += len(payload)
        super().publish(topic, payload, retain=retain)


class Workers:
    """Processes with a share of the clients each; they tell what happened when, a line of JSON each."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        for process in processes:
            threading.Thread(target=self._read, args=(process,), daemon=True).start()
        self.wait("READY")

    def go(self) -> None:
        """Let them begin."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def wait(self, state: str, since: float = 0.0) -> float:
        """When the last of all clients came to this state; what was before ``since`` is forgotten."""
        left, last = set(range(AGENTS)), 0.0
        kept = []
        deadline = time.monotonic() + PATIENCE_S
        while left:
            try:
                line = self._lines.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise RuntimeError(f"{len(left)} of {AGENTS} never came to {state}") from None
            if "failed" in line:
                raise RuntimeError(line["failed"])
            if line["at"] < since:
                continue
            if line["state"] == state:
                left.discard(line["client"])
                last = max(last, line["at"])
            else:
                kept.append(line)
        for line in kept:
            self._lines.put(line)
        return last

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(json.loads(line))


@contextmanager
def control(url: str, folder: Path) -> Iterator[Control]:
    """The control side, closed at the end."""
    side = Control(url, folder)
    try:
        yield side
    finally:
        side.close()


@contextmanager
def workers(role: str, url: str, folder: str, package: Any = None) -> Iterator[Workers]:
    """Start them, wait until all clients are connected, end them."""
    filters = sorted({sha256 for sha256, _ in package.chunks}) if package is not None else []
    size = sum(len(data) for data in package.chunks.values()) if package is not None else 0
    share = AGENTS // PROCESSES
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                __file__,
                role,
                url,
                folder,
                str(number * share),
                str(share),
                str(size),
                *filters,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    try:
        yield Workers(processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def support() -> Any:
    """The packages that the tests build: keys, a trust root, a tiny model and its manifest."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    return importlib.import_module("support.packages")


def name_of(number: int) -> str:
    """The name of a device."""
    return f"agent-{number:03}"


def tell(client: int, state: str) -> None:
    """A line for the parent; clocks of one machine agree."""
    line = json.dumps({"client": client, "state": state, "at": time.monotonic()})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run_agents(url: str, folder: Path, numbers: range) -> None:
    """Agents in one loop; a model in its trial gets inputs until it is confirmed."""
    from device_agent.agent import Agent

    helper = support()
    trials: set[int] = set()

    def listener(number: int) -> Callable[[str], None]:
        def heard(line: str) -> None:
            _, arrow, rest = line.partition(" -> ")
            if not arrow:
                return
            state = rest.split(" ")[0]
            (trials.add if state == "TRIAL" else trials.discard)(number)
            if state in ("STAGED", "CONFIRMED"):
                tell(number, state)
            elif state in ("FAILED", "REJECTED", "ROLLED_BACK"):
                print(json.dumps({"failed": f"agent {number}: {line}"}), flush=True)

        return heard

    agents: dict[int, Any] = {}
    for number in numbers:
        config = helper.enrol(folder / name_of(number), name_of(number), broker=url)
        agents[number] = Agent(config, log=listener(number))
        tell(number, "READY")
    raw = helper.image()

    # Many devices share this process, and no device has the heap of a hundred others to walk through.
    gc.collect()
    gc.freeze()
    while True:
        for number, agent in agents.items():
            agent.poll()
            if number in trials:
                agent.predict(raw)
        time.sleep(PAUSE_S)


def run_subscribers(url: str, numbers: range, size: int, filters: list[str]) -> None:
    """Clients that connect, wait for the word, subscribe, and count bytes."""
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.enums import CallbackAPIVersion

    from edgeops.mqtt import parse_url

    host, port, *_ = parse_url(url)
    fleet = support().FLEET  # imported before the clock runs
    wanted = [(f"{topics.ROOT}/{fleet}/blob/{sha256}/+", 1) for sha256 in filters]
    clients = []
    for number in numbers:
        client = Client(CallbackAPIVersion.VERSION2, f"edgeops-bench-bare-{number}")
        came = [0]

        def on_message(
            client: Client, userdata: Any, message: MQTTMessage, number: int = number, came: list[int] = came
        ) -> None:
            came[0] += len(message.payload)
            if came[0] >= size > came[0] - len(message.payload):
                tell(number, "DONE")

        def on_connect(*answer: Any, number: int = number) -> None:
            tell(number, "READY")

        client.on_message, client.on_connect = on_message, on_connect
        client.connect(host, port)
        client.loop_start()
        clients.append(client)
    sys.stdin.readline()
    for client in clients:
        client.subscribe(wanted)
    sys.stdin.readline()


def main(role: str, url: str, folder: str, first: str, count: str, size: str, *filters: str) -> None:
    """One worker process."""
    numbers = range(int(first), int(first) + int(count))
    if role == "agents":
        run_agents(url, Path(folder), numbers)
    else:
        run_subscribers(url, numbers, int(size), list(filters))


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:])
    else:
        for measured in rows():
            print(f"{measured['name']:26} {measured['value']:.3f} {measured['unit']:3} {measured['note']}")
