"""The main job, whole, for three seeds: each figure is the worst of the three."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEEDS = (1, 2, 3)
DEVICES = 20
EDGEOPS = (sys.executable, "-c", "from edgeops.cli.main import run; run()")


def rows() -> list[dict[str, Any]]:
    """Five rows out of the summaries of three runs."""
    summaries = [demo(seed) for seed in SEEDS]

    def row(
        name: str, unit: str, better: str, read: Callable[[dict[str, Any]], float | None]
    ) -> dict[str, Any]:
        values = [read(summary) for summary in summaries]
        known = [value for value in values if value is not None]
        worst = max(known, default=None) if better == "lower" else min(known, default=None)
        seeds = ", ".join(
            f"seed {seed}: {'never' if value is None else f'{value:.4g}'}"
            for seed, value in zip(SEEDS, values, strict=True)
        )
        return {
            "name": name,
            "value": worst if len(known) == len(values) else None,
            "unit": unit,
            "better": better,
            "peer": None,
            "note": f"measured, the worst of {len(SEEDS)} seeds: {seeds}",
        }

    return [
        row(
            "demo_accuracy_fall",
            "accuracy",
            "higher",
            lambda summary: summary["accuracy_before"] - summary["accuracy_during"],
        ),
        row("demo_accuracy_after", "accuracy", "higher", lambda summary: summary["accuracy_after"]),
        row("demo_windows_to_detection", "windows", "lower", lambda summary: summary["windows_to_detection"]),
        row("demo_alarms_before_drift", "alarms", "lower", lambda summary: summary["alarms_before_drift"]),
        row("demo_seconds_total", "s", "lower", lambda summary: summary["seconds"]["total"]),
    ]


def demo(seed: int) -> dict[str, Any]:
    """Run the demo in a folder of its own and read the summary that it leaves."""
    with tempfile.TemporaryDirectory(prefix="edgeops-bench-") as folder:
        workspace = Path(folder) / "demo"
        command = (
            *EDGEOPS,
            "demo",
            "--devices",
            str(DEVICES),
            "--workspace",
            str(workspace),
            "--seed",
            str(seed),
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, cwd=folder)
        if done.returncode:
            raise RuntimeError(f"demo --seed {seed} ended with {done.returncode}: {done.stderr[-2000:]}")
        summary: dict[str, Any] = json.loads((workspace / "summary.json").read_text())
        return summary
