"""``PrivateBroker``: starts, stops, keeps to itself, and says clearly what is wrong."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeops.control import broker as broker_module
from edgeops.control.broker import Kind, PrivateBroker
from edgeops.core.errors import BrokerUnreachable, MissingExtra, StorageError
from edgeops.core.transport import ConnectionChanged, Received
from edgeops.mqtt import MqttTransport

PATIENCE_S = 20.0
KINDS = pytest.mark.parametrize(
    "kind", [pytest.param("mosquitto", marks=pytest.mark.needs_mosquitto), "amqtt"]
)


def accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def listening_addresses(pid: int) -> set[tuple[str, int]]:
    """(local address in hex, port) of every listening TCP socket of the process, IPv4 and IPv6."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(link)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


@KINDS
def test_it_serves_and_leaves_nothing_behind(kind: Kind) -> None:
    with PrivateBroker(kind=kind) as private:
        assert private.kind == kind
        assert private.url == f"mqtt://127.0.0.1:{private.port}"
        pid, folder = private.pid, private.folder
        assert pid is not None
        client = MqttTransport(private.url, "c")
        client.connect(PATIENCE_S)
        assert client.receive(PATIENCE_S) == ConnectionChanged(True)
        client.close()
    assert not private.running
    assert private.pid is None
    assert not accepts("127.0.0.1", private.port)
    assert not folder.exists()
    # Neither alive nor a zombie: the process id is gone.
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@KINDS
@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="reads Linux's /proc")
def test_it_listens_on_loopback_only(kind: Kind) -> None:
    with PrivateBroker(kind=kind) as private:
        assert private.pid is not None
        assert listening_addresses(private.pid) == {("0100007F", private.port)}


@KINDS
def test_the_port_can_be_chosen_and_stays(kind: Kind) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with PrivateBroker(port, kind=kind) as private:
        assert private.port == port
        private.stop()
        private.stop()
        assert not accepts("127.0.0.1", port)
        assert private.start().start() is private
        assert private.port == port


@KINDS
def test_two_run_side_by_side(kind: Kind) -> None:
    with PrivateBroker(kind=kind) as one, PrivateBroker(kind=kind) as two:
        assert one.port != two.port
        assert one.folder != two.folder


@KINDS
def test_a_port_that_is_taken_is_named_with_a_fix(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(BrokerUnreachable, match=f"cannot have port {port}") as caught,
            PrivateBroker(port, kind=kind),
        ):
            pass
    assert str(port) in (caught.value.fix or "")


@pytest.mark.needs_mosquitto
def test_a_given_folder_keeps_retained_messages_and_is_not_removed(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    with PrivateBroker(folder=folder, kind="mosquitto") as private:
        sender = MqttTransport(private.url, "sender")
        sender.connect(PATIENCE_S)
        sender.publish("kept", b"1", retain=True)
        sender.close()
        assert sender.pending() == 0
    assert folder.is_dir()
    with PrivateBroker(folder=folder, kind="mosquitto") as private:
        reader = MqttTransport(private.url, "reader")
        reader.subscribe("kept")
        reader.connect(PATIENCE_S)
        assert reader.receive(PATIENCE_S) == ConnectionChanged(True)
        assert reader.receive(PATIENCE_S) == Received("kept", b"1", retained=True)
        reader.close()


@pytest.mark.needs_mosquitto
def test_a_broker_that_dies_at_once_shows_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    good = broker_module.mosquitto_config
    monkeypatch.setattr(
        broker_module, "mosquitto_config", lambda *args: good(*args) + "no_such_option true\n"
    )
    private = PrivateBroker(kind="mosquitto")
    with pytest.raises(BrokerUnreachable, match="no_such_option|ended at once: .*mosquitto") as caught:
        private.start()
    assert "mosquitto.log" in (caught.value.fix or "")
    assert not private.running


def test_the_fallback_is_amqtt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "find_mosquitto", lambda: None)
    assert PrivateBroker().kind == "amqtt"


def test_a_mosquitto_that_was_asked_for_and_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "find_mosquitto", lambda: None)
    with pytest.raises(BrokerUnreachable) as caught:
        PrivateBroker(kind="mosquitto")
    assert "install mosquitto" in (caught.value.fix or "")


def test_neither_broker_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "find_mosquitto", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        PrivateBroker()
    assert caught.value.fix == 'pip install "edgeops[demo]"'


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError):
        PrivateBroker(folder=tmp_path / "file" / "below").start()


@KINDS
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux, and Linux")
def test_it_ends_with_its_parent(kind: Kind) -> None:
    program = (
        "import sys, time; from edgeops.control.broker import PrivateBroker\n"
        "private = PrivateBroker(kind=sys.argv[1]).start()\n"
        "print(private.port, private.folder, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, kind],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(broker_module.__file__).parents[2])},
    )
    assert parent.stdout is not None
    with parent.stdout as stdout:
        port, folder = stdout.readline().decode().split(" ", 1)
    assert accepts("127.0.0.1", int(port))
    parent.send_signal(signal.SIGKILL)
    parent.wait(PATIENCE_S)
    await_that(lambda: not accepts("127.0.0.1", int(port)))
    shutil.rmtree(folder.strip())  # the parent was killed and could not
