"""A private MQTT broker for ``broker run``, the demo and the tests: loopback only, own port, own folder.

Mosquitto where its binary is found; otherwise amqtt, with its faults corrected, in a process of its own
(``edgeops.control.embedded_broker`` says what amqtt still cannot do). Mosquitto stores retained messages in
the folder; amqtt forgets everything when it stops.
"""

from __future__ import annotations

import atexit
import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import edgeops
from edgeops.core.errors import BrokerUnreachable, MissingExtra, StorageError

HOST = "127.0.0.1"
Kind = Literal["mosquitto", "amqtt"]
_START_S = 20.0
_STOP_S = 10.0
_FREE_PORT_TRIES = 5


class PrivateBroker:
    """A broker that lives as long as this object is started; also a context manager.

    ``port``: None takes a free one at the first start, and keeps it. ``folder``: where configuration, log
    and stored messages go; None makes a temporary one that ``__exit__`` removes. ``kind``: None prefers
    Mosquitto. Raises ``MissingExtra`` when amqtt is needed and not installed, and ``BrokerUnreachable`` when
    Mosquitto is asked for and not found.

    On Linux the broker is ended by the kernel when the thread that started it ends without ``stop`` (so
    start it from a thread that lives long enough); elsewhere an exit handler does what it can.
    """

    def __init__(self, port: int | None = None, folder: Path | None = None, kind: Kind | None = None) -> None:
        self._binary = find_mosquitto() if kind != "amqtt" else None
        self.kind: Kind = kind or ("mosquitto" if self._binary else "amqtt")
        if self.kind == "mosquitto" and self._binary is None:
            raise BrokerUnreachable(
                "mosquitto is not installed, or not on the PATH", fix="sudo apt-get install mosquitto"
            )
        if self.kind == "amqtt" and importlib.util.find_spec("amqtt") is None:
            raise MissingExtra(
                "no mosquitto was found, and the embedded broker (amqtt) is not installed",
                fix='pip install "edgeops[demo]"',
            )
        self._given_port = port
        self._port = port
        self._given_folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; known once the broker has been started."""
        if self._port is None:
            raise BrokerUnreachable("this broker was not started yet")
        return self._port

    @property
    def url(self) -> str:
        """``mqtt://127.0.0.1:<port>``; known once the broker has been started."""
        return f"mqtt://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def folder(self) -> Path:
        """Where configuration, log and stored messages are."""
        if self._given_folder is not None:
            return self._given_folder
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="edgeops-broker-")
        return Path(self._temporary.name)

    @property
    def log(self) -> Path:
        """The broker's log file."""
        return self.folder / f"{self.kind}.log"

    def start(self) -> PrivateBroker:
        """Start, and wait until connections are accepted; nothing happens when it runs already.

        Raises ``BrokerUnreachable`` with the last line of the log when it does not come up, and
        ``StorageError`` when the folder cannot be written.
        """
        if self.running:
            return self
        for attempt in range(_FREE_PORT_TRIES):
            port = self._port or _free_port()
            _check_port(port)
            try:
                self._launch(port)
            except BrokerUnreachable:
                # Somebody may have taken the free port between our look and the broker's bind.
                if self._port is not None or attempt == _FREE_PORT_TRIES - 1:
                    raise
            else:
                self._port = port
                break
        return self

    def stop(self) -> None:
        """End the broker and wait for it; its port and folder stay ours for the next ``start``."""
        process, self._process = self._process, None
        atexit.unregister(self.stop)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> PrivateBroker:
        """Start it."""
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        """Stop it and remove its temporary folder."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _launch(self, port: int) -> None:
        environment = dict(os.environ)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._binary is not None:
                config = self.folder / "mosquitto.conf"
                config.write_text(mosquitto_config(port, self.folder.resolve(), self.log.resolve()))
                command = [self._binary, "-c", str(config)]
            else:
                command = [sys.executable, "-m", "edgeops.control.embedded_broker", "--port", str(port)]
                here = str(Path(edgeops.__file__).resolve().parents[1])
                inherited = os.environ.get("PYTHONPATH")
                environment["PYTHONPATH"] = f"{here}{os.pathsep}{inherited}" if inherited else here
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    [*_die_with_parent(), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    # a Ctrl-C in the terminal is ours to handle: we stop the broker last
                    start_new_session=True,
                )
        except OSError as error:
            raise StorageError(f"the broker's folder {self.folder}: {error}") from error
        atexit.register(self.stop)
        try:
            self._await_connections(port)
        except BaseException:
            self.stop()
            raise

    def _await_connections(self, port: int) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            accepted = _accepts(port)
            # In this order: another process on this port would also accept.
            if not self.running:
                raise BrokerUnreachable(
                    f"{self.kind} ended at once: {_last_line(self.log)}", fix=f"see {self.log}", port=port
                )
            if accepted:
                return
            time.sleep(0.02)
        raise BrokerUnreachable(
            f"{self.kind} did not accept connections within {_START_S:g} s: {_last_line(self.log)}",
            fix=f"see {self.log}",
            port=port,
        )


def find_mosquitto() -> str | None:
    """The path of the ``mosquitto`` binary; Debian puts it where a user's PATH does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def mosquitto_config(port: int, folder: Path, log: Path) -> str:
    """A configuration for one loopback listener that drops no message and stores in ``folder``.

    ``user`` is ours because Mosquitto, when root starts it, changes to a user that cannot write there.
    """
    lines = [
        f"listener {port} {HOST}",
        "allow_anonymous true",
        f"user {_user()}",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 60",
        "max_queued_messages 0",
        "max_queued_bytes 0",
        "max_inflight_messages 2000",
        "max_inflight_bytes 0",
        "set_tcp_nodelay true",
        "sys_interval 0",
        f"log_dest file {log}",
        "log_type error",
        "log_type warning",
        "connection_messages false",
    ]
    return "\n".join(lines) + "\n"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name; only root's matters to Mosquitto
        return "root"


def _die_with_parent() -> list[str]:
    # setpriv is part of util-linux. It replaces itself with the command, so the process id stays the same.
    # A preexec_fn would run Python between fork and exec, which threads make unsafe.
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        # as brokers do: a port that merely remembers closed connections is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BrokerUnreachable(
                f"the broker cannot have port {port} on {HOST}: {error.strerror}",
                fix=f"choose another port, or stop what listens there: ss -ltnp 'sport = :{port}'",
                port=port,
            ) from error


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1.0):
            return True
    except OSError:
        return False


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it wrote no log"
