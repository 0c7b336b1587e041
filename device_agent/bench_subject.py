"""What the agent's bench counts: a model with a plan of its own, and inputs of noise.

Imports nothing that an agent does not: the memory of a process that uses it is measured.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device_agent.inference import Interpreter, open_interpreter
from device_agent.observing import Observing
from edgeops.core.errors import InputError
from edgeops.core.input_features import OF_KIND, extract
from edgeops.core.messages import ReportPolicy
from edgeops.core.observe import CONFIDENCE_BINS, MARGIN, MAX_CLASSES, ObservePlan, margins, plan_feature

INPUTS = 32
"""What a window counts at once."""
WINDOW = 1_000
FEATURES = OF_KIND["audio"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is counted for, as ``Observing`` needs it, and inputs (32, *shape) int8 with their outputs."""

    digest: bytes
    plan: ObservePlan
    interpreter: Interpreter
    inputs: list[NDArray[np.int8]]


def subject_of(path: Path) -> Subject:
    """Open a model, with a plan of eight features from random inputs: what is counted costs the same for any."""
    try:
        interpreter = open_interpreter(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", fix=f"ls -l {path}") from error
    if (interpreter.input.dtype, interpreter.output.dtype) != ("int8", "int8"):
        raise InputError(
            f"{path} takes {interpreter.input.dtype} and gives {interpreter.output.dtype}, not int8"
        )
    size = INPUTS * int(np.prod(interpreter.input.shape))
    noise = hashlib.shake_128(b"inputs").digest(size)  # numpy.random would be memory that no agent takes
    inputs = np.frombuffer(noise, np.int8).reshape(INPUTS, *interpreter.input.shape)
    outputs = np.stack([interpreter.invoke(values).reshape(-1) for values in inputs])
    if outputs.shape[1] > MAX_CLASSES:
        raise InputError(
            f"{path} gives {outputs.shape[1]} values, and counts are of at most {MAX_CLASSES} classes"
        )
    values = extract(FEATURES, inputs)
    plan = ObservePlan(
        features=tuple(plan_feature(name, values[:, column]) for column, name in enumerate(FEATURES)),
        confidence=(0,) * CONFIDENCE_BINS,
        classes=(1,) * outputs.shape[1],
        calibration=((0, 0),) * CONFIDENCE_BINS,
        margin=plan_feature(MARGIN, margins(outputs)),
    )
    return Subject(bytes(32), plan, interpreter, list(inputs))


def observing_of(subject: Subject, permille: int) -> Observing:
    """The agent's counting, as it is begun for a model."""
    observing = Observing("model", 1)
    observing.policy = ReportPolicy(WINDOW, 0, permille)
    observing.switch(subject, False, 0)
    return observing


def count_many(observing: Observing, subject: Subject, calls: int) -> None:
    """Infer and count so often, the same inputs over and over."""
    invoke = subject.interpreter.invoke
    for number in range(calls):
        values = subject.inputs[number % INPUTS]
        observing.count(values, invoke(values), 50)
