"""Which part of a dataset an item belongs to: a function of content alone, whatever the seed."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.data.items import Inputs, Items, item_digests

if TYPE_CHECKING:
    from edgeops.data.dataset import Dataset

Parts = NDArray[np.uint8]
CAPTURED = "captured:"


class Part(IntEnum):
    """What an item is used for; the value is its code in ``Dataset.parts``."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    FIELD = 3
    CAPTURE_HOLDOUT = 4

    @property
    def label(self) -> str:
        """The name in lower case, e.g. ``capture_holdout``."""
        return self.name.lower()


SHARES: Mapping[Part, float] = MappingProxyType(
    {Part.TRAIN: 0.5, Part.VALIDATION: 0.1, Part.TEST: 0.2, Part.FIELD: 0.2}
)


def part_named(name: str | Part) -> Part:
    """``"train"`` to ``Part.TRAIN``; raises ``DataError`` naming the known parts."""
    if isinstance(name, Part):
        return name
    try:
        return Part[name.upper()]
    except KeyError:
        known = ", ".join(part.label for part in Part)
        raise DataError(f"no part is called {name!r}", fix=f"use one of {known}", part=name) from None


def parse_shares(text: str) -> Mapping[Part, float]:
    """``"60,10,30,0"`` to the shares of train, validation, test and field; raises ``DataError``."""
    try:
        percents = [float(word) for word in text.split(",")]
    except ValueError:
        percents = []
    if len(percents) != len(SHARES) or min(percents) < 0 or not math.isclose(sum(percents), 100):
        raise DataError(
            f"{text!r} are no shares of a split: four percentages that add up to 100 are needed",
            fix="give train, validation, test and field, such as --split 60,10,30,0",
            split=text,
        )
    if percents[0] == 0:
        raise DataError(
            f"the split {text!r} leaves nothing to train on", fix="give train a share", split=text
        )
    return MappingProxyType({part: value / 100 for part, value in zip(SHARES, percents, strict=True)})


def split(items: Items, shares: Mapping[Part, float] = SHARES) -> Parts:
    """(N,) uint8 part codes: of each class the items in digest order, cut where the shares say.

    The same items get the same parts whatever their order and on whatever machine. Raises ``DataError`` when
    the shares are negative or do not add up to one.
    """
    return assign(item_digests(items.inputs), items.targets, shares)


def assign(
    digests: Sequence[bytes],
    targets: NDArray[np.int64],
    shares: Mapping[Part, float] = SHARES,
    *,
    groups: Sequence[str] = (),
    known: Sequence[Part | None] = (),
    among: Sequence[tuple[Part, ...]] = (),
) -> Parts:
    """(N,) uint8 part codes, stratified by class, a function of content alone.

    ``groups`` (empty or N): items of one group, unless it is ``""``, share a part. ``known`` (empty or N): the
    part that an item has already; it keeps it, and the others fill up what is short. ``among`` (empty or N):
    the only parts that an item may go to. Items with the same digest are one. Raises ``DataError`` for bad
    shares, for a group that would have to be in two parts, and for groups that are too few.
    """
    _check_shares(shares)
    every = tuple(part for part, share in shares.items() if share > 0)
    units: dict[bytes | str, list[int]] = {}
    for row, digest in enumerate(digests):
        units.setdefault((groups[row] if groups else "") or digest, []).append(row)
    settled: dict[bytes | str, Part] = {}
    choices: dict[bytes | str, tuple[Part, ...]] = {}
    for key, rows in units.items():
        parts = {known[row] for row in rows if known} - {None}
        allowed = {among[row] or every for row in rows if not known or known[row] is None} if among else set()
        if len(parts) > 1 or len(allowed) > 1:
            raise _torn(key)
        choices[key] = next(iter(allowed), every)
        if parts:
            settled[key] = next(part for part in parts if part is not None)
    if groups:
        _fill_by_group(units, targets, shares, choices, settled)
        _refuse_empty(settled, units, every)
    else:
        _fill_by_quota(units, targets, shares, choices, settled)
    codes = np.zeros(len(digests), np.uint8)
    for key, rows in units.items():
        codes[rows] = settled[key]
    return codes


