"""The models of ``tests/vectors/fit``; ``generate_fit.py`` there makes them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "vectors" / "fit"
NAMES = sorted(path.stem for path in FOLDER.glob("*.tflite"))


def model(name: str) -> bytes:
    return (FOLDER / f"{name}.tflite").read_bytes()
