"""Real streams on which detectors are compared: a new load, a new speaker, and worse pictures.

The digits come with scikit-learn; the recordings are read from a folder of public data sets.
"""

from __future__ import annotations

import io
import tarfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from drift_streams import Matrix, Run
from numpy.typing import NDArray

from edgeops.core.input_features import FEATURES as EXTRACTED
from edgeops.core.input_features import extract

DIGITS_SEEDS, SPEAKER_SEEDS, TURNS = 16, 16, 4
FRAME, CLIP = 256, 4_096  # samples
BANDS = ((2, 16), (16, 48), (48, 80), (80, 129))  # of 256 samples' spectrum


def real_streams(folder: Path | None) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """({name: runs}, {name: the file that is missing}); the names begin with ``real_``."""
    streams = {f"real_digits_{how}": list(_digits(how)) for how in ("blurred", "dimmed")}
    missing = {}
    for name, file, make in (
        ("real_bearing_load", "cwru_bearing.tar.gz", _bearing),
        ("real_new_speaker", "fsdd_speech.tar.gz", _speakers),
    ):
        if folder is not None and (folder / file).exists():
            streams[name] = list(make(folder / file))
        else:
            missing[name] = file
    return streams, missing


def _digits(how: str, window: int = 50, known: int = 897, before: int = 9) -> Iterator[Run]:
    """scikit-learn's digits in a random order; blurred by 0.4 pixels, or nine tenths as bright."""
    from scipy.ndimage import gaussian_filter
    from sklearn.datasets import load_digits

    images = load_digits().images / 16
    worse = gaussian_filter(images, (0, 0.4, 0.4), mode="constant") if how == "blurred" else images * 0.9
    for seed in range(DIGITS_SEEDS):
        order = np.random.default_rng([15, seed]).permutation(len(images))
        cut = known + before * window
        seen = np.concatenate([images[order[:cut]], worse[order[cut:]]])
        x = _extracted(np.round(seen * 255) - 128)
        yield Run("digits", x[:known], x[known:], window, before)


def _bearing(path: Path, window: int = 25) -> Iterator[Run]:
    """One machine: 60 % of a recording at no load, the rest of it, then one at 1 or 2 hp; from several beginnings."""
    signals = {}
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                signals[Path(member.name).stem] = np.load(io.BytesIO(content.read()))["signal"]
    for name in sorted(signals):
        if not name.endswith("load0") or f"{name[:-1]}1" not in signals:
            continue
        unit = float(np.abs(signals[name]).max()) / 127
        for turn in range(TURNS):
            old = np.roll(_framed(signals[name], unit), -turn * len(signals[name]) // FRAME // TURNS, axis=0)
            new = _framed(signals[f"{name[:-1]}{1 + turn % 2}"], unit)
            known = 284
            before = (len(old) - known) // window
            x = np.concatenate([old[: known + before * window], new])
            yield Run("bearing", x[:known], x[known:], window, before)


def _framed(signal: NDArray[np.float32], unit: float) -> Matrix:
    frames = signal[: len(signal) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    inputs = np.clip(np.round(frames / unit), -128, 127)
    return np.concatenate([_extracted(inputs[..., np.newaxis]), _bands(inputs[:, np.newaxis])], axis=1)


def _speakers(path: Path, window: int = 50, known: int = 900) -> Iterator[Run]:
    """Spoken digits of three people in a random order, then of the fourth; each is the new one in turn."""
    of: dict[str, list[NDArray[np.int16]]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                with wave.open(io.BytesIO(content.read())) as sound:
                    samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")[:CLIP]
                of.setdefault(Path(member.name).name.split("_")[0], []).append(
                    np.pad(samples, (0, CLIP - len(samples)))
                )
    features = {}
    for speaker, clips in sorted(of.items()):
        inputs = np.round(np.stack(clips) / 256)
        frames = inputs.reshape(len(inputs), -1, FRAME)
        features[speaker] = np.concatenate([_extracted(inputs[..., np.newaxis]), _bands(frames)], axis=1)
    for seed in range(SPEAKER_SEEDS):
        rng = np.random.default_rng([16, seed])
        new = sorted(features)[seed % len(features)]
        old = rng.permutation(np.concatenate([x for speaker, x in features.items() if speaker != new]))
        before = (len(old) - known) // window
        x = np.concatenate([old[: known + before * window], rng.permutation(features[new])])
        yield Run("speaker", x[:known], x[known:], window, before)


def _extracted(inputs: Matrix) -> Matrix:
    return extract(EXTRACTED, np.clip(inputs, -128, 127).astype(np.int8)).astype(np.float64)


def _bands(frames: Matrix) -> Matrix:
    """The logarithm of the energy in each band, over the frames (inputs, frames, samples)."""
    power = np.abs(np.fft.rfft(frames * np.hanning(frames.shape[2]), axis=2)) ** 2
    mean = power.mean(axis=1)
    return np.column_stack([np.log(mean[:, low:high].sum(axis=1) + 1) for low, high in BANDS])
