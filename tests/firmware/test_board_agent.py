"""The agent's image on the emulated Cortex-M3: joins over a real Mosquitto, takes a model, predicts and reports, is
killed in the middle of a download and takes it up where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import paho.mqtt.client as paho
import pytest
from firmware import emulator
from firmware.logged_broker import LoggedBroker, logged_broker
from paho.mqtt.enums import CallbackAPIVersion
from support import packages
from support.packages import DEVICE, FLEET, KEYS, MODEL, TEN_A_WINDOW, TFLITE, Package

from edgeops.compile import compile_plan
from edgeops.core import topics
from edgeops.core.codec import Message, decode, encode
from edgeops.core.messages import Desired, DesiredModel, Event, Presence, Report, State
from edgeops.core.signing import Role, sign
from edgeops.core.topics import Kind

pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.slow]

BOARD = emulator.BOARDS[0]
PATIENCE_S = 60.0
IN_FLIGHT = 8
"""Chunks that the agent asks for at a time."""
M = TypeVar("M", bound=Message)


def await_that(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain; the board said:\n{log.read_text()[-3000:]}"
        time.sleep(0.02)


class Control:
    """The control side: publishes a package and a desired state, and keeps what the device says."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._generation = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _data, message: self.messages.append(
            (message.topic, message.payload)
        )
        connected = threading.Event()
        self._client.on_connect = lambda *_: connected.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert connected.wait(PATIENCE_S)
        self._client.subscribe(f"{topics.ROOT}/{FLEET}/device/#", qos=1)

    def retain(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1, retain=True).wait_for_publish(PATIENCE_S)

    def publish(self, package: Package) -> None:
        for chunk, data in package.chunks.items():
            self.retain(topics.chunk(FLEET, *chunk), data)

    def desire(self, package: Package) -> None:
        self._generation += 1
        wanted = DesiredModel(package.digest, len(package.envelope), TEN_A_WINDOW)
        document = Desired(FLEET, DEVICE, self._generation, {MODEL: wanted})
        envelope = sign(encode(document), Desired.PURPOSE, [KEYS[Role.DEPLOY]])
        self.retain(topics.device(FLEET, DEVICE, Kind.DESIRED), envelope)

    def heard(self, kind: Kind, message: type[M]) -> list[M]:
        topic = topics.device(FLEET, DEVICE, kind)
        return [decode(message, payload) for found, payload in list(self.messages) if found == topic]

    def steps(self) -> list[str]:
        return [event.target for event in self.heard(Kind.EVENT, Event)]

    def confirmed(self) -> bytes | None:
        states = self.heard(Kind.STATE, State)
        models = states[-1].models if states else {}
        return models[MODEL].confirmed if MODEL in models else None

    def close(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LoggedBroker]:
    with logged_broker(tmp_path) as started:
        yield started


@contextmanager
def agent(folder: Path, port: int) -> Iterator[Path]:
    """The agent on the board, killed at the end; its flash stays in ``folder``. Yields its log."""
    trust = packages.enrol(folder).trust
    inputs = np.concatenate([packages.image(seed).ravel() for seed in range(20)])
    (folder / "inputs").write_bytes(inputs.tobytes())
    arguments = {
        "fleet": FLEET,
        "device": DEVICE,
        "broker": f"10.0.2.2:{port}",
        "flash": folder / "flash",
        "trust": trust,
        "inputs": folder / "inputs",
        "samples": "float32",
        "interval": 20,
    }
    elf = emulator.image(BOARD, "edgeops_agent")
    line = emulator.command(BOARD, elf, arguments, counted=False, network=True)
    log = folder / "board.log"
    log.touch()
    with emulator.running(line, log):
        yield log


