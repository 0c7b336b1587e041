"""What `edgeops --help` costs beside the bare import of the library that it is built with."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from typing import Any

PAIRS = 15
# What the console script runs, without its start-up file
HELP = (sys.executable, "-c", "from edgeops.cli.main import run; run()", "--help")
TYPER = (sys.executable, "-c", "import typer")


def rows() -> list[dict[str, Any]]:
    """One row: the median ratio of interleaved pairs, which a busy machine slows alike.

    Both run from compiled files, as an installed tool does: the first run of each fills a cache of their own,
    whatever the environment says about writing bytecode.
    """
    with tempfile.TemporaryDirectory(prefix="edgeops-bench-") as cache:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache
        seconds(HELP, environment, says="Usage")
        seconds(TYPER, environment)
        pairs = [(seconds(HELP, environment), seconds(TYPER, environment)) for _ in range(PAIRS)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return [
        {
            "name": "help_ratio",
            "value": statistics.median(mine / other for mine, other in pairs),
            "unit": "x",
            "better": "lower",
            "peer": {"name": "import typer", "version": metadata.version("typer"), "value": 1.0},
            "note": f"measured, median of {PAIRS} pairs: help {ours:.3f} s, import typer {theirs:.3f} s",
        }
    ]


def seconds(command: tuple[str, ...], environment: dict[str, str], says: str = "") -> float:
    """How long a command takes from start to end; it has to succeed and to print ``says``."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    elapsed = time.perf_counter() - started
    if done.returncode or says not in done.stdout:
        raise RuntimeError(f"{command[-1]} ended with {done.returncode}: {done.stderr[-500:]}")
    return elapsed
