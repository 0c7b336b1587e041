"""The main job, end to end: ``edgeops demo`` in processes of its own, on each kind of broker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeops.control.broker import PrivateBroker

DEVICES = 4
KEYS = {
    "float_accuracy",
    "int8_accuracy",
    "accuracy_before",
    "accuracy_during",
    "accuracy_after",
    "windows_to_detection",
    "alarms_before_drift",
    "devices_confirmed",
    "bytes_published",
    "bytes_received",
    "retrain_samples",
    "seconds",
    "sensor_faults",
    "seed",
}
for module in ("tensorflow", "ai_edge_litert", "sklearn", "amqtt"):
    pytest.importorskip(module)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["amqtt", pytest.param("mosquitto", marks=pytest.mark.needs_mosquitto)])
def test_the_loop_closes(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "demo"
    options = ["--devices", str(DEVICES), "--seed", "1", "--workspace", str(root)]
    with PrivateBroker(kind=kind) as broker:  # type: ignore[arg-type]
        done = subprocess.run(
            [sys.executable, "-m", "edgeops", "demo", "--json", *options, "--broker", broker.url],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=800,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    figures = json.loads(done.stdout)
    assert figures.keys() >= KEYS
    assert figures == json.loads((root / "summary.json").read_text())
    assert "<html" in (root / "report.html").read_text()[:500]

    assert figures["int8_accuracy"] >= 0.96
    assert abs(figures["float_accuracy"] - figures["int8_accuracy"]) <= 0.01
    assert figures["accuracy_before"] - figures["accuracy_during"] >= 0.1
    assert figures["accuracy_after"] > figures["accuracy_during"]
    assert figures["alarms_before_drift"] == 0
    # a frozen camera is told of as what it is, and asks for no retrain
    assert set(figures["sensor_faults"]) == {"cam-02"}
    assert 1 <= figures["sensor_faults"]["cam-02"] <= 2
    assert figures["windows_to_detection"] <= 5
    assert figures["devices_drifted"] == figures["devices_detected"] == DEVICES // 2
    assert figures["devices_confirmed"] == {"digits@1": DEVICES, "digits@2": DEVICES}
    assert figures["retrain_samples"] > 0
    # published once, received by all: that is what the broadcast is for
    assert 0 < figures["bytes_published"] < figures["bytes_received"]