def quotas(count: int, shares: Sequence[float]) -> list[int]:
    """How many of ``count`` go to each share: the largest remainders are rounded up.

    Each share above zero gets at least one; where there are fewer than shares, the first ones do.
    """
    wanted = [count * share for share in shares]
    sizes = [int(value + 1e-9) for value in wanted]
    by_remainder = sorted(range(len(shares)), key=lambda i: (sizes[i] - wanted[i], i))
    for place in by_remainder[: count - sum(sizes)]:
        sizes[place] += 1
    positive = [place for place, share in enumerate(shares) if share > 0]
    if count < len(positive):
        return [int(place in positive[:count]) for place in range(len(shares))]
    for place in positive:
        if sizes[place] == 0:
            sizes[place] = 1
            sizes[max(range(len(shares)), key=lambda i: (sizes[i], -i))] -= 1
    return sizes


def holdout_parts(dataset: Dataset, where: Mapping[str, Sequence[str]]) -> Parts:
    """(N,) uint8 part codes where what ``where`` names is the test part, whole, and the rest is not.

    ``where`` maps slices, or ``"group"``, to values; an item that has one of them is held out. The rest is
    split into train and validation, five to one, by group where there is one, stratified. Captured items keep
    their parts. Raises ``DataError`` for a slice or value that the dataset does not have, and when nothing
    would be left.
    """
    held = np.zeros(len(dataset), np.bool_)
    for name, values in where.items():
        column = dataset.slices.get(name, dataset.groups if name == "group" else ())
        _check_holdout(dataset, name, values, column)
        held |= np.isin(np.array(column, np.str_), np.array(list(values), np.str_))
    parts = np.where(held, np.uint8(Part.TEST), dataset.parts)
    own = np.array([origin.startswith(CAPTURED) for origin in dataset.origins])
    parts[own] = dataset.parts[own]
    rest = np.flatnonzero(~held & ~own)
    if len(rest) == 0:
        raise DataError(
            f"{dataset.name}@{dataset.version}: nothing is left to train on besides what is held out",
            fix="hold out fewer values",
        )
    digests = dataset.index.digests
    parts[rest] = assign(
        [digests[row] for row in rest.tolist()],
        dataset.targets[rest],
        {Part.TRAIN: 5 / 6, Part.VALIDATION: 1 / 6},
        groups=[dataset.groups[row] for row in rest.tolist()] if dataset.groups else (),
    )
    return parts.astype(np.uint8)


def capture_parts(inputs: Inputs, holdout_share: float = 0.2) -> Parts:
    """(N,) uint8 codes for captured inputs: ``CAPTURE_HOLDOUT`` for about that share, else ``TRAIN``.

    By content too, but not by the fraction that ``split`` took: what devices see are field items, whose
    fractions all lie in one narrow range.
    """
    digests = [hashlib.sha256(b"edgeops-capture-1:" + digest).digest() for digest in item_digests(inputs)]
    return _by_digest(digests, [(Part.CAPTURE_HOLDOUT, holdout_share), (Part.TRAIN, 1 - holdout_share)])


def _by_digest(digests: Sequence[bytes], shares: Sequence[tuple[Part, float]]) -> Parts:
    _check_shares(dict(shares))
    edges = np.cumsum([share for _, share in shares])[:-1]
    codes = np.array([part for part, _ in shares], dtype=np.uint8)
    # a digest that rounds up to 1.0 falls into the last part, since its upper edge is left out above
    fractions = [int.from_bytes(digest[:8], "big") / 2**64 for digest in digests]
    return codes[np.searchsorted(edges, fractions, side="right")]


def _check_shares(shares: Mapping[Part, float]) -> None:
    sizes = list(shares.values())
    if not sizes or min(sizes) < 0 or abs(sum(sizes) - 1) > 1e-9:
        raise DataError(f"the shares {sizes} do not add up to 1", fix="give shares that sum to 1")


Units = Mapping[bytes | str, list[int]]


def _relative(choice: tuple[Part, ...], shares: Mapping[Part, float]) -> dict[Part, float]:
    """The shares among some parts only; all of it where there is one, whatever its share."""
    sizes = {part: shares.get(part, 0.0) for part in choice}
    total = sum(sizes.values())
    return {part: size / total if total else 1 / len(sizes) for part, size in sizes.items()}


