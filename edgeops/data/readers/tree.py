"""The files of a source: a folder, one file, or an archive that is read where it is and never unpacked.

Names inside of an archive are never used as paths, so that nothing can be written anywhere; those that try to
lead outside make the archive unusable all the same.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from edgeops.core.errors import DataError, NotFoundError, StorageError
from edgeops.data.archives import HARMLESS_BYTES, MAX_EXPANSION
from edgeops.data.readers.entry import SetAside, one_line

MAX_FILE_BYTES = 1 << 30
MAX_FILES = 5_000_000
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_BLOCK = 1 << 20
_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
# what opening or reading a file raises: the disk, or an archive that is damaged at that place
DAMAGED = (
    OSError,
    EOFError,
    RuntimeError,  # zipfile: encrypted; and its subclass NotImplementedError: an unknown compression
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
UNREADABLE = (*DAMAGED, ValueError)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file; ``name`` has forward slashes and only printable characters; ``path`` where it has one."""

    name: str
    size: int
    opener: Callable[[], IO[bytes]]
    path: Path | None = None

    @property
    def suffix(self) -> str:
        """In lower case, with its dot."""
        return os.path.splitext(self.name)[1].lower()

    def open(self) -> IO[bytes]:
        """Open it for reading from its beginning; this, and reading from it, raise one of ``DAMAGED``."""
        return self.opener()

    def read(self) -> bytes:
        """All of it, up to the size that it is said to have.

        Raises ``ValueError``, with one line, beyond 1 GiB and for what is gone, not readable or damaged.
        """
        if self.size > MAX_FILE_BYTES:
            raise ValueError("larger than 1 GiB")
        try:
            with self.open() as file:
                return file.read(self.size)
        except OSError as error:
            raise ValueError(f"unreadable: {error.strerror or one_line(error)}") from error
        except DAMAGED as error:
            raise ValueError(f"unreadable: {one_line(error)}") from error


class FileTree:
    """All files of a source by name; ``aside`` are entries that are no files, or that cannot be believed."""

    def __init__(self, path: Path) -> None:
        """Raises ``NotFoundError`` for what is not there and ``DataError`` for an archive that is not one."""
        self.path = path
        self.aside: list[SetAside] = []
        self.files: list[SourceFile] = []
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            raise NotFoundError(
                f"nothing is at {path}",
                fix="give the path of a folder, an archive, a .csv, .parquet or .npz, or sklearn:digits",
                source=str(path),
            ) from error
        self.is_file = stat.S_ISREG(mode) and not path.name.lower().endswith(ARCHIVES)
        try:
            if stat.S_ISDIR(mode):
                found = _folder(path)
            elif self.is_file:
                found = iter([SourceFile(_printable(path.name), path.stat().st_size, _opener(path), path)])
            elif stat.S_ISREG(mode):
                found = _zip(path) if zipfile.is_zipfile(path) else _tar(path)
            else:
                raise OSError("neither a file nor a folder")
            names: dict[str, SourceFile] = {}
            for entry in found:
                if isinstance(entry, SetAside):
                    self.aside.append(entry)
                    continue
                if entry.name in names:
                    self.aside.append(SetAside(entry.name, "a later file has the same name"))
                names[entry.name] = entry
                if len(names) > MAX_FILES:
                    raise ValueError(f"it has more than {MAX_FILES:,} files")
        except UNREADABLE as error:
            raise DataError(
                f"{path} cannot be read: {one_line(error)}",
                fix="give a folder, or a .tar, .tar.gz or .zip of one that is whole",
                source=str(path),
            ) from error
        self.files = [names[name] for name in sorted(names)]


def _folder(root: Path) -> Iterator[SourceFile | SetAside]:
    for folder, below, names in os.walk(root, onerror=_raise):
        for name in sorted([*below, *names]):
            path = Path(folder) / name
            relative = _printable(path.relative_to(root).as_posix())
            if name in below:
                if path.is_symlink():
                    yield SetAside(relative, "a link, not a file")
                continue
            try:
                status = path.stat()
            except OSError as error:
                yield SetAside(relative, f"cannot be read: {error.strerror}")
                continue
            if stat.S_ISREG(status.st_mode):
                yield SourceFile(relative, status.st_size, _opener(path), path)
            else:
                yield SetAside(relative, "not a regular file")


def _raise(error: OSError) -> None:
    raise error


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def _zip(path: Path) -> Iterator[SourceFile | SetAside]:
    archive = zipfile.ZipFile(path)
    total, limit = 0, _limit(path)
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        name = _inside(entry.filename)
        total += entry.file_size
        if total > limit:
            raise ValueError(f"it expands to more than {limit // 1024**2:,} MiB")
        if stat.S_ISLNK(entry.external_attr >> 16):
            yield SetAside(name, "a link, not a file")
        elif entry.flag_bits & 1:
            yield SetAside(name, "encrypted")
        else:
            # zipfile reads no more than the size that was added up above
            yield SourceFile(name, entry.file_size, lambda entry=entry: archive.open(entry))  # type: ignore[misc]


def _tar(path: Path) -> Iterator[SourceFile | SetAside]:
    archive = tarfile.open(fileobj=_plain(path), mode="r:")  # noqa: SIM115 - open as long as its files are
    for entry in archive:
        if entry.isdir():
            continue
        name = _inside(entry.name)
        if entry.issym() or entry.islnk():
            yield SetAside(name, "a link, not a file")
        elif not entry.isreg() or entry.issparse():
            yield SetAside(name, "not a regular file")
        else:
            yield SourceFile(name, entry.size, _member(archive, entry))


def _member(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        file = archive.extractfile(entry)
        if file is None:
            raise OSError("not a regular file")
        return file

    return opened


def _plain(path: Path) -> IO[bytes]:
    """The bytes of a tar, decompressed into an unnamed temporary file where they are compressed."""
    file = path.open("rb")
    head = file.read(6)
    file.seek(0)
    opened = next((way for magic, way in _COMPRESSED.items() if head.startswith(magic)), None)
    if opened is None:
        return file
    limit, total = _limit(path), 0
    plain = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 - open as long as its files are
    with file, opened(file) as stream:
        while block := stream.read(_BLOCK):
            total += len(block)
            if total > limit:
                raise ValueError(f"it expands to more than {limit // 1024**2:,} MiB")
            _kept(plain, block)
    plain.seek(0)
    return plain


def _kept(plain: IO[bytes], block: bytes) -> None:
    """Write to the temporary file; raises ``StorageError``, since the archive is not to blame."""
    try:
        plain.write(block)
        plain.flush()
    except OSError as error:
        raise StorageError(
            f"cannot unpack into {tempfile.gettempdir()}: {error.strerror or error}",
            fix="free disk space, or let TMPDIR name a folder with more",
            path=tempfile.gettempdir(),
        ) from error


def _limit(path: Path) -> int:
    return max(HARMLESS_BYTES, MAX_EXPANSION * path.stat().st_size)


def _inside(name: str) -> str:
    """A member's name; raises ``ValueError`` for one that leads out of the archive."""
    plain = name.replace("\\", "/")
    parts = plain.split("/")
    if plain.startswith("/") or ".." in parts or (len(plain) > 1 and plain[1] == ":") or "\0" in plain:
        raise ValueError(f"its member {_printable(name)!r} would lead out of it")
    return _printable("/".join(part for part in parts if part not in ("", ".")))


def _printable(name: str) -> str:
    """Names are shown to people and written as UTF-8: what is neither becomes a question mark."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(character if character.isprintable() else "?" for character in text)
