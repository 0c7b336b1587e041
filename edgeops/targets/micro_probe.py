"""Runs in a process of its own: what TensorFlow Lite Micro answers to a model's inputs.

    python -P micro_probe.py ARENA_BYTES CPU_SECONDS INPUT_BYTES MODEL_BYTES SHAPE < model and inputs

stdin is the model and the int8 inputs, one after the other; stdout the int8 outputs, one after the other, and
nothing where it cannot. The interpreter is native code, so a model that ends it ends this process alone.
"""

from __future__ import annotations

import os
import resource
import sys


def main() -> None:
    """Answer every input on stdin."""
    arena, seconds, each, length = (int(argument) for argument in sys.argv[1:5])
    shape = [int(size) for size in sys.argv[5].split("x")]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    model = sys.stdin.buffer.read(length)
    import numpy as np
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena)
    answers = []
    while given := sys.stdin.buffer.read(each):
        interpreter.set_input(np.frombuffer(given, np.int8).reshape(shape), 0)
        interpreter.invoke()
        answers.append(interpreter.get_output(0).tobytes())
    sys.stdout.buffer.write(b"".join(answers))
    sys.stdout.flush()
    os._exit(0)  # the interpreter's own end may crash; all is said by now


if __name__ == "__main__":
    main()
