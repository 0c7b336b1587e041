"""Which reader a source gets: the one that was asked for, or the one that its files suggest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from edgeops.core.errors import DataError
from edgeops.data.readers import audio, columns, images, series
from edgeops.data.readers.arrays import ArrayReader
from edgeops.data.readers.audio import AudioReader
from edgeops.data.readers.entry import Reader, Request, SetAside
from edgeops.data.readers.images import ImageReader
from edgeops.data.readers.series import SeriesReader
from edgeops.data.readers.tables import TableReader
from edgeops.data.readers.tree import FileTree
from edgeops.data.sources import read_source

KINDS = ("image", "audio", "series", "table")
_READERS: Mapping[str, Callable[[FileTree, Request], Reader]] = {
    "image": ImageReader,
    "audio": AudioReader,
    "series": SeriesReader,
    "table": TableReader,
}
_READABLE = {*images.SUFFIXES, *audio.SUFFIXES, *series.SUFFIXES}


def open_source(spec: str, request: Request) -> tuple[Reader, list[SetAside]]:
    """The reader of a source, and what its folder or archive holds besides files.

    ``spec`` is ``sklearn:digits``, an ``.npz`` with x and y, or the path of a folder, an archive or a table.
    The reader's first note says how a kind that was not asked for was found. Raises ``NotFoundError``,
    ``DataError`` and ``MissingExtra``.
    """
    if request.kind and request.kind not in KINDS:
        raise DataError(
            f"{request.kind!r} is no kind of data", fix=f"use one of {', '.join(KINDS)}", kind=request.kind
        )
    path = Path(spec)
    if spec.startswith("sklearn:") or (path.suffix.lower() == ".npz" and not path.is_dir()):
        return ArrayReader(read_source(spec), request, "item"), []
    tree = FileTree(path)
    note = ""
    if not request.kind:
        kind, note = guess_kind(tree)
        request = replace(request, kind=kind)
    reader = _READERS[request.kind](tree, request)
    if note:
        reader.notes.append(note)
    return reader, tree.aside


def guess_kind(tree: FileTree) -> tuple[str, str]:
    """(kind, a sentence that says why) by the most frequent suffixes; raises ``DataError`` where none is known."""
    counts = Counter(file.suffix for file in tree.files if file.suffix in _READABLE)
    if not counts:
        found = Counter(file.suffix or "no suffix" for file in tree.files).most_common(5)
        shown = ", ".join(f"{count} {suffix}" for suffix, count in found) or "nothing"
        raise DataError(
            f"{tree.path} holds nothing that is read: {shown}",
            fix="give class folders of .png, .jpg or .wav, recordings as .npz, .csv or .parquet, or one table",
            source=str(tree.path),
        )
    families = (images.SUFFIXES, audio.SUFFIXES, series.SUFFIXES)
    family = max(families, key=lambda suffixes: sum(counts[suffix] for suffix in suffixes))
    mine = [(suffix, count) for suffix, count in counts.most_common() if suffix in family]
    if family is images.SUFFIXES:
        kind = "image"
    elif family is audio.SUFFIXES:
        kind = "audio"
    else:
        kind = "table" if mine[0][0] in columns.SUFFIXES and _is_table(tree) else "series"
    shown = " and ".join(f"{count:,} {suffix}" for suffix, count in mine)
    files = "files" if sum(count for _, count in mine) > 1 else "file"
    return kind, f"kind {kind}: guessed from {shown} {files}; --kind says it"


def _is_table(tree: FileTree) -> bool:
    """One file, or files in one folder: a table. Recordings stand in folders of their class."""
    names = [file.name for file in tree.files if file.suffix in columns.SUFFIXES]
    return len({name.rpartition("/")[0] for name in names}) == 1
