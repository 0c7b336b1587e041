"""Which interpreters are installed here, proven by a tensor round trip where a model is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from device_agent.inference import RUNTIMES, installed_runtime, open_interpreter
from edgeops.core.errors import EdgeOpsError, MissingExtra, NotFoundError


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one interpreter; ``state`` is OK, WARN (loads, not tried), FAIL or absent."""

    runtime: str
    state: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def examine(model: bytes | None) -> list[Finding]:
    """Try every interpreter of the seam, with a round trip through ``model`` where there is one."""
    return [_examine_one(runtime.name, model) for runtime in RUNTIMES]


def find_model(data: Path) -> bytes | None:
    """The largest blob of a slot that is a TensorFlow Lite model, or None."""
    found = [path for path in _blobs(data) if path.read_bytes()[4:8] == b"TFL3"]
    return max(found, key=lambda path: path.stat().st_size).read_bytes() if found else None


def read_model(path: Path) -> bytes:
    """The bytes of a model file; raises ``NotFoundError``."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}", fix="name a .tflite file", path=str(path)) from error


def _blobs(data: Path) -> Iterator[Path]:
    return (path for path in data.glob("models/*/slot-?/*") if path.is_file())


def _examine_one(name: str, model: bytes | None) -> Finding:
    try:
        version = installed_runtime(name)
        if model is None:
            return Finding(name, "WARN", f"{version} loads; no model at hand to try it on")
        interpreter = open_interpreter(model, name)
        output = interpreter.invoke(np.zeros(interpreter.input.shape, np.int8))
    except MissingExtra as error:
        return Finding(name, "absent", error.message)
    except (EdgeOpsError, RuntimeError, ValueError) as error:
        return Finding(name, "FAIL", str(error))
    shapes = f"int8 {list(interpreter.input.shape)} -> {list(output.shape)}"
    return Finding(name, "OK", f"{version}; round trip {shapes}")
