"""What ``edgeops train`` adds to the same Keras and converter calls written bare, each in a process of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PAIRS = 3
EDGEOPS = (sys.executable, "-c", "from edgeops.cli.main import run; run()")
BARE = Path(__file__).parent / "peers" / "bare_training.py"


def rows() -> list[dict[str, Any]]:
    """One row: the median ratio of interleaved pairs on the digits recipe.

    Both run from compiled files, as installed ones do: a first short run of each fills a cache of their own.
    """
    with (
        tempfile.TemporaryDirectory(prefix="edgeops-bench-") as workspace,
        tempfile.TemporaryDirectory(prefix="edgeops-bench-") as cache,
    ):
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = cache
        _run(*EDGEOPS, "init", workspace)
        _run(*EDGEOPS, "data", "add", "sklearn:digits", "--name", "digits", "--workspace", workspace)
        _run(*EDGEOPS, "train", "digits", "--json", "--workspace", workspace)
        _run(sys.executable, str(BARE))
        pairs = []
        for _ in range(PAIRS):
            ours = _run(*EDGEOPS, "train", "digits", "--json", "--workspace", workspace)
            bare = _run(sys.executable, str(BARE))
            pairs.append((ours, bare))
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    return [
        {
            "name": "train_overhead",
            "value": statistics.median(mine / other for mine, other in pairs),
            "unit": "x",
            "better": "lower",
            "peer": {"name": "bare keras", "version": metadata.version("keras"), "value": 1.0},
            "note": f"measured, median of {PAIRS} pairs: edgeops train {ours:.1f} s, bare {bare:.1f} s",
        }
    ]


def _run(*command: str) -> float:
    """Seconds from start to end of a command, which has to succeed."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    return time.perf_counter() - started


if __name__ == "__main__":
    for measured in rows():
        print(f"{measured['name']:32} {measured['value']:.3f}  {measured['note']}")
