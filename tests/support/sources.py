"""Sources as people have them: class folders of sounds, images and recordings, made from a seed."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def tone(seed: int, samples: int = 400) -> NDArray[np.float64]:
    """A sound (samples,) between -0.9 and 0.9 that no other seed gives."""
    rng = np.random.default_rng(seed)
    return 0.8 * np.sin(np.arange(samples) * rng.uniform(0.05, 0.5)) + rng.uniform(-0.1, 0.1, samples)


def wav(
    path: Path, samples: NDArray[Any] | int = 0, rate: int = 8000, subtype: str = "PCM_16", **options: Any
) -> Path:
    """A WAV file; a number is the seed of a tone."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    values = tone(samples) if isinstance(samples, int) else samples
    soundfile.write(path, values, rate, subtype=subtype, format="WAV", **options)
    return path


def speech(
    root: Path, per_speaker: int = 5, speakers: tuple[str, ...] = ("ann", "bob"), seed: int = 0
) -> Path:
    """``<word>/<speaker>_nohash_<take>.wav``, two words."""
    for word in ("no", "yes"):
        for speaker in speakers:
            for take in range(per_speaker):
                wav(root / word / f"{speaker}_nohash_{take}.wav", seed)
                seed += 1
    return root


def pixels(seed: int, height: int = 6, width: int = 8, channels: int = 3) -> NDArray[np.uint8]:
    """A noisy image (H, W) or (H, W, channels)."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def image(path: Path, values: NDArray[Any] | int = 0, mode: str = "", **options: Any) -> Path:
    """An image file of the format that its suffix says; a number is the seed of its pixels."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    made = Image.fromarray(pixels(values) if isinstance(values, int) else values)
    (made.convert(mode) if mode else made).save(path, **options)
    return path


def images(root: Path, per_class: int = 10, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Class folders of PNG files."""
    for number, name in enumerate(classes):
        for index in range(per_class):
            image(root / name / f"{index}.png", 1000 * number + index)
    return root


def recording(path: Path, seed: int = 0, samples: int = 300, channels: int = 1, **fields: Any) -> Path:
    """An NPZ with ``signal`` float32 and scalars beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (samples,) if channels == 1 else (samples, channels)
    signal = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    np.savez(path, **{"signal": signal, "sample_rate_hz": np.int32(12000), **fields})
    return path


def text(path: Path, content: str) -> Path:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def tar(path: Path, folder: Path, mode: str = "w:gz") -> Path:
    """An archive of a folder, with the folder's own name at the top."""
    with tarfile.open(path, mode) as archive:
        archive.add(folder, folder.name)
    return path


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    """A zip archive of these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
