"""What counting costs the agent, beside a bare call of the interpreter, for the keyword model of its recipe.

Trained for one epoch: the architecture counts, not the accuracy. ``EDGEOPS_DATA`` names a folder with
``fsdd_speech.tar.gz``; without it the rows say so and have no value.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

EDGEOPS = (sys.executable, "-c", "from edgeops.cli.main import run; run()")
DATA = "EDGEOPS_DATA"
RECIPE = Path(__file__).parents[1] / "models" / "keyword" / "recipe.toml"
MIB = 2**20
# per row: the figure of the bench, its unit, and what it is divided by
ROWS = (
    ("count_prediction_ratio", "counted_ratio", "x a bare call", 1),
    ("observed_input_us", "observed_us", "us", 1),
    ("report_bytes", "report_bytes", "bytes", 1),
    ("memory_growth_kib", "growth_bytes", "KiB over 100,000 inferences", 1024),
    ("memory_counting_mib", "counting_rss_bytes", "MiB above the bare interpreter", MIB),
    ("memory_agent_mib", "agent_rss_bytes", "MiB above the bare interpreter", MIB),
)


def rows() -> list[dict[str, Any]]:
    """One row a figure."""
    folder = os.environ.get(DATA)
    if not folder:
        note = f"set {DATA} to a folder with fsdd_speech.tar.gz"
        return [_row(name, unit, None, note) for name, _, unit, _ in ROWS]
    with tempfile.TemporaryDirectory(prefix="edgeops-bench-") as scratch:
        model = keyword_model(Path(folder) / "fsdd_speech.tar.gz", Path(scratch))
        command = [sys.executable, "-m", "device_agent", "bench", "--model", str(model), "--json"]
        costs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    note = f"{costs['runtime']}, a bare call {costs['bare_us']:.1f} us, {costs['features']} features"
    return [_row(name, unit, costs[figure] / by, note) for name, figure, unit, by in ROWS]


def keyword_model(speech: Path, scratch: Path) -> Path:
    """Train the recipe's architecture for an epoch; the ``.tflite`` file."""
    workspace, recipe = scratch / "workspace", scratch / "keyword"
    recipe.mkdir()
    text = re.sub(r"epochs = \d+", "epochs = 1", RECIPE.read_text())
    (recipe / "recipe.toml").write_text(text)
    _edgeops("init", str(workspace))
    pattern = ("--pattern", "{label}/{speaker}_nohash_{take}")
    _edgeops("data", "add", str(speech), "--name", "keyword", *pattern, "-w", str(workspace))
    trained = json.loads(_edgeops("train", str(recipe), "-w", str(workspace), "--json"))
    digest = trained["artifact"]["sha256"]
    found = [path for path in workspace.rglob("*") if path.is_file() and path.stem == digest]
    return found[0]


def _row(name: str, unit: str, value: float | None, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": "lower", "peer": None, "note": note}


def _edgeops(*arguments: str) -> str:
    """Run a command; a gate that failed (exit code 3) is no failure here."""
    done = subprocess.run([*EDGEOPS, *arguments], capture_output=True, text=True, check=False, timeout=3000)
    if done.returncode not in (0, 3):
        raise RuntimeError(
            f"edgeops {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-800:]}"
        )
    return done.stdout


if __name__ == "__main__":
    for measured in rows():
        print(f"{measured['name']:32} {measured['value']}  {measured['note']}")
