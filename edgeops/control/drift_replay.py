"""Arrays from files, replayed through the drift detectors."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeops.core.errors import DataError, NotFoundError
from edgeops.drift.arrays import Arrays, arrays_from
from edgeops.drift.replay import Replay, replay

_FIX = "write it with numpy.savez"


def replay_files(
    reference: Path,
    stream: Path,
    labels: Path | None,
    window: int,
    per_window: float,
    size: float,
    run_length: float,
) -> Replay:
    """Replay the NPZ files; ``labels`` has an array ``y_true`` for the stream's rows, as NPZ or NPY.

    Raises ``NotFoundError`` for a file that is not there and ``DataError`` for one that cannot be used.
    """
    streamed = _read(stream)
    if labels is not None:
        found = _read(labels)
        if "y_true" not in found:
            raise DataError(
                f"{labels} has no array 'y_true' but {', '.join(found)}", fix=_FIX, file=str(labels)
            )
        streamed["y_true"] = found["y_true"]
    known: Arrays = arrays_from(_read(reference), str(reference))
    return replay(known, arrays_from(streamed, str(stream)), window, per_window, size, run_length)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"y_true" if found.ndim == 1 else "x": found}
        with found:
            return {name: found[name] for name in found.files}
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there", path=str(path)) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError, MemoryError) as error:
        raise DataError(f"{path} cannot be read as arrays: {error}", fix=_FIX, file=str(path)) from error
