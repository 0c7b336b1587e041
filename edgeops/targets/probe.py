"""Runs in a process of its own: lets TensorFlow Lite Micro allocate one model, and says what it took.

    python -P probe.py ARENA_BYTES CPU_SECONDS MEMORY_BYTES < model.tflite

The model may be hostile and the interpreter is native code, so the process limits itself before it reads a
byte. Nothing of EdgeOps is imported. stdout gets one JSON document: ``{"allocations": "<what the interpreter
printed>", "start_bytes": N}``, or ``{"refused": "<why>"}``. ``start_bytes`` is the smallest arena with which the
interpreter starts: while it plans, it needs memory beside what stays in use.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import tempfile
from collections.abc import Callable
from typing import Any

TOTAL = re.compile(r"Arena allocation total (\d+) bytes")
STEP = 16
MAX_EXTRA = 1 << 20


def main() -> int:
    """Measure the model on stdin; returns the exit status."""
    arena, seconds, memory = (int(argument) for argument in sys.argv[1:4])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    model = sys.stdin.buffer.read()
    from tflite_micro.python.tflite_micro import runtime

    def start(size: int) -> Any:
        return runtime.Interpreter.from_bytes(model, arena_size=size)

    answer: dict[str, object]
    interpreter, printed = _captured(lambda: _started(start, arena))
    if interpreter is None:
        answer = {"refused": printed}
    else:
        _, allocations = _captured(interpreter.print_allocations)
        found = TOTAL.search(allocations)
        total = int(found[1]) if found else arena
        answer = {"allocations": allocations, "start_bytes": _smallest(start, total, arena)}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # the interpreter's own end may crash on a hostile model; all is said by now


def _started(start: Callable[[int], Any], size: int) -> Any:
    try:
        return start(size)
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr, flush=True)
        return None


def _smallest(start: Callable[[int], Any], total: int, known: int) -> int:
    """The smallest arena, in steps of 16 bytes, that starts; ``known`` does."""
    low, high = total, min(known, total + MAX_EXTRA)
    if _starts(start, total + STEP):
        return total
    while high - low > STEP:
        middle = (low + high) // 2
        if _starts(start, middle):
            high = middle
        else:
            low = middle
    return high


def _starts(start: Callable[[int], Any], size: int) -> bool:
    """Whether it starts in ``size`` bytes; tried in a fork, since some kernels crash when memory runs out."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os._exit(0 if _started(start, size) is not None else 1)
    return os.waitpid(child, 0)[1] == 0


def _captured(action: Callable[[], Any]) -> tuple[Any, str]:
    """The result of ``action`` and what native code wrote to stderr meanwhile."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            result = action()
            sys.stderr.flush()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return result, file.read(65536).decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main())
