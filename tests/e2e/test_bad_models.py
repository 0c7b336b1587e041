"""Bad models in real agents, against a real Mosquitto: each is caught at the first stage, by what it does there.

Nobody but the canary ever answers with it, and where a gate rolls back no human takes part.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.killed_agent import CRASH, ROOT
from support.packages import MODEL, TFLITE
from support.real_fleet import RealFleet, padded, wrong_model

from device_agent import running_model
from device_agent.inference import Interpreter
from edgeops.control.broker import PrivateBroker

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.e2e]

SLOW = b"SLOW"
SLOW_S = 0.01
WINDOWS = 4


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RealFleet]]:
    fleets: list[RealFleet] = []
    with PrivateBroker(kind="mosquitto") as broker:

        def started(devices: int, **options: Any) -> RealFleet:
            fleets.append(RealFleet(tmp_path / "fleet", broker.url, devices, **options))
            return fleets[-1]

        yield started
        for fleet in fleets:
            fleet.close()


def standing(fleet: RealFleet) -> None:
    """Version 1 runs everywhere, and has for some windows."""
    fleet.release(1)
    fleet.complete(1)
    entries = [agent._models[MODEL] for agent in fleet.agents.values()]
    begun = [entry.sequence for entry in entries]
    fleet.until(lambda: all(e.sequence >= b + WINDOWS for e, b in zip(entries, begun, strict=True)))


def caught(fleet: RealFleet, number: int, state: str, gate: str) -> None:
    """Ended in this state by this gate, with one device exposed, and that one back on version 1."""
    fleet.until(lambda: fleet.state(number) == state)
    assert f"gate {gate}" in fleet.actors(number)
    assert len(fleet.offered(number)) == 1
    assert fleet.ever_ran(2) <= fleet.offered(number)


class TestWrong:
    """As fast as the right model and as sure of itself."""

    def test_with_labels_coming_back_the_accuracy_gate_rolls_back(
        self, start: Callable[..., RealFleet]
    ) -> None:
        fleet = start(4)
        standing(fleet)
        fleet.release(2, wrong_model())
        number = fleet.roll_out(2, stages="1,100%", soak="1h")
        caught(fleet, number, "ROLLED_BACK", "accuracy")
        first = next(iter(fleet.packages.values()))
        assert fleet.confirmed(first) == set(fleet.names)
        assert fleet.ever_ran(2) == fleet.offered(number)

    def test_without_labels_the_shadow_gate_rolls_back_before_anybody_answers_with_it(
        self, start: Callable[..., RealFleet]
    ) -> None:
        fleet = start(4, labels=False)
        standing(fleet)
        fleet.release(2, wrong_model())
        number = fleet.roll_out(2, stages="1,100%", soak="1h", shadow=2000)
        caught(fleet, number, "ROLLED_BACK", "shadow")
        first = next(iter(fleet.packages.values()))
        assert fleet.confirmed(first) == set(fleet.names)
        assert fleet.ever_ran(2) == set()


def test_an_accurate_model_that_is_slow_is_held_by_the_latency_gate(
    start: Callable[..., RealFleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = running_model.open_interpreter

    class Slow:
        def __init__(self, inner: Interpreter) -> None:
            self._inner = inner
            self.runtime, self.input, self.output = inner.runtime, inner.input, inner.output

        def invoke(self, values: Any) -> Any:
            time.sleep(SLOW_S)
            return self._inner.invoke(values)

    def opening(model: bytes, runtime: str | None = None, threads: int = 1) -> Interpreter:
        interpreter = opened(model, runtime, threads)
        return Slow(interpreter) if model.endswith(SLOW) else interpreter

    monkeypatch.setattr(running_model, "open_interpreter", opening)
    fleet = start(4)
    standing(fleet)
    fleet.release(2, TFLITE + SLOW)
    number = fleet.roll_out(2, stages="1,100%", soak="1h")
    caught(fleet, number, "HELD", "latency")


def test_a_model_that_crashes_the_interpreter_ends_with_the_device_and_the_rollout_rolled_back(
    start: Callable[..., RealFleet], tmp_path: Path
) -> None:
    fleet = start(2)
    standing(fleet)
    for name in fleet.names:
        fleet.stop(name)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    ended = []
    with (tmp_path / "agents.log").open("wb") as log:

        def run(name: str) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-m", "support.crashing_agent", str(fleet.paths[name])],
                env={**os.environ, "PYTHONPATH": path},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

        processes = {name: run(name) for name in fleet.names}
        fleet.release(2, TFLITE + CRASH)
        number = fleet.roll_out(2, stages="1,100%", gates=["rollbacks=0.05:roll_back"])

        def done() -> bool:
            for name, process in processes.items():
                if process.poll() is not None:  # whoever watches a device starts its agent again
                    ended.append((name, process.returncode))
                    processes[name] = run(name)
            return fleet.state(number) == "ROLLED_BACK"

        try:
            fleet.until(done)
        finally:
            for process in processes.values():
                process.terminate()
                process.wait(10)
    (exposed,) = fleet.offered(number)
    assert {*ended} == {(exposed, -signal.SIGKILL)}
    assert len(ended) == 2
    reasons = [row.reason for row in fleet.events(exposed) if row.target == "ROLLED_BACK"]
    assert reasons == ["the agent did not survive its trial"]


def test_rollouts_of_two_models_share_devices(start: Callable[..., RealFleet]) -> None:
    fleet = start(3)
    packages = [fleet.release(1, padded(seed=1)), fleet.release(1, padded(seed=2), model="other")]
    numbers = [fleet.roll_out(1), fleet.roll_out(1, model="other", stages="1,100%")]
    fleet.until(lambda: [fleet.state(number) for number in numbers] == ["COMPLETED", "COMPLETED"])
    assert [fleet.confirmed(package) for package in packages] == [set(fleet.names)] * 2
    fleet.release(2, wrong_model())
    bad = fleet.roll_out(2, stages="1,100%", soak="1h")
    good = fleet.release(2, padded(seed=3), model="other")
    fine = fleet.roll_out(2, model="other", stages="1,100%")
    fleet.until(lambda: (fleet.state(bad), fleet.state(fine)) == ("ROLLED_BACK", "COMPLETED"))
    assert fleet.confirmed(packages[0]) == fleet.confirmed(good) == set(fleet.names)
    fleet.check_slots()
