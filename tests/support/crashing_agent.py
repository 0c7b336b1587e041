"""An agent in a process of its own, as ``python -m support.crashing_agent AGENT.TOML``; inputs never end.

A model whose file ends in ``CRASH`` takes the process with it at its first input after the self-test.
"""

from __future__ import annotations

import sys
from pathlib import Path

from device_agent import running_model
from device_agent.agent import agent_from_file
from device_agent.inference import Interpreter
from support.killed_agent import CRASH, Crashing
from support.packages import image

SELF_TEST_INPUTS = 4


def main() -> None:
    """Run until killed."""
    opened = running_model.open_interpreter

    def opening(model: bytes, runtime: str | None = None, threads: int = 1) -> Interpreter:
        interpreter = opened(model, runtime, threads)
        return Crashing(interpreter, SELF_TEST_INPUTS + 1) if model.endswith(CRASH) else interpreter

    running_model.open_interpreter = opening
    agent = agent_from_file(Path(sys.argv[1]))
    while True:
        if agent.ready():
            agent.predict(image())
        agent.poll(0.01)


if __name__ == "__main__":
    main()
