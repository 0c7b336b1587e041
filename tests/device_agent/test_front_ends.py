"""Models behind a front end, and models that restore their input: nothing about either is in the agent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.packages import (
    TRIAL,
    Bench,
    Package,
    build,
    enrol,
    observe_plan,
    poll_until_quiet,
)

from edgeops.core.errors import InputError
from edgeops.core.features.steps import make_step, quantized_input, scale_step
from edgeops.core.input_features import FEATURES, extract
from edgeops.core.manifest import Manifest, RawContract, TensorContract
from edgeops.core.observe import ObservePlan, plan_feature
from edgeops.core.outputs import RECONSTRUCTION_LABELS, class_scores
from edgeops.core.selftest import SelfTest
from edgeops.core.tensors import TensorSpec

FOLDER = Path(__file__).parents[1] / "vectors" / "inference"
VECTORS = json.loads((FOLDER / "autoencoder_int8.json").read_text())
AUTOENCODER = (FOLDER / "autoencoder_int8.tflite").read_bytes()
CAMERA = (
    make_step("grey"),
    make_step("resize", height=8, width=8),
    scale_step(1 / 8, -1.0),
)
SPEECH = (
    make_step(
        "log_mel",
        sample_rate_hz=8000,
        frame_length=256,
        frame_step=128,
        fft_length=256,
        mels=8,
        low_hz=0,
        high_hz=4000,
    ),
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(enrol(tmp_path))


def behind(steps: tuple, source: RawContract | None) -> Callable[[Manifest], Manifest]:
    return lambda manifest: replace(manifest, preprocessing=steps, source=source)


def side(name: str) -> TensorContract:
    values = VECTORS[name]
    spec = TensorSpec(tuple(values["shape"]), values["dtype"], values["scale"], values["zero_point"])
    return TensorContract.of(spec, "g")


def restoring(threshold: int | None = 2**26, **changed: object) -> Callable[[Manifest], Manifest]:
    """The manifest of the autoencoder; a real step is 2**22 to 2**24 of the threshold's unit."""
    return lambda manifest: replace(
        manifest,
        **{
            "input": side("input"),
            "output": side("output"),
            "output_kind": "reconstruction",
            "labels": RECONSTRUCTION_LABELS,
            "preprocessing": (),
            "threshold": threshold,
            **changed,
        },
    )


def anomaly_package(change: Callable[[Manifest], Manifest] | None = None, **options: object) -> Package:
    """A package of the autoencoder, its self-test made of class scores."""
    change = change or restoring()
    cases = [[np.array(case[name], np.int8) for name in ("input", "output")] for case in VECTORS["cases"]]
    scores = [class_scores(restoring()(build().manifest), *case) for case in cases]
    values = extract(FEATURES, np.stack([given for given, _ in cases]))
    features = tuple(plan_feature(name, values[:, column]) for column, name in enumerate(FEATURES))
    made = {
        "plan": ObservePlan(features, (0,) * 16, (1, 1), ((0, 0),) * 16),
        "vectors": SelfTest(
            tuple(given.tobytes() for given, _ in cases), tuple(one.tobytes() for one in scores), 3
        ),
        **options,
    }
    return build(tflite=AUTOENCODER, change=change, **made)  # type: ignore[arg-type]


def running(bench: Bench, package: Package):
    """An agent to which the package was offered."""
    bench.control.publish(package)
    bench.control.desire(package)
    agent = bench.start()
    poll_until_quiet(agent)
    return agent


@pytest.mark.parametrize(
    ("steps", "source"),
    [(CAMERA, RawContract((20, 16, 3), "level")), (SPEECH, RawContract((1152,), "level", 8_000_000))],
    ids=["camera", "microphone"],
)
def test_the_agent_takes_what_the_sensor_gives(bench: Bench, steps: tuple, source: RawContract) -> None:
    package = build(change=behind(steps, source))
    agent = running(bench, package)
    assert agent.ready()
    raw = np.random.default_rng(1).uniform(0, 1, source.shape)
    for _ in range(TRIAL.inferences):
        prediction = agent.predict(raw)
    entry = agent._models["tiny"].host.running
    assert entry is not None
    scores = entry.infer(quantized_input(package.manifest, raw))
    assert prediction.index == scores.argmax()
    with pytest.raises(InputError, match=r"the model takes \("):
        agent.predict(np.zeros((8, 8)))
    agent.close()
    reports = bench.control.reports()
    assert sum(report.counters.inferences for report in reports) == TRIAL.inferences
    assert sum(report.counters.rejected_inputs for report in reports) == 1


def test_an_autoencoder_tells_normal_from_anomalous_and_is_counted_as_a_classifier(bench: Bench) -> None:
    agent = running(bench, anomaly_package())
    line = np.linspace(-1, 1, 16)
    found = [agent.predict(line * level) for level in (0.0, 0.5, -1.5)]
    assert {prediction.label for prediction in found} == {"normal"}
    spike = np.zeros(16)
    spike[5] = 4.0
    odd = agent.predict(spike)
    assert (odd.label, odd.index) == ("anomaly", 1)
    assert all(0.5 <= prediction.confidence <= 1 for prediction in [*found, odd])
    assert agent.predict(spike / 2).confidence < odd.confidence
    assert agent.feedback(odd.id, "anomaly") is False  # no policy asks for labels
    agent.close()
    report = bench.control.reports()[0]
    assert report.counters.classes == (3, 2)
    assert sum(report.counters.confidence) == 5
    assert not any(report.counters.confidence[:8])


@pytest.mark.parametrize(
    ("package", "says"),
    [
        (build(change=behind(SPEECH, None)), "a sound needs the shape (samples,)"),
        (build(change=behind(CAMERA[:1], RawContract((9, 9, 3), "level"))), "preprocessing gives the shape (9, 9, 1)"),
        (build(change=behind(CAMERA, RawContract((2**32 - 1,) * 3, "level"))), "more than"),
        (build(change=behind(SPEECH, RawContract((200,), "level"))), "less than one frame of 256"),
        (build(change=lambda m: replace(m, output_kind="boxes")), "output kind 'boxes' is not known"),
        (anomaly_package(restoring(threshold=None)), "'reconstruction' needs a threshold"),
        (anomaly_package(restoring(threshold=0)), "the threshold 0 is not between 1 and"),
        (anomaly_package(restoring(labels=("ok", "broken"))), "where a reconstruction has ('normal', 'anomaly')"),
        (anomaly_package(restoring(labels=("normal",))), "1 labels for 2 outputs"),
        (anomaly_package(plan=observe_plan()), "5 counted classes for 2 outputs"),
        (build(change=lambda m: replace(m, output_kind="reconstruction", threshold=9)), "does not restore an input"),
        (anomaly_package(restoring(threshold=2**30)), "self-test vector"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_manifest_that_does_not_hold_together_is_rejected_with_its_reason(
    bench: Bench, package: Package, says: str
) -> None:
    agent = running(bench, package)
    assert not agent.ready()
    event = next(event for event in bench.control.events() if event.target in ("REJECTED", "FAILED"))
    assert event.target == "REJECTED"
    assert says in event.reason
