"""An agent in a process of its own that is ended by SIGKILL, again and again.

Run as a program it reads orders (JSON, one a line), forks a child for each, which runs the agent, and says how the
child ended. Everything is imported once, so that hundreds of starts take seconds. A child kills itself at a *moment*:
the n-th file operation or prediction since a state of the update began to be written down; or it is killed from
outside.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from device_agent import running_model
from device_agent.agent import Agent
from device_agent.inference import Interpreter
from device_agent.update import UNDECIDED, UpdateState
from device_agent.update_store import UpdateStore
from edgeops.core.transport import Will
from edgeops.mqtt import MqttTransport
from support.packages import MODEL, enrol, image

CRASH = b"CRASH"
"""A model whose file ends so ends the process that runs it, at its n-th inference there."""
START = "START"
ROOT = Path(__file__).parents[2]
FILE_EVENTS = frozenset({"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"})
LONGEST_S = 20.0


@dataclass(frozen=True)
class Order:
    """What a child does: until the moment comes, or until the update to ``generation`` is settled.

    ``state`` and ``moment``: when it kills itself, at the latest when the update is settled; no state leaves that to
    others. ``end``: stop in order when the update is settled, instead of by SIGKILL. ``crash_at``: at which of its
    inferences a ``CRASH`` model kills it.
    """

    folder: str
    broker: str
    generation: int
    state: str | None = None
    moment: int = 0
    end: bool = False
    crash_at: int = 1


@dataclass(frozen=True)
class Ended:
    """How a child ended: the version that it predicted with first (None: with none, or killed before), its exit."""

    answered: bool
    version: int | None
    status: int


class Harness:
    """The program, as a test holds it; a context manager."""

    def __enter__(self) -> Harness:
        """Start it."""
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.killed_agent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            cwd=ROOT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(self, order: Order, kill_after_s: float | None = None) -> Ended:
        """Run one child to its end; ``kill_after_s``: kill it from here after so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        pid, said = self._said()["pid"], {}
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(pid, signal.SIGKILL)
        while "status" not in said:
            said |= self._said()
        return Ended("version" in said, said.get("version"), said["status"])

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the harness ended"
        return json.loads(line)


class RealBroker:
    """What ``support.packages.Control`` needs of a broker, on a real one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.clients: list[MqttTransport] = []

    def client(self, will: Will | None = None) -> MqttTransport:
        """A client of its own."""
        self.clients.append(MqttTransport(self._url, f"control-{secrets.token_hex(4)}", will))
        return self.clients[-1]

    def settle(self) -> None:
        """Wait until the broker has everything."""
        deadline = time.monotonic() + LONGEST_S
        while any(client.pending() for client in self.clients):
            assert time.monotonic() < deadline, "the broker does not take what is published"
            time.sleep(0.001)

    def close(self) -> None:
        """Disconnect."""
        for client in self.clients:
            client.close()


class Moments:
    """Counts what happens since a state began, and kills the process when its moment has come."""

    def __init__(self, order: Order) -> None:
        self._state, self._left = order.state, order.moment
        self._here = START
        self._folder = order.folder

    def enter(self, state: str) -> None:
        """An update state is about to be written down."""
        self._here = state
        self.passed()

    def passed(self) -> None:
        """Something happened."""
        if self._here == self._state:
            if not self._left:
                kill()
            self._left -= 1

    def audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's audit hook: before a file operation."""
        if event in FILE_EVENTS and str(arguments[0]).startswith(self._folder):
            self.passed()


def kill() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(LONGEST_S)


def child(order: Order, say: Callable[[dict[str, Any]], None]) -> None:
    """Run the agent; every way out of here but ``end`` is SIGKILL."""
    moments = Moments(order)
    sys.addaudithook(moments.audited)
    save, fsync, opened = UpdateStore.save, os.fsync, running_model.open_interpreter

    def saving(store: UpdateStore, state: UpdateState) -> None:
        moments.enter(state.lifecycle)
        save(store, state)

    def syncing(handle: int) -> None:
        moments.passed()
        fsync(handle)

    def opening(model: bytes, runtime: str | None = None, threads: int = 1) -> Interpreter:
        interpreter = opened(model, runtime, threads)
        return Crashing(interpreter, order.crash_at) if model.endswith(CRASH) else interpreter

    UpdateStore.save, os.fsync, running_model.open_interpreter = saving, syncing, opening  # type: ignore[method-assign]
    agent = Agent(enrol(Path(order.folder), broker=order.broker))
    say({"version": agent.predict(image()).model_version if agent.ready() else None})
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        moments.passed()
        if agent.ready():
            agent.predict(image())
            agent.poll()
        else:
            agent.poll(0.005)
        if settled(agent, order.generation):
            if order.end:
                agent.close()
                return
            if order.state is not None:
                break
    kill()


def settled(agent: Agent, generation: int) -> bool:
    """Whether the update to this generation is over."""
    entry = agent._models.get(MODEL)
    if entry is None or entry.host.state.generation < generation:
        return False
    return entry.host.state.lifecycle not in (*UNDECIDED, "FAILED", "IDLE")


class Crashing:
    """An interpreter that takes the process with it."""

    def __init__(self, inner: Interpreter, crash_at: int) -> None:
        self._inner, self._left = inner, crash_at
        self.runtime, self.input, self.output = inner.runtime, inner.input, inner.output

    def invoke(self, values: Any) -> Any:
        """Run, or crash."""
        self._left -= 1
        if self._left <= 0:
            kill()
        return self._inner.invoke(values)


def main() -> None:
    """Obey until there are no more orders."""

    def say(words: dict[str, Any]) -> None:
        os.write(1, json.dumps(words).encode() + b"\n")

    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                child(Order(**json.loads(line)), say)
            except BaseException as error:  # a child must never go on as the harness
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        say({"pid": pid})
        say({"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})


if __name__ == "__main__":
    main()
