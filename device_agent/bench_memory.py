"""The processes that ``device_agent.bench`` measures memory in; each prints one JSON document.

``bare`` imports an interpreter and NumPy and runs the model, nothing else of the agent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

WARM = 10_000
WINDOW = 1_000


def rss_bytes() -> int:
    """What this process holds in memory now; where the system does not say, the most that it ever held."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def bare() -> None:
    """Print the memory of a process that only runs the model ``sys.argv[1]``."""
    import numpy as np

    from device_agent.inference import open_interpreter

    interpreter = open_interpreter(Path(sys.argv[1]).read_bytes())
    values = np.zeros(interpreter.input.shape, np.int8)
    for _ in range(WINDOW):
        interpreter.invoke(values)
    print(json.dumps({"rss": rss_bytes()}))


def agent() -> None:
    """Print the memory with the agent's modules, after ``sys.argv[2]`` counted inferences, and its growth over them."""
    import device_agent.agent  # noqa: F401  # what a running agent has imported

    counting()


def counting() -> None:
    """As ``agent``, without what the agent imports besides."""
    from device_agent.bench_subject import count_many, observing_of, subject_of
    from edgeops.core.codec import encode

    subject = subject_of(Path(sys.argv[1]))
    observing = observing_of(subject, 100)

    def windows(inferences: int) -> None:
        for _ in range(0, inferences, WINDOW):
            count_many(observing, subject, WINDOW)
            report = observing.close(0)
            if report is not None:
                encode(report)

    windows(WARM)
    before = rss_bytes()
    windows(int(sys.argv[2]))
    after = rss_bytes()
    print(json.dumps({"rss": after, "growth": after - before}))
