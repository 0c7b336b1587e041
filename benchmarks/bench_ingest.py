"""What ``edgeops data add`` takes for 2,000 short recordings, from the command to the registered version.

``EDGEOPS_DATA`` may name a folder with ``fsdd_speech.tar.gz`` (2,000 spoken digits at 8 kHz); otherwise as many
WAV files of the same lengths are made.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import wave
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

FILES = 2000
RATE_HZ = 8000
ROUNDS = 3
ARCHIVE = "fsdd_speech.tar.gz"
PATTERN = "{label}/{speaker}_nohash_{take}"
EDGEOPS = (sys.executable, "-c", "from edgeops.cli.main import run; run()")


def rows() -> list[dict[str, Any]]:
    """One row: the median of three ingests into workspaces of their own."""
    with tempfile.TemporaryDirectory(prefix="edgeops-bench-") as folder:
        source, said = source_in(Path(folder))
        taken = [ingest(source, Path(folder) / f"workspace-{number}") for number in range(ROUNDS)]
        floor = decode(source)
    each = ", ".join(f"{seconds:.2f}" for seconds in taken)
    return [
        {
            "name": "ingest_2000_wav_seconds",
            "value": statistics.median(taken),
            "unit": "s",
            "better": "lower",
            "peer": {
                "name": "soundfile, decoding only",
                "version": metadata.version("soundfile"),
                "value": floor,
            },
            "note": f"measured on {said}, median of {ROUNDS} (each: {each}), with the start of the command",
        }
    ]


def source_in(folder: Path) -> tuple[Path, str]:
    """What is ingested, and what it is in words."""
    given = os.environ.get("EDGEOPS_DATA")
    if given:
        archive = Path(given) / ARCHIVE
        if not archive.exists():
            raise FileNotFoundError(f"EDGEOPS_DATA names {given}, where there is no {ARCHIVE}")
        return archive, f"{FILES:,} recordings of {ARCHIVE}"
    return generate(folder), f"{FILES:,} generated recordings"


def generate(folder: Path) -> Path:
    """An archive of noise in ten class folders, 0.14 to 0.8 s long: the mean, 0.47 s, is that of the spoken digits."""
    random = np.random.default_rng(0)
    for number in range(FILES):
        word, speaker, take = number % 10, number // 10 % 4, number // 40
        path = folder / "words" / str(word) / f"speaker{speaker}_nohash_{take}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = random.integers(-9000, 9000, int(RATE_HZ * random.uniform(0.14, 0.8))).astype("<i2")
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
    archive = folder / "words.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(folder / "words", "words")
    return archive


def ingest(source: Path, workspace: Path) -> float:
    """Seconds of one ``edgeops data add``; it has to take all files."""
    called(*EDGEOPS, "init", str(workspace))
    started = time.perf_counter()
    add = (
        *EDGEOPS,
        "data",
        "add",
        str(source),
        "--name",
        "speech",
        "--pattern",
        PATTERN,
        "-w",
        str(workspace),
    )
    shown = called(*add, "-o", "csv")
    elapsed = time.perf_counter() - started
    came = shown.splitlines()[-1]
    if f",{FILES}," not in came:
        raise RuntimeError(f"not all of {FILES} files were taken: {came}")
    return elapsed


def called(*command: str) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[3:6])} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def decode(source: Path) -> float:
    """Seconds to read and decode the same files and to do nothing else with them."""
    import soundfile

    started = time.perf_counter()
    with tarfile.open(source) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".wav") else None
            if file is not None:
                soundfile.read(io.BytesIO(file.read()), dtype="int16")
    return time.perf_counter() - started


if __name__ == "__main__":
    for measured in rows():
        print(f"{measured['name']:32} {measured['value']:.2f}  {measured['note']}")
