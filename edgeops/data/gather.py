"""What a reader gives, item by item: distinct items go to a spool, the rest is set aside with a reason."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeops.core.errors import DataError
from edgeops.data.dataset import Dataset
from edgeops.data.items import CONFLICTING, DUPLICATE, MAX_QUARANTINED_SHARE, NOT_FINITE, item_digest
from edgeops.data.readers.entry import (
    DECIMAL_COMMA,
    HARMLESS,
    NO_CLASS,
    OTHER_CHANNELS,
    Item,
    Reader,
    SetAside,
    counted,
)
from edgeops.data.splitting import SHARES, Part
from edgeops.data.spool import Spool

Progress = Callable[[int, int], None]
RAGGED = ("audio", "series")  # kinds whose items differ in length
_FEWEST_NUMBERS = 10  # as labels, and how seldom each must come, to be values rather than names
_PER_CLASS = 3
_NO_VALUES = np.zeros(0, np.uint8)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an ingest is held to: shares of the parts, the slice that is the group, the share of bad files.

    ``replace``: the next version holds what the source holds and nothing else.
    """

    shares: Mapping[Part, float] = field(default_factory=lambda: SHARES)
    group: str = ""
    max_quarantined: float = MAX_QUARANTINED_SHARE
    replace: bool = False


@dataclass(slots=True)
class Line:
    """One distinct item of the source; ``place`` is that of its values in the spool."""

    item: Item
    shape: tuple[int, ...]
    place: int


@dataclass(slots=True)
class Repeated:
    """The labels, files and parts (each with the first file in it) that one content came with."""

    labels: set[str]
    files: list[str]
    parts: dict[Part | None, str]


@dataclass(eq=False)
class Gathered:
    """By the digest of an item: itself, and what came more than once.

    Most items come once, so that millions of them take little memory. ``total`` counts what could have been
    an item, ``aside`` is what is not used.
    """

    lines: dict[bytes, Line] = field(default_factory=dict)
    repeated: dict[bytes, Repeated] = field(default_factory=dict)
    aside: list[SetAside] = field(default_factory=list)
    total: int = 0
    dtype: str = ""


def gather(reader: Reader, spool: Spool, aside: Sequence[SetAside], progress: Progress | None) -> Gathered:
    """Every distinct item in the spool; what cannot be used is set aside."""
    found = Gathered(aside=list(aside), total=sum(bad.reason not in HARMLESS for bad in aside))
    tail: tuple[int, ...] | None = None
    ragged = reader.kind in RAGGED
    for entry in reader:
        if progress is not None:
            progress(reader.done, reader.total)
        if isinstance(entry, SetAside):
            found.aside.append(entry)
            found.total += entry.reason not in HARMLESS
            continue
        found.total += 1
        values, shape = entry.values, entry.values.shape
        if tail is None:
            tail, found.dtype = (shape[1:] if ragged else shape), str(values.dtype)
        if (shape[1:] if ragged else shape) != tail:
            wanted = " x ".join(map(str, (["samples"] if ragged else []) + list(map(str, tail))))
            found.aside.append(SetAside(entry.file, f"shape {shape}; the others are {wanted or 'samples'}"))
            continue
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            found.aside.append(SetAside(entry.file, NOT_FINITE))
            continue
        digest = item_digest(values)
        line = found.lines.get(digest)
        if line is None:
            place = spool.add(values)
        else:
            place = line.place
            _repeat(found, digest, line.item, entry)
            if line.item.file < entry.file:
                continue
        # the first by name is kept, whatever the order in which the source is read
        bare = Item(entry.file, _NO_VALUES, entry.label, entry.slices, entry.part)
        found.lines[digest] = Line(bare, shape, place)
    if progress is not None:
        progress(reader.total, reader.total)
    return found


def _repeat(found: Gathered, digest: bytes, first: Item, entry: Item) -> None:
    again = found.repeated.get(digest)
    if again is None:
        again = Repeated({first.label}, [first.file], {first.part: first.file})
        found.repeated[digest] = again
    again.labels.add(entry.label)
    again.files.append(entry.file)
    again.parts.setdefault(entry.part, entry.file)


