"""The emulated Cortex-M3's network: Ethernet driver, TCP and MQTT client against a real Mosquitto on the host."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from conftest import find_mosquitto
from firmware import emulator
from paho.mqtt.enums import CallbackAPIVersion

pytestmark = pytest.mark.needs_mosquitto

BOARD = emulator.BOARDS[0]
PATIENCE_S = 60.0
PADDING = 1200
WILL = b"\x01\x00\x02"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mosquitto(folder: Path, port: int) -> Iterator[None]:
    """A private Mosquitto that remembers nothing from one start to the next."""
    binary = find_mosquitto()
    assert binary is not None
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    with emulator.running([binary, "-c", str(config)], folder / "mosquitto.log"):
        yield


class Host:
    """An MQTT client on the host that keeps what it hears."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _data, message: self.heard.append(
            (message.topic, message.payload)
        )
        self._client.on_connect = lambda client, *_: client.subscribe("smoke/#", qos=1)
        await_that(lambda: self._connects(port))
        self._client.loop_start()

    def _connects(self, port: int) -> bool:
        try:
            self._client.connect("127.0.0.1", port)
        except OSError:
            return False
        return True

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def answers(self) -> list[bytes]:
        return [payload for topic, payload in self.heard if topic == "smoke/out"]

    def await_answer(self, message: bytes, connection: int) -> None:
        expected = struct.pack("<IIB", len(message), checksum(message), connection) + bytes(PADDING)
        await_that(lambda: expected in self.answers())

    def close(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def checksum(message: bytes) -> int:
    value = 0
    for byte in message:
        value = (value * 31 + byte) % 2**32
    return value


def message_of(size: int) -> bytes:
    return bytes(i * i % 253 for i in range(size))


@pytest.mark.slow
@pytest.mark.parametrize("counted", [False, True], ids=["real-time", "counted"])
def test_messages_arrive_whole_and_the_broker_may_restart(tmp_path: Path, counted: bool) -> None:
    """A retained message of 4 KB, others around the borders of segments, an empty one, then a restarted broker; once
    in real time and once with virtual time."""
    port = free_port()
    elf = emulator.image(BOARD, "net_smoke")
    arguments = {"broker": f"10.0.2.2:{port}", "id": "smoke-1"}
    line = emulator.command(BOARD, elf, arguments, counted=counted, network=True)
    retained = message_of(4096)
    with emulator.running(line, tmp_path / "board.log") as board:
        with mosquitto(tmp_path, port):
            host = Host(port)
            host.publish("smoke/in", retained, retain=True)
            host.await_answer(retained, connection=1)
            for size in (1, 127, 128, 1459, 1460, 1461, 9000, 0):
                host.publish("smoke/in", message_of(size))
                host.await_answer(message_of(size), connection=1)
            host.close()
        with mosquitto(tmp_path, port):
            host = Host(port)
            host.publish("smoke/in", retained, retain=True)
            host.await_answer(retained, connection=2)
            host.publish("smoke/stop", b"stop")
            assert board.wait(PATIENCE_S) == 0
            host.close()
            assert ("smoke/will", WILL) not in host.heard


@pytest.mark.slow
def test_the_will_is_published_byte_for_byte_when_the_board_vanishes(tmp_path: Path) -> None:
    port = free_port()
    line = emulator.command(
        BOARD,
        emulator.image(BOARD, "net_smoke"),
        {"broker": f"10.0.2.2:{port}", "id": "smoke-2"},
        counted=False,
        network=True,
    )
    with mosquitto(tmp_path, port):
        host = Host(port)
        host.publish("smoke/in", b"hello", retain=True)
        with emulator.running(line, tmp_path / "board.log"):
            host.await_answer(b"hello", connection=1)
        await_that(lambda: ("smoke/will", WILL) in host.heard)
        host.close()
