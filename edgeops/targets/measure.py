"""What TensorFlow Lite Micro allocates for a model, measured with the pinned ``tflite-micro`` wheel.

The interpreter runs in a process of its own (``probe.py``) with bounded memory and time: native code that a
hostile model can end must not end the tool.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edgeops.core.errors import MissingExtra
from edgeops.tflite.graph import Graph, Tensor
from edgeops.tflite.operators import shown

PROBE = Path(__file__).with_name("probe.py")
FIRST_ARENA = 1 << 20
MAX_ARENA = 1 << 29
CPU_SECONDS = 20
WALL_SECONDS = 90
BASE_MEMORY = 1 << 31

# below this scale the softmax kernel's integer multiplier would be smaller than one, and it aborts
SMALLEST_SOFTMAX_SCALE = 2.0**-26
USUAL_SCALE = 1 / 16

_FIGURES = {
    "total": re.compile(r"Arena allocation total (\d+) bytes"),
    "head": re.compile(r"Arena allocation head (\d+) bytes"),
    "tail": re.compile(r"Arena allocation tail (\d+) bytes"),
}


@dataclass(frozen=True)
class Allocations:
    """What the interpreter allocated in its x86-64 build, in bytes.

    ``head`` holds the tensors and the kernels' scratch memory, ``tail`` everything that persists.
    ``start_extra``: what starting the interpreter takes beyond ``head + tail``, because memory is planned in
    what is still free.
    """

    head: int
    tail: int
    start_extra: int

    @property
    def total(self) -> int:
        """All that stays in use."""
        return self.head + self.tail


class RuntimeRefuses(Exception):
    """TensorFlow Lite Micro cannot run this model; the message says why."""


def measure_allocations(
    model: bytes, graph: Graph, *, cpu_seconds: int = CPU_SECONDS, wall_seconds: float = WALL_SECONDS
) -> Allocations:
    """Let the interpreter allocate ``model`` and return what it took.

    ``wall_seconds`` is for all attempts together. Raises ``RuntimeRefuses`` when it will not or cannot,
    ``MissingExtra`` where the wheel is not installed.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise MissingExtra(
            "the interpreter that measures the arena (tflite-micro) is not installed",
            fix='pip install "edgeops[train]" on x86-64 Linux; it has no wheels for other systems',
            extra="train",
        )
    arena = _generous_arena(graph)
    end = time.monotonic() + wall_seconds
    while True:
        answer = _probe(model, graph, arena, cpu_seconds, end - time.monotonic())
        if answer is None:
            raise RuntimeRefuses(f"it did not finish allocating within {wall_seconds:.0f} s")
        why = answer.get("refused")
        if why is None:
            return _parse(answer)
        if "Failed to" not in str(why):
            raise RuntimeRefuses(_sentence(str(why)))
        if arena >= MAX_ARENA:
            raise RuntimeRefuses(f"it needs an arena beyond {MAX_ARENA >> 20} MiB: {_sentence(str(why))}")
        arena *= 4


def _generous_arena(graph: Graph) -> int:
    """Room for every activation at once; the interpreter reports what it used of it."""
    held = sum(t.bytes for s in graph.subgraphs for t in s.tensors if not t.is_constant)
    room = FIRST_ARENA + 2 * held + 256 * sum(len(s.tensors) for s in graph.subgraphs)
    # the persistent part grows down from the end: an end off 16 bytes would add padding to what is reported
    return min(MAX_ARENA, room & ~15)


def _probe(
    model: bytes, graph: Graph, arena: int, cpu_seconds: int, wall_seconds: float
) -> dict[str, object] | None:
    """What the probe answers; None when it took longer than ``wall_seconds``."""
    memory = BASE_MEMORY + 2 * arena + 8 * len(model)
    command = [sys.executable, "-P", str(PROBE), str(arena), str(cpu_seconds), str(memory)]
    # one thread: libraries reserve address space for each, which is limited here
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = _run(command, model, environment, wall_seconds)
    if done is None:
        return None
    if done.returncode == 0:
        return _answer(done.stdout)
    if done.returncode in (-signal.SIGKILL, -signal.SIGXCPU):
        raise RuntimeRefuses(f"it did not finish allocating within {cpu_seconds} s of CPU time")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise RuntimeRefuses(f"it ends with {name} while it allocates{_likely_cause(graph)}")
    if b"MemoryError" in done.stderr or b"bad_alloc" in done.stderr:
        raise RuntimeRefuses(f"it needs more than {memory >> 20} MiB to allocate the model")
    raise RuntimeRefuses(_sentence(done.stderr.decode("utf-8", "replace")))


def _run(
    command: list[str], model: bytes, environment: dict[str, str], wall_seconds: float
) -> subprocess.CompletedProcess[bytes] | None:
    """The finished process; None, and neither it nor what it started is left, when it took too long.

    In a session of its own, since the probe forks: a fork that hangs would hold the pipes open for ever.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(model, max(0.0, wall_seconds))
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _answer(printed: bytes) -> dict[str, object]:
    """The probe's document; a model that has overwritten memory may make anything of it."""
    try:
        answer = json.loads(printed)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise RuntimeRefuses("it ends the interpreter without an answer")
    return answer


def _likely_cause(graph: Graph) -> str:
    vanishing = _vanishing(graph)
    if not vanishing:
        return ""
    return f": a softmax reads values of scale {vanishing[0].scale:.2g}; the model looks untrained"


def with_usual_scales(model: bytes, graph: Graph) -> bytes | None:
    """A copy of the model that the interpreter does not abort on, to be measured in its place.

    Where a softmax reads values of a vanishing scale, that scale is replaced by a usual one. Nothing that is
    allocated depends on a scale. None where no softmax does.
    """
    vanishing = _vanishing(graph)
    if not vanishing:
        return None
    copy = bytearray(model)
    for tensor in vanishing:
        struct.pack_into("<f", copy, tensor.scale_at, USUAL_SCALE)
    return bytes(copy)


def _vanishing(graph: Graph) -> list[Tensor]:
    """The inputs of softmax operators whose scale makes the kernel abort."""
    return [
        tensor
        for subgraph in graph.subgraphs
        for operator in subgraph.operators
        if operator.name == "SOFTMAX" and operator.inputs and operator.inputs[0] >= 0
        if 0 < (tensor := subgraph.tensors[operator.inputs[0]]).scale < SMALLEST_SOFTMAX_SCALE
    ]


def _sentence(printed: str) -> str:
    """The telling line of what was printed: the interpreter's first message, or the end of a traceback."""
    lines = [line.strip() for line in printed.replace("\r", "").splitlines() if line.strip()]
    if not lines:
        return "it gives no reason"
    return shown(lines[-1 if lines[0].startswith("Traceback") else 0])


def _parse(answer: dict[str, object]) -> Allocations:
    printed, start_bytes = str(answer.get("allocations")), answer.get("start_bytes")
    found = {name: pattern.search(printed) for name, pattern in _FIGURES.items()}
    figures = {name: int(match[1]) for name, match in found.items() if match}
    if figures.keys() != _FIGURES.keys() or not isinstance(start_bytes, int):
        raise RuntimeRefuses("it does not report its allocations; is it the pinned version of tflite-micro?")
    return Allocations(figures["head"], figures["tail"], max(0, start_bytes - figures["total"]))