def set_aside_repetitions(found: Gathered, base: Dataset | None, terms: Terms) -> None:
    """Repetitions of an item, and all items of one content that come with different labels."""
    torn = [again for again in found.repeated.values() if len(again.parts) > 1 and len(again.labels) == 1]
    if torn:
        pairs = sorted(sorted(again.parts.values()) for again in torn)
        raise DataError(
            f"the split that the folders make has {counted(len(torn), 'item')} on both sides, such as "
            f"{pairs[0][0]} and {pairs[0][1]}",
            fix="remove one of each, or give a folder without train and test: it is split without leaks",
            duplicates=pairs,
        )
    for digest, again in found.repeated.items():
        files = sorted(again.files)
        if len(again.labels) > 1:
            found.aside += [SetAside(file, CONFLICTING) for file in files]
            del found.lines[digest]
        else:
            found.aside += [SetAside(file, f"{DUPLICATE} of {files[0]}") for file in files[1:]]
    if base is None or terms.replace:
        return
    before = dict(zip(base.index.digests, base.targets.tolist(), strict=True))
    for digest, line in list(found.lines.items()):
        label = base.labels[before[digest]] if digest in before else line.item.label
        if label != line.item.label:
            reason = f"{label!r} in {base.name}@{base.version}, which holds the same item"
            found.aside.append(SetAside(line.item.file, reason))
            del found.lines[digest]


def refuse_if_too_many(found: Gathered, terms: Terms, name: str) -> None:
    """Stop when more than the stated share is set aside, or when nothing is left."""
    bad = [entry for entry in found.aside if entry.reason not in HARMLESS]
    if found.total and len(bad) <= terms.max_quarantined * found.total and found.lines:
        return
    if not bad:
        raise DataError(f"the source of {name} holds no items", fix="give a source with at least one item")
    counts = Counter(_kind_of_reason(entry.reason) for entry in bad)
    why = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common(8))
    more = f", and {len(counts) - 8} other reasons" if len(counts) > 8 else ""
    allowed = f"at most {terms.max_quarantined:.0%} may be" if found.lines else "none is left"
    raise DataError(
        f"{name}: {len(bad):,} of {max(found.total, len(bad)):,} items are unusable ({why}{more}); {allowed}",
        fix=_way_out(bad, counts.most_common(1)[0][0]) + _MORE_ALLOWED * bool(found.lines),
        quarantined=[[entry.file, entry.reason] for entry in bad],
        total=found.total,
    )


_MORE_ALLOWED = ", or allow more with --max-quarantined PERCENT"
_WRONG_SUFFIX = re.compile(r"not an? .* file \((\.\S+|no suffix)\)")


def _way_out(bad: Sequence[SetAside], most: str) -> str:
    """What mends the most frequent reason."""
    first = next(entry for entry in bad if _kind_of_reason(entry.reason) == most)
    if NO_CLASS in first.reason:
        return (
            "make a folder for each class and put its files there, or say where names have the label: --pattern "
            "'{label}_{n}' for names such as cat_1"
        )
    if _WRONG_SUFFIX.fullmatch(first.reason):
        return (
            "give the --kind of these files (image, audio, series or table), or leave it out: it is guessed"
        )
    if first.reason.startswith(DECIMAL_COMMA):
        return (
            "write numbers with a decimal point; a column that is no number but a name is given with --slice "
            "or --label"
        )
    if first.reason.startswith(OTHER_CHANNELS):
        return "bring all recordings to the same channels, or add the others under another name"
    return f"look at {first.file!r} first ({first.reason})"


def refuse_numbers_as_labels(found: Gathered, base: Dataset | None, name: str) -> None:
    """Stop where what should be classes are numbers that hardly ever come twice: a model would predict them."""
    known = set(base.labels) if base is not None else set()
    came = [line.item.label for line in found.lines.values() if line.item.label not in known]
    labels = set(came)
    if (
        len(labels) < _FEWEST_NUMBERS
        or len(came) >= _PER_CLASS * len(labels)
        or not all(map(_number, labels))
    ):
        return
    raise DataError(
        f"{name}: the label has {len(labels):,} different numbers in {len(came):,} items; models tell classes "
        "apart, they do not predict numbers (no regression)",
        fix="make classes of the numbers, such as low, medium and high, or name another column with --label",
        labels=len(labels),
    )


def _number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _kind_of_reason(reason: str) -> str:
    """Reasons without what differs from file to file."""
    return DUPLICATE if reason.startswith(DUPLICATE) else reason.partition(":")[0]
