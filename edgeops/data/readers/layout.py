"""Where files stand says what they are: class folders, train and test folders, patterns of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import splitext

from edgeops.core.errors import DataError
from edgeops.data.readers.entry import HIDDEN, SetAside
from edgeops.data.readers.tree import SourceFile
from edgeops.data.splitting import Part

PART_FOLDERS: Mapping[str, Part] = {
    "train": Part.TRAIN,
    "training": Part.TRAIN,
    "val": Part.VALIDATION,
    "valid": Part.VALIDATION,
    "validation": Part.VALIDATION,
    "test": Part.TEST,
    "testing": Part.TEST,
}
# the lists that come with Speech Commands; what is on neither is there to train on
PART_LISTS: Mapping[str, Part] = {
    "validation_list.txt": Part.VALIDATION,
    "testing_list.txt": Part.TEST,
}
BACKGROUND = "_background_noise_"
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SYSTEM = ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True)
class Placed:
    """A file, the label that its place gives it (``""``: none), and what else its place says."""

    file: SourceFile
    label: str
    part: Part | None
    slices: Mapping[str, str]


class Pattern:
    """``{label}/{speaker}_nohash_{take}``: which parts of a relative path, without suffix, mean what."""

    def __init__(self, text: str) -> None:
        """Raises ``DataError`` for a pattern without a field, or with one twice."""
        self.text = text
        self.fields = _FIELD.findall(text)
        rest = _FIELD.sub("", text)
        if not self.fields or len(set(self.fields)) != len(self.fields) or "{" in rest or "}" in rest:
            raise DataError(
                f"--pattern {text!r} is not a pattern: it needs fields such as {{label}}, each once",
                fix="write the names of files without suffix, such as '{label}/{speaker}_nohash_{take}'",
                pattern=text,
            )
        pieces = _FIELD.split(text)
        self._expression = re.compile(
            "".join(f"(?P<{p}>[^/]+?)" if odd % 2 else re.escape(p) for odd, p in enumerate(pieces))
        )

    def match(self, name: str) -> dict[str, str] | None:
        """The fields of a relative path, or None when it does not fit."""
        found = self._expression.fullmatch(splitext(name)[0])
        return found.groupdict() if found else None


def place(
    files: Sequence[SourceFile], pattern: str, suffixes: Sequence[str], wanted: str, *, classes: bool = True
) -> Iterator[Placed | SetAside]:
    """Each file with one of ``suffixes`` and what its place says; the others are set aside as not ``wanted``.

    Folders that all of them share are left out; then come, where there are any, folders such as train and
    test; then, where there are ``classes``, the class. Raises ``DataError`` for a bad pattern, and for one
    that fits none of the files.
    """
    fields = Pattern(pattern) if pattern else None
    lists = {file.name: file for file in files if file.name.rpartition("/")[2] in PART_LISTS}
    chosen: list[SourceFile] = []
    for file in files:
        if _is_hidden(file.name):
            yield SetAside(file.name, HIDDEN)
        elif file.suffix in suffixes:
            chosen.append(file)
        elif file.name not in lists:
            yield SetAside(file.name, f"not {wanted} ({file.suffix or 'no suffix'})")
    common = _common([file.name.split("/") for file in chosen], keep=1 if classes else 0)
    listed = _listed(lists.values(), common)
    names = ["/".join(file.name.split("/")[common:]) for file in chosen]
    parts = _has_part_folders(names, 2 if classes else 1)
    fitting = 0
    for file, name in zip(chosen, names, strict=True):
        part = listed.get(name, Part.TRAIN) if lists else None
        if parts:
            first, _, name = name.partition("/")
            part = PART_FOLDERS[first.lower()]
        folder = name.partition("/")[0] if "/" in name else ""
        if folder == BACKGROUND:
            yield SetAside(file.name, "background noise, not a class")
            continue
        slices = fields.match(name) if fields else {}
        if slices is None:
            yield SetAside(file.name, f"its name does not fit the pattern {pattern}")
            continue
        fitting += 1
        yield Placed(file, slices.pop("label", folder), part, slices)
    if fields and chosen and not fitting:
        raise DataError(
            f"the pattern {pattern!r} fits none of {len(chosen)} files; the first is {names[0]!r}",
            fix="correct --pattern: it is matched against the path without its suffix",
            pattern=pattern,
        )


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part in _SYSTEM for part in name.split("/"))


def _common(paths: Sequence[Sequence[str]], keep: int) -> int:
    """How many folders at the top all paths share; ``keep`` stay, since the last may be the only class."""
    shared = 0
    while paths and all(len(p) - shared > 1 + keep and p[shared] == paths[0][shared] for p in paths):
        shared += 1
    return shared


def _has_part_folders(names: Sequence[str], depth: int) -> bool:
    """Whether all stand below folders such as train and test, with ``depth`` more names below."""
    tops = {name.partition("/")[0].lower() if name.count("/") >= depth else "" for name in names}
    found = {PART_FOLDERS.get(top) for top in tops}
    return Part.TRAIN in found and len(found) > 1 and None not in found


def _listed(lists: Iterable[SourceFile], common: int) -> dict[str, Part]:
    """The files that the lists name, below the folders that all share, and the part of each."""
    listed: dict[str, Part] = {}
    for file in lists:
        folders = file.name.split("/")[common:-1]
        try:
            content = file.read()
        except ValueError as error:  # without it the parts of all files would be wrong
            raise DataError(
                f"{file.name}, which says what is for validation or testing, is {error}",
                fix="fetch the source again, or remove that file: the source is then split anew",
                file=file.name,
            ) from error
        for line in content.decode("utf-8", "replace").splitlines():
            listed["/".join([*folders, line.strip()])] = PART_LISTS[file.name.rpartition("/")[2]]
    return listed
