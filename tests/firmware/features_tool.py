"""The host tool ``run_features``: its description file written, run, and its int8 values read."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeops.core.manifest import Step

OK, TOO_SMALL, MALFORMED, UNSUPPORTED, RANGE, FULL = 0, 3, 5, 6, 7, 13
SAMPLE_TYPES = {"uint8": 1, "int16": 2, "float32": 3}


@dataclass(frozen=True)
class Outcome:
    """What one run of the tool gave."""

    status: int
    opened: bool
    scratch_bytes: int
    values: np.ndarray
    message: str


@dataclass(frozen=True)
class Tensor:
    """The contract of a model's input."""

    shape: tuple[int, ...]
    mantissa: int = 1
    exponent: int = 0
    zero_point: int = 0


def described(steps: Sequence[tuple[str, Sequence[int]]], raw: np.ndarray, tensor: Tensor) -> bytes:
    """The tool's description; ``raw`` is (N, *raw shape)."""
    parts = [struct.pack("<i", SAMPLE_TYPES[raw.dtype.name])]
    for shape in (raw.shape[1:], tensor.shape):
        parts.append(struct.pack(f"<{1 + len(shape)}I", len(shape), *shape))
    parts.append(struct.pack("<Iii", tensor.mantissa, tensor.exponent, tensor.zero_point))
    parts.append(struct.pack("<I", len(steps)))
    for op, parameters in steps:
        name = op.encode()
        parts += [struct.pack("<I", len(name)), name]
        parts.append(struct.pack(f"<I{len(parameters)}q", len(parameters), *parameters))
    return b"".join(parts)


def run(
    tool: Path,
    folder: Path,
    steps: Sequence[tuple[str, Sequence[int]]],
    raw: np.ndarray,
    tensor: Tensor,
) -> Outcome:
    """Let C preprocess (N, *raw shape)."""
    (folder / "description").write_bytes(described(steps, raw, tensor))
    (folder / "raw").write_bytes(np.ascontiguousarray(raw).tobytes())
    (folder / "output").write_bytes(b"")
    done = subprocess.run(
        [tool, folder / "description", folder / "raw", folder / "output"],
        capture_output=True,
        text=True,
        check=False,
    )
    words = done.stdout.split()
    output = np.frombuffer((folder / "output").read_bytes(), np.int8)
    scratch = int(words[1]) if words else 0
    return Outcome(done.returncode, bool(words), scratch, output, done.stderr)


def pairs(steps: Sequence[Step]) -> list[tuple[str, tuple[int, ...]]]:
    return [(step.op, step.parameters) for step in steps]
