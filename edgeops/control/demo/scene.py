"""What the demo is played with: settings, enrolled devices, the simulated world, and the processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeops.control.devices import enroll_device
from edgeops.control.settings import CaptureSettings, DriftSettings, ReportSettings, RetrainSettings, Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core.errors import CheckFailed, EdgeOpsError, UsageError
from edgeops.files import write_atomic

MARKER = "demo.json"
WINDOW_INFERENCES = 50
INTERVAL_MS = 20
QUIET_WINDOWS = 22
# Devices of later stages begin later; the world changes when the last of them has had its quiet windows too.
DRIFT_AFTER_WINDOWS = 28
FROZEN = (10, 15)
"""One camera gives the same picture in these windows, and is mended."""
ROUND_S = 2.0
LEARN_WINDOWS = 8
"""Each device sees some hundred images again and again: they are its world, and not the training data."""
BROKEN = "cam-02"
SAMPLES = 200
"""So many inputs are captured at the most, of all devices that drift together."""
SHARDS = 2


def make_workspace(root: Path, devices: int, seed: int, broker: str) -> Workspace:
    """A fresh workspace; one that an earlier demo left is replaced, anything else is refused."""
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).exists():
            raise UsageError(
                f"{root} holds something that is not a demo; it is not overwritten",
                fix="edgeops demo --workspace ANOTHER_FOLDER",
                path=str(root),
            )
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    write_atomic(root / MARKER, json.dumps({"seed": seed}).encode())
    settings = Settings(
        "demo",
        broker,
        # Windows close by count alone: what is decided then depends on the seed and not on the machine's speed.
        report=ReportSettings(WINDOW_INFERENCES, 0, 1000, labels=False),  # truths are dear in this story
        capture=CaptureSettings(budget=max(1, SAMPLES // -(-devices // 2))),
        drift=DriftSettings(round_s=ROUND_S, learn_windows=LEARN_WINDOWS),
        retrain=RetrainSettings(settle_windows=6, capture_windows=8, min_samples=60, seed=seed),
    )
    return init_workspace(root, settings)


def enroll_fleet(workspace: Workspace, devices: int, seed: int) -> None:
    """Enrol the devices, half of them at each of two sites; the cameras of one site will drift, one of the other
    freezes for a while.
    """
    entries = []
    for number in range(1, devices + 1):
        name, site = f"cam-{number:02d}", ("north" if number % 2 else "south")
        enroll_device(workspace, name, {"site": site}, None, INTERVAL_MS)
        entries.append(
            f'[[device]]\nagent = "devices/{name}/agent.toml"\nsite = "{site}"\n'
            f"drifts = {str(site == 'north').lower()}\n"
            + (f"frozen = {list(FROZEN)}\n" if name == BROKEN else "")
        )
    head = (
        f"seed = {seed}\ninterval_ms = {INTERVAL_MS}\nwindow_inferences = {WINDOW_INFERENCES}\n"
        f'field = "field"\nledger = "ledger"\ndrift_after_windows = {DRIFT_AFTER_WINDOWS}\n\n'
    )
    write_atomic(workspace.root / "simulate.toml", (head + "\n".join(entries)).encode())


class Processes:
    """Child processes with a log file each; ends those that it started, and only those."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, module: str, arguments: Sequence[str]) -> None:
        """Start ``python -m module arguments``; its output goes to ``<name>.log``."""
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def check(self) -> None:
        """Raise ``CheckFailed`` naming a process that ended by itself, with the last line of its log."""
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self._folder / f"{name}.log"
                lines = log.read_text(errors="replace").strip().splitlines() or ["(its log is empty)"]
                raise CheckFailed(
                    f"{name} ended with status {process.returncode}: {lines[-1]}", fix=f"read {log}"
                )

    def stop(self) -> None:
        """Ask all to end, the last started first, and wait: the control plane still hears the devices' goodbyes."""
        for name in reversed(list(self._running)):
            process = self._running.pop(name)
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def run_command(arguments: Sequence[str]) -> dict[str, Any]:
    """Run an ``edgeops`` command that prints JSON; its messages and bars go to this terminal."""
    command = [sys.executable, "-m", "edgeops", *arguments, "--json"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=os.environ, check=False
    )
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode != 0:
        error = CheckFailed if done.returncode == 3 else EdgeOpsError
        raise error(f"edgeops {' '.join(arguments)} ended with status {done.returncode}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document
