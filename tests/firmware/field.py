"""What the devices of the firmware's fleet see, who in it sees what, and what Python counts of the same."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from compile.plan_interpreter import run_plan
from numpy.typing import NDArray
from support.packages import MODEL, TFLITE, Package, build, image, observe_plan
from support.real_fleet import RealFleet, right

from edgeops.compile import compile_plan
from edgeops.core.counters import Counters
from edgeops.core.features.steps import quantized_input
from edgeops.core.input_features import extract
from edgeops.core.messages import Report
from edgeops.core.observe import confidence_bin, margins
from edgeops.core.window import Window

SCENES = 200


@cache
def scenes() -> NDArray[np.float32]:
    """What every device sees, one after the other and then again: (SCENES, 8, 8)."""
    return np.stack([image(seed) for seed in range(SCENES)])


class FieldFleet(RealFleet):
    """Every agent sees the scenes from the first on, whatever the others do; nobody tells it a truth."""

    def __init__(self, *given: Any, **options: Any) -> None:
        """As ``RealFleet``."""
        super().__init__(*given, **options)
        self.seen: Counter[str] = Counter()

    def turn(self, predictions: int = 3) -> None:
        """Everybody does what is due."""
        for name, agent in list(self.agents.items()):
            agent.poll()
            for _ in range(predictions if agent.ready(MODEL) else 0):
                agent.predict(scenes()[self.seen[name] % SCENES], model=MODEL)
                self.seen[name] += 1
        self.plane.step(0.002)


def quantized(package: Package) -> NDArray[np.int8]:
    """The scenes as a package's model takes them."""
    return np.stack([quantized_input(package.manifest, scene) for scene in scenes()])


@cache
def python_scores() -> NDArray[np.int8]:
    """What the Python agents' interpreter says of every scene."""
    return np.stack([right().invoke(values).reshape(-1) for values in quantized(build())])


@cache
def plan_scores() -> NDArray[np.int8]:
    """What the plan says of every scene, by the interpreter that the compiler is judged by."""
    plan = compile_plan(TFLITE).plan
    said = [np.frombuffer(run_plan(plan, values.tobytes()), np.int8) for values in quantized(build())]
    return np.stack(said)


def reference() -> bytes:
    """What training would have stored, with the scenes for its data and every answer for right."""
    names = [feature.name for feature in observe_plan().features]
    values = extract(names, quantized(build()))
    predicted = python_scores().argmax(axis=1).astype(np.int64)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        features=values,
        validation=values,
        margin=margins(python_scores()),
        predicted=predicted,
        truth=predicted,
    )
    return file.getvalue()


def counted_anew(package: Package, windows: Sequence[Report]) -> Iterator[Counters]:
    """The windows of one start, counted by the Python code from the scenes and what the plan says of them."""
    inputs, place = quantized(package), 0
    for reported in windows:
        window = Window(observe_plan())
        for _ in range(reported.counters.inferences):
            scores = plan_scores()[place % SCENES].tolist()
            window.count_input(inputs[place % SCENES])
            predicted = scores.index(max(scores))
            window.count_prediction(predicted, confidence_bin(max(scores)), 0, scores)
            place += 1
        yield window.counters()


def without_latency(counters: Counters) -> Counters:
    """All that two machines must agree on."""
    return replace(counters, latency=())


def moved(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> int:
    """How many predictions at least are of another class."""
    return int(np.abs(np.sum(ours, axis=0) - np.sum(theirs, axis=0)).sum()) // 2


def close_calls(package: Package) -> int:
    """Scenes on which a step of rounding may turn the answer: the two highest scores lie at most two steps apart."""
    ranked = np.sort(python_scores().astype(np.int16), axis=1)
    return int((ranked[:, -1] - ranked[:, -2] <= 2).sum())