def package(version: int) -> Package:
    """A version of the tiny model as an execution plan. The first 20 KB behind the plan are nobody's: they make it as
    many chunks as a larger model would have, each different from those of other versions."""
    plan = compile_plan(TFLITE)
    padding = np.random.default_rng(version).bytes(20_000)
    return packages.build(version, execution=(plan.plan + padding, plan.arena_bytes))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"foo": "bar"}, "foo is not a setting. Possible are fleet="),
        ({"samples": "int8"}, "samples=int8: expected uint8, int16 or float32"),
        ({"interval": "soon"}, "interval=soon: expected a whole number"),
        ({"broker": "here"}, "broker=here: expected an address and a port"),
        ({"inputs": "/nowhere/inputs"}, "inputs=/nowhere/inputs: cannot be read"),
        ({"flash": "/nowhere/flash"}, "flash=/nowhere/flash: cannot be read and written"),
        ({"trust": "/dev/null"}, "trust=/dev/null: cannot be read, or is empty"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, change: dict[str, str], words: str) -> None:
    trust = packages.enrol(tmp_path).trust
    given = {
        "fleet": FLEET,
        "device": DEVICE,
        "broker": "10.0.2.2:1",
        "flash": tmp_path / "flash",
        "trust": trust,
    }
    ended = emulator.run(BOARD, emulator.image(BOARD, "edgeops_agent"), given | change)
    assert (ended.code != 0, f"Error: {words}" in ended.text) == (True, True), ended.text


def test_garbage_as_trust_root_is_named(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(bytes(100))
    given = {
        "fleet": FLEET,
        "device": DEVICE,
        "broker": "10.0.2.2:1",
        "flash": tmp_path / "flash",
        "trust": garbage,
    }
    ended = emulator.run(BOARD, emulator.image(BOARD, "edgeops_agent"), given)
    assert (ended.code, f"{garbage}: is not a trust root" in ended.text) == (1, True), ended.text


def test_a_broker_that_is_away_is_told_once(tmp_path: Path) -> None:
    with agent(tmp_path, 1) as log:
        await_that(lambda: "offline: 10.0.2.2:1 " in log.read_text(), log)
    assert log.read_text().count("offline") == 1
    assert "no model yet" in log.read_text()


def test_joins_takes_a_model_predicts_and_reports(tmp_path: Path, broker: LoggedBroker) -> None:
    control = Control(broker.port)
    first = package(1)
    control.publish(first)
    control.desire(first)
    with agent(tmp_path, broker.port) as log:
        await_that(lambda: control.confirmed() == first.digest, log)
        await_that(lambda: len(control.heard(Kind.REPORT, Report)) >= 2, log)
        assert control.heard(Kind.PRESENCE, Presence)[-1].online
    await_that(lambda: not control.heard(Kind.PRESENCE, Presence)[-1].online, log)
    control.close()
    assert control.steps()[-1] == "CONFIRMED"


def test_is_killed_in_the_middle_of_a_download_and_takes_it_up_again(
    tmp_path: Path, broker: LoggedBroker
) -> None:
    """A model of which some chunks are missing: the board takes those that are there and is killed. Then all are
    there, and it asks for what it lacks."""
    control = Control(broker.port)
    first, second = package(1), package(2)
    control.publish(first)
    control.desire(first)
    chunks = {topics.chunk(FLEET, *chunk): data for chunk, data in second.chunks.items()}
    plan = topics.chunk(FLEET, second.manifest.artifacts[1].blob.hex, 0).removesuffix("0")
    withheld = [topic for topic in chunks if topic.startswith(plan)][-10:]
    with agent(tmp_path, broker.port) as log:
        await_that(lambda: control.confirmed() == first.digest, log)
        for topic in chunks.keys() - set(withheld):
            control.retain(topic, chunks[topic])
        already = len(broker.chunks_sent(FLEET, DEVICE))
        control.desire(second)
        there = {topic for topic in chunks.keys() - set(withheld) if topic.startswith(plan)}
        await_that(lambda: there <= set(broker.chunks_sent(FLEET, DEVICE)[already:]), log)
    already = len(broker.chunks_sent(FLEET, DEVICE))
    for topic in withheld:
        control.retain(topic, chunks[topic])
    with agent(tmp_path, broker.port) as log:
        await_that(lambda: control.confirmed() == second.digest, log)
    control.close()
    resent = there & set(broker.chunks_sent(FLEET, DEVICE)[already:])
    assert len(there) > 3 * IN_FLIGHT
    assert len(resent) <= IN_FLIGHT, "only what was on its way is taken again"
    assert set(withheld) <= set(broker.chunks_sent(FLEET, DEVICE)[already:])
    assert control.steps()[-2:] == ["TRIAL", "CONFIRMED"]
    boots = {event.boot for event in control.heard(Kind.EVENT, Event)}
    assert len(boots) == 2