def _fill_by_quota(
    units: Units,
    targets: NDArray[np.int64],
    shares: Mapping[Part, float],
    choices: Mapping[bytes | str, tuple[Part, ...]],
    settled: dict[bytes | str, Part],
) -> None:
    """Of each class the units without a part, in digest order, fill the parts up to their quotas."""
    strata: dict[tuple[int, tuple[Part, ...]], list[bytes | str]] = {}
    for key, rows in units.items():
        strata.setdefault((int(targets[rows[0]]), choices[key]), []).append(key)
    for (_, choice), keys in strata.items():
        # in the order in which parts are served where items are few
        sizes = dict(sorted(_relative(choice, shares).items(), key=_served))
        free = sorted((key for key in keys if key not in settled), key=_group_digest)
        have = [sum(settled.get(key) == part for key in keys) for part in sizes]
        wanted = quotas(sum(have) + len(free), list(sizes.values()))
        short = [max(0, want - got) for want, got in zip(wanted, have, strict=True)]
        while sum(short) > len(free):
            short[max(range(len(short)), key=lambda i: (short[i], -i))] -= 1
        queue = iter(free)
        for part, count in sorted(zip(sizes, short, strict=True)):
            settled.update(dict.fromkeys(itertools.islice(queue, count), part))


def _fill_by_group(
    units: Units,
    targets: NDArray[np.int64],
    shares: Mapping[Part, float],
    choices: Mapping[bytes | str, tuple[Part, ...]],
    settled: dict[bytes | str, Part],
) -> None:
    """Largest first, each group goes where its classes are fullest short: Adams's method of apportionment.

    It serves every part once before any twice.
    """
    classes = int(targets.max()) + 1
    parts = sorted({part for choice in choices.values() for part in choice} | set(settled.values()))
    place = {part: row for row, part in enumerate(parts)}
    have = np.zeros((len(parts), classes))
    weights = {key: np.bincount(targets[rows], minlength=classes) for key, rows in units.items()}
    # whole numbers are added up first, so that no rounding depends on the order in which items came
    offered = {choice: np.zeros(classes, np.int64) for choice in sorted(set(choices.values()))}
    for key, weight in weights.items():
        offered[choices[key]] += weight
        if key in settled:
            have[place[settled[key]]] += weight
    wanted = np.zeros((len(parts), classes))
    for choice, total in offered.items():
        for part, share in _relative(choice, shares).items():
            wanted[place[part]] += share * total
    free = [key for key in units if key not in settled]
    for number, key in enumerate(sorted(free, key=lambda key: (-len(units[key]), _group_digest(key)))):
        weight = weights[key]

        def fullness(part: Part, weight: NDArray[np.int64] = weight) -> tuple[float, float, Part]:
            row = place[part]
            full = weight * have[row] / np.maximum(wanted[row], 1e-9)
            return float(full.sum()), float((weight * (have[row] - wanted[row])).sum()), part

        empty = [part for part in choices[key] if not have[place[part]].any()]
        last = len(free) - number <= len(empty)  # those that are left are all needed to leave no part empty
        settled[key] = min(empty if last else choices[key], key=fullness)
        have[place[settled[key]]] += weight


def _served(entry: tuple[Part, float]) -> int:
    return (Part.TRAIN, Part.TEST, Part.VALIDATION, Part.FIELD, Part.CAPTURE_HOLDOUT).index(entry[0])


def _group_digest(key: bytes | str) -> bytes:
    return hashlib.sha256(b"edgeops-group-1:" + key.encode()).digest() if isinstance(key, str) else key


def _torn(key: bytes | str) -> DataError:
    named = f"the group {key!r} stands" if isinstance(key, str) else f"item {key.hex()[:12]} stands"
    return DataError(
        f"{named} on both sides of a split that was given",
        fix="give folders whose groups do not overlap, or leave out --group",
        group=key if isinstance(key, str) else key.hex(),
    )


def _refuse_empty(settled: Mapping[bytes | str, Part], units: Units, every: tuple[Part, ...]) -> None:
    empty = [part.label for part in every if part not in settled.values()]
    if empty:
        raise DataError(
            f"{len(units)} groups cannot fill {len(every)} parts: nothing is left for {', '.join(empty)}",
            fix="give parts that are not needed a share of 0 with --split, or leave out --group",
            groups=len(units),
        )


def _check_holdout(dataset: Dataset, name: str, values: Sequence[str], column: Sequence[str]) -> None:
    described = f"{dataset.name}@{dataset.version}"
    if not column:
        known = [*dataset.slices, *(["group"] if dataset.groups else [])]
        raise DataError(
            f"{described} has no slice {name!r}: it has {', '.join(known) or 'none'}",
            fix="name one that it has, or add the data with --pattern",
            slice=name,
        )
    for value in values:
        if value not in column:
            known = sorted(set(column) - {""})
            shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
            raise DataError(
                f"{described} has nothing with {name} {value!r}: there are {shown}",
                fix="name values that it has",
                slice=name,
                value=value,
            )
