"""EdgeOps and its peers over the same streams, the peers in an environment of their own (``make bench-peers``).

Each peer runs at its defaults and with one parameter tuned to EdgeOps' rate of false alarms, on independent null
streams of the same shape (rows of reference, window, columns).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from drift_judging import ALWAYS, OURS, Score
from drift_streams import NULL_WINDOWS, TUNING, Run, tuning_stream
from drift_worlds import FEATURES, WINDOW

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
SCRIPT = HERE / "peers" / "drift_detectors.py"
BY_PROJECT = {
    "river": ("ADWIN", "PageHinkley", "HDDM_A", "HDDM_W", "KSWIN"),
    "evidently": ("Evidently",),
    "nannyml": ("NannyML",),
}
PROJECT = {name: project for project, names in BY_PROJECT.items() for name in names}
PROCESSES = (("ADWIN", "PageHinkley", "HDDM_A", "HDDM_W"), ("KSWIN", "Evidently", "NannyML"))
SECONDS = 3_600  # a machine may be busy; alone they take some minutes
PEER_NULL_REFERENCES, PEER_NULL_WINDOWS = 2, 250
FEW = {"HDDM_A": 25, "HDDM_W": 25, "KSWIN": 12, "Evidently": 60}
"""Windows of each null stream for the peers that take 10 ms a window and more."""
TUNING_FEW = {"HDDM_A": 60, "HDDM_W": 60, "KSWIN": 40, "Evidently": 100}


@dataclass(frozen=True)
class Measured:
    """``scores`` by stream and detector, ``notes`` on what is missing, ``versions`` by project, and what was tuned."""

    scores: dict[str, dict[str, Score]]
    notes: list[str]
    versions: dict[str, str]
    tuned: list[str]


def measure(streams: dict[str, list[Run]]) -> Measured:
    """Watch every stream with everybody. Exits, saying what to run, where the peers' environment is missing."""
    if not PEERS.exists():
        raise SystemExit("the peers have no environment; run: make bench-peers")
    shapes = {run.group: run for runs in streams.values() for run in runs}
    tuning = {group: tuning_stream(run, seed) for seed, (group, run) in enumerate(sorted(shapes.items()))}
    rates = {group: len(run.alarmed()) / run.windows for group, run in tuning.items()}
    with tempfile.TemporaryDirectory(prefix="edgeops-bench-") as temporary, ThreadPoolExecutor() as pool:
        folder = Path(temporary)
        _write_jobs(folder, streams, tuning, rates)
        waiting = [pool.submit(_peers, folder, names) for names in PROCESSES]
        scores = {stream: _ours(runs) for stream, runs in streams.items()}
        answers = [future.result() for future in waiting]
    said = ", ".join(f"{group} {1000 * rate:.2f}" for group, rate in rates.items())
    measured = Measured(scores, [], {}, [f"to EdgeOps' false alarms per 1,000 windows: {said}"])
    for answer in answers:
        _take(measured, streams, answer)
    return measured


def _ours(runs: Sequence[Run]) -> dict[str, Score]:
    scores = {OURS: Score(), ALWAYS: Score()}
    for run in runs:
        scores[OURS].add(run.windows, run.change, run.alarmed())
        scores[ALWAYS].add(run.windows, run.change, range(run.windows))
    return scores


def _take(measured: Measured, streams: dict[str, list[Run]], answer: dict[str, Any]) -> None:
    measured.versions.update(answer["versions"])
    measured.notes.extend(f"{project} not measured: {why}" for project, why in answer["missing"].items())
    for name, tuned in answer["tuned"].items():
        values = ", ".join(
            f"{group} {value:.3g} ({answer['windows'][name][group]} windows)"
            for group, value in tuned.items()
            if group != "parameter"
        )
        measured.tuned.append(f"{name} {tuned['parameter']}: {values}")
    for stream, runs in streams.items():
        scores = measured.scores[stream]
        for index, run in enumerate(runs):
            for name, (windows, default, tuned) in answer["alarms"].get(f"{stream}-{index}", {}).items():
                for setting, alarmed in ((name, default), (f"{name} tuned", tuned)):
                    scores.setdefault(setting, Score()).add(windows, run.change, alarmed)


def _write_jobs(
    folder: Path, streams: dict[str, list[Run]], tuning: dict[str, Run], rates: dict[str, float]
) -> None:
    def entry(name: str, run: Run, windows: int | None = None) -> dict[str, Any]:
        known, rows = run.for_peers()
        rows = rows[: windows * run.window] if windows else rows
        np.savez(folder / f"{name}.npz", reference=known.astype(np.float32), stream=rows.astype(np.float32))
        return {
            "file": f"{name}.npz",
            "window": run.window,
            "binary": run.labels is not None,
            "change": run.change,
            "group": run.group,
        }

    groups = {
        group: entry(f"tuning-{group}", run)
        | {
            "rate": rates[group],
            "windows": {name: _few(name, run, TUNING_FEW, TUNING) for name in PROJECT},
        }
        for group, run in tuning.items()
    }
    jobs = {}
    for stream, runs in streams.items():
        for index, run in enumerate(runs):
            if run.change is not None:
                jobs[f"{stream}-{index}"] = entry(f"{stream}-{index}", run)
            elif index < PEER_NULL_REFERENCES:
                most = {name: _few(name, run, FEW, PEER_NULL_WINDOWS) for name in PROJECT}
                jobs[f"{stream}-{index}"] = entry(f"{stream}-{index}", run, max(most.values())) | {
                    "windows": most
                }
    document = {"peers": BY_PROJECT, "groups": groups, "jobs": jobs}
    (folder / "jobs.json").write_text(json.dumps(document))


def _few(name: str, run: Run, few: dict[str, int], most: int) -> int:
    """How many windows a slow peer gets: more where windows hold fewer values."""
    values: int = run.for_peers()[0].shape[1] * run.window
    return min(
        TUNING if few is TUNING_FEW else NULL_WINDOWS, few.get(name, most) * (FEATURES * WINDOW) // values
    )


def _peers(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    quiet = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(PEERS), str(SCRIPT), str(folder), *names],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, **quiet},
    )
    if done.returncode:
        raise RuntimeError(f"{', '.join(names)} ended with {done.returncode}: {done.stderr[-800:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
