"""What a model answers under TensorFlow Lite Micro, whose arithmetic an execution plan has to the bit.

It rounds twice where LiteRT rounds once, so that outputs of the two differ by a few steps.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PROBE = Path(__file__).with_name("micro_probe.py")
ARENA_BYTES = 1 << 26
SECONDS = 120


def has_micro() -> bool:
    """Whether the pinned ``tflite-micro`` wheel is installed."""
    return importlib.util.find_spec("tflite_micro") is not None


def micro_outputs(
    model: bytes, inputs: NDArray[np.int8], *, seconds: int = SECONDS
) -> NDArray[np.int8] | None:
    """The outputs (N, values) of int8 ``inputs`` (N, *shape) without a batch; None where it cannot run the model.

    In a process of its own, with bounded time.
    """
    if len(inputs) == 0 or not has_micro():
        return None
    shape = "x".join(str(size) for size in (1, *inputs.shape[1:]))
    sizes = (ARENA_BYTES, seconds, inputs[0].nbytes, len(model))
    command = [sys.executable, "-P", str(PROBE), *(str(size) for size in sizes), shape]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            input=model + inputs.tobytes(),
            capture_output=True,
            env=environment,
            timeout=2 * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode or not done.stdout or len(done.stdout) % len(inputs):
        return None
    return np.frombuffer(done.stdout, np.int8).reshape(len(inputs), -1)
