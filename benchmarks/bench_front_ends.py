"""Front ends on one core: seconds of signal a second of computing, beside TensorFlow's signal module."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

CLIPS = 100
ROUNDS = 3
RATE = 16_000
SPEECH = {
    "sample_rate_hz": RATE,
    "frame_length": 400,
    "frame_step": 160,
    "fft_length": 512,
    "mels": 40,
    "low_hz": 20,
    "high_hz": 7600,
}
MACHINE = {
    "sample_rate_hz": 12_000,
    "fft_length": 1024,
    "frame_step": 512,
    "bands": 64,
    "high_hz": 6000,
}


def rows() -> list[dict[str, Any]]:
    """How many times faster than real time each front end is, on clips of one second."""
    ours, theirs = (in_own_process(who) for who in ("edgeops", "tensorflow"))
    notes = {
        "log_mel": "16 kHz, 98 frames of 40 bands",
        "mfcc": "16 kHz, 98 frames of 10 coefficients",
        "fft_bands": "12 kHz, 22 frames of 64 bands",
    }
    return [
        {
            "name": f"{name}_realtime",
            "value": ours[name],
            "unit": "x",
            "better": "higher",
            "peer": {
                "name": "tf.signal",
                "version": metadata.version("tensorflow"),
                "value": theirs[name],
            }
            if name in theirs
            else None,
            "note": f"measured in processor time on one core, median of {CLIPS} clips of 1 s; {note}",
        }
        for name, note in notes.items()
    ]


def in_own_process(who: str) -> dict[str, float]:
    """What a process that has one core only measures; libraries read the number of cores when they load."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), who], capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        raise RuntimeError(f"measuring {who} ended with {done.returncode}: {done.stderr[-500:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def times_real_time(front_end: Callable[[Any], Any], clips: Any) -> float:
    """Seconds of signal for one second of processor time; the first clip warms up."""
    front_end(clips[0])
    seconds = []
    for clip in list(clips) * ROUNDS:
        started = time.process_time()
        front_end(clip)
        seconds.append(time.process_time() - started)
    return 1 / statistics.median(seconds)


def noise(rate: int) -> Any:
    """(CLIPS, rate) float32: one second each."""
    import numpy as np

    return np.random.default_rng(1).normal(0, 0.1, (CLIPS, rate)).astype(np.float32)


def of_edgeops() -> dict[str, float]:
    """Our front ends, as training and the agent run them."""
    from edgeops.core.features.steps import apply_steps, make_step

    steps = {
        "log_mel": (make_step("log_mel", **SPEECH), RATE),
        "mfcc": (make_step("mfcc", **SPEECH, coefficients=10), RATE),
        "fft_bands": (make_step("fft_bands", **MACHINE), int(MACHINE["sample_rate_hz"])),
    }
    return {
        name: times_real_time(lambda clip, step=step: apply_steps([step], clip), noise(rate))  # type: ignore[misc]
        for name, (step, rate) in steps.items()
    }


def of_tensorflow() -> dict[str, float]:
    """The same of TensorFlow's signal module, compiled as a graph."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    bands = SPEECH["fft_length"] // 2 + 1
    weights = tf.signal.linear_to_mel_weight_matrix(
        SPEECH["mels"], bands, RATE, SPEECH["low_hz"], SPEECH["high_hz"]
    )

    def log_mel(clip: Any) -> Any:
        spectra = tf.signal.stft(clip, SPEECH["frame_length"], SPEECH["frame_step"], SPEECH["fft_length"])
        return tf.math.log(tf.matmul(tf.abs(spectra), weights) + 1e-6)

    def mfcc(clip: Any) -> Any:
        return tf.signal.mfccs_from_log_mel_spectrograms(log_mel(clip))[:, :10]

    clips = [tf.constant(clip) for clip in noise(RATE)]
    return {
        "log_mel": times_real_time(tf.function(log_mel), clips),
        "mfcc": times_real_time(tf.function(mfcc), clips),
    }


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if sys.argv[1:]:
        print(json.dumps(of_edgeops() if sys.argv[1] == "edgeops" else of_tensorflow()))
    else:
        for row in rows():
            print(f"{row['name']:20} {row['value']:8.0f} {row['unit']}  {row['note']}; peer {row['peer']}")
