"""An agent on a bench that packages are desired of: it takes them, predicts, and confirms or refuses them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device_agent.agent import Agent, Prediction
from edgeops.core.messages import DesiredModel, ModelState
from support.packages import MODEL, TRIAL, Bench, Package, build, image, poll_until_quiet

FIRST, SECOND = build(1, security_counter=1), build(2, security_counter=2)
DOWNLOADED = ["OFFERED", "DOWNLOADING", "VERIFYING", "STAGED"]
WHOLE_UPDATE = [*DOWNLOADED, "TRIAL", "CONFIRMED"]


def desire(bench: Bench, package: Package | None, daily_bytes: int = 0, **model: object) -> None:
    """Publish a desired state that names a package, with other fields of ``DesiredModel``."""
    wanted = DesiredModel(report=bench.control.policy)
    if package is not None:
        wanted = replace(wanted, manifest=package.digest, manifest_bytes=len(package.envelope))
    models = {MODEL: replace(wanted, **model)}  # type: ignore[arg-type]
    bench.control.desire(package, models=models, daily_bytes=daily_bytes)


def publish_and_desire(bench: Bench, package: Package | None, **model: object) -> None:
    """Publish a package too, not only what is desired."""
    if package is not None:
        bench.control.publish(package)
    desire(bench, package, **model)  # type: ignore[arg-type]


def take(bench: Bench, agent: Agent, package: Package, **fields: object) -> None:
    """Publish a package, desire it, and let it come."""
    publish_and_desire(bench, package, **fields)
    poll_until_quiet(agent)


def predict(agent: Agent, bench: Bench, count: int, first: int = 0) -> list[Prediction]:
    """So many predictions, of the images with the seeds from ``first`` on."""
    found = []
    for seed in range(first, first + count):
        bench.clock.sleep(0.05)
        found.append(agent.predict(image(seed)))
    return found


def versions(agent: Agent, bench: Bench, count: int) -> list[int]:
    """So many predictions; the version that made each."""
    return [prediction.model_version for prediction in predict(agent, bench, count)]


def run_trial(agent: Agent, bench: Bench) -> None:
    """As many predictions as a trial of ``TRIAL`` takes, and a poll that tells how it ended."""
    predict(agent, bench, TRIAL.inferences)
    agent.poll()


def confirmed(bench: Bench, *packages: Package) -> Agent:
    """An agent that confirmed these packages one after the other, with what it said so far forgotten."""
    agent = bench.start()
    for package in packages or (FIRST,):
        take(bench, agent, package)
        run_trial(agent, bench)
        assert model_of(bench).confirmed == package.digest
    bench.control.forget()
    return agent


def model_of(bench: Bench, name: str = MODEL) -> ModelState:
    """What the device said last of a model."""
    return bench.control.state().models[name]


def break_interpreter(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, whatever the model that runs is asked fails."""

    def fail(values: np.ndarray) -> np.ndarray:
        raise RuntimeError("a kernel failed")

    running = agent._models[MODEL].host.running
    assert running is not None
    native = running.interpreter
    monkeypatch.setattr(type(native), "invoke", lambda self, values: fail(values))


def refused_as(bench: Bench, agent: Agent, package: Package, state: str) -> str:
    """The reason with which a package is refused; the confirmed model goes on."""
    bench.control.publish(package)
    bench.control.desire(package)
    poll_until_quiet(agent)
    event = bench.control.events()[-1]
    assert (event.target, event.manifest) == (state, package.digest)
    assert model_of(bench).confirmed == FIRST.digest
    assert agent.predict(image()).model_version == 1
    assert model_of(bench).reason == event.reason
    return event.reason or ""
