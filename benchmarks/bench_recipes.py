"""Every recipe on real data, by the commands that a person types: ingest, train, gates.

The data are public and not part of EdgeOps: ``EDGEOPS_DATA`` names a folder with ``fsdd_speech.tar.gz``,
``cwru_bearing.tar.gz`` and ``cifar10_small.tar``. Without it the rows say so and have no value.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

EDGEOPS = (sys.executable, "-c", "from edgeops.cli.main import run; run()")
DATA = "EDGEOPS_DATA"
SPEECH = ("fsdd_speech.tar.gz", "keyword", "--pattern", "{label}/{speaker}_nohash_{take}")
BEARING = ("cwru_bearing.tar.gz", "bearing")
IMAGES = ("cifar10_small.tar", "image")
# per row: dataset and its options, split, recipe, options of the training, the figure
ROWS: tuple[tuple[str, tuple[str, ...], str, str, tuple[str, ...], str], ...] = (
    ("keyword_int8_accuracy", SPEECH, "70,10,20,0", "keyword", (), "accuracy"),
    ("keyword_unseen_speaker", SPEECH, "70,10,20,0", "keyword", ("--holdout", "speaker=lucas"), "accuracy"),
    ("vibration_unseen_load_1", BEARING, "70,10,20,0", "vibration", ("--holdout", "load_hp=1"), "accuracy"),
    ("vibration_unseen_load_2", BEARING, "70,10,20,0", "vibration", ("--holdout", "load_hp=2"), "accuracy"),
    ("anomaly_auc", BEARING, "70,10,20,0", "anomaly", (), "auc"),
    ("image_int8_accuracy", IMAGES, "90,10,0,0", "image", (), "accuracy"),
)


def rows() -> list[dict[str, Any]]:
    """One row a training, int8 on its held-out part."""
    folder = os.environ.get(DATA)
    if not folder:
        return [
            _row(name, figure, None, f"set {DATA} to a folder with {data[0]}")
            for name, data, *_, figure in ROWS
        ]
    found = []
    with tempfile.TemporaryDirectory(prefix="edgeops-bench-") as workspace:
        _edgeops("init", workspace)
        known: set[str] = set()
        for name, (file, dataset, *options), split, recipe, training, figure in ROWS:
            if dataset not in known:
                known.add(dataset)
                path = str(Path(folder) / file)
                _edgeops(
                    "data",
                    "add",
                    path,
                    "--name",
                    dataset,
                    "--split",
                    split,
                    *options,
                    "--workspace",
                    workspace,
                )
            trained = _edgeops("train", recipe, *training, "--workspace", workspace)
            metrics = trained["metrics"]
            failed = [gate["name"] for gate in trained["gates"] if not gate["passed"]]
            note = (
                f"measured on {metrics['int8']['n']} held-out inputs, float {metrics['float'][figure]:.4f}, "
                f"{trained['artifact']['bytes']} bytes, {trained['seconds']:.0f} s; "
                f"gates {'failed: ' + ', '.join(failed) if failed else 'OK'}"
            )
            found.append(_row(name, figure, metrics["int8"][figure], note))
    return found


def _row(name: str, unit: str, value: float | None, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": "higher", "peer": None, "note": note}


def _edgeops(*arguments: str) -> dict[str, Any]:
    """Run a command and return its document; a gate that failed (exit code 3) is in the document too."""
    json_flag = () if arguments[0] == "init" else ("--json",)
    done = subprocess.run(
        [*EDGEOPS, *arguments, *json_flag], capture_output=True, text=True, check=False, timeout=3000
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(
            f"edgeops {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-800:]}"
        )
    return json.loads(done.stdout) if json_flag else {}


if __name__ == "__main__":
    for measured in rows():
        print(f"{measured['name']:32} {measured['value']}  {measured['note']}")
