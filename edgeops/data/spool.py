"""Items on their way into a dataset: in an unnamed file, in the order of arrival, one in memory at a time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import StorageError


class Spool:
    """Arrays of one dtype; ``add`` gives the place to read an array back from."""

    def __init__(self, folder: Path) -> None:
        """``folder`` should be on the disk that the dataset goes to; it is made where there is none."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = cast(IO[bytes], tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - closed by exit
        except OSError as error:
            raise _full(folder, error) from error
        self._folder = folder
        self._end = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:
            # what is still buffered is thrown away with the file: a full disk was told of when it was written
            return

    def add(self, values: NDArray[Any]) -> int:
        """Append an array; raises ``StorageError`` when the disk is full."""
        place = self._end
        try:
            self._file.seek(place)
            self._file.write(np.ascontiguousarray(values).data)
        except OSError as error:
            raise _full(self._folder, error) from error
        self._end += values.nbytes
        return place

    def read(self, place: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array that was added; raises ``StorageError`` when the disk is full or fails."""
        values = np.empty(shape, dtype)
        try:
            self._file.seek(place)
            read = self._file.readinto(values.reshape(-1).view(np.uint8).data)  # type: ignore[attr-defined]
        except OSError as error:
            raise _full(self._folder, error) from error
        if read != values.nbytes:
            raise _full(self._folder, OSError("what was written cannot be read back"))
        return values


def _full(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write in {folder}: {error.strerror or error}",
        fix="free disk space or mend the folder's permissions, then try again",
        path=str(folder),
    )
