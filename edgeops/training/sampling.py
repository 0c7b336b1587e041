"""Where the inputs of a part come from, and on how many independent ones a measured share rests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeops.data.readers.layout import PART_FOLDERS
from edgeops.data.splitting import Part
from edgeops.training.windows import Index


@dataclass(frozen=True, eq=False)
class Sampling:
    """Of M inputs: ``items`` (M,) is the item that each is cut from, ``clusters`` (M,) its group, or the item.

    ``window`` and ``stride`` are samples, both 0 where an input is a whole item.
    """

    items: Index
    clusters: Index
    window: int
    stride: int

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Sampling:
        """Only these inputs, by number or by a mask."""
        return Sampling(self.items[rows], self.clusters[rows], self.window, self.stride)

    def effective_n(self, right: NDArray[np.bool_]) -> float:
        """How many independent inputs would tell the share of ``right`` (M,) ones as exactly; M > 0.

        Windows that overlap count as many as there are without. Where answers differ between the clusters by more
        than chance, the number is divided by the design effect of the ratio estimate (Rao and Scott 1992), down to
        the number of clusters. A single cluster, or one answer everywhere, shows no difference.
        """
        windows = np.unique(self.items, return_counts=True)[1]
        if 0 < self.stride < self.window:
            windows = 1 + (windows - 1) * self.stride // self.window
        apart = float(windows.sum())
        _, place, sizes = np.unique(self.clusters, return_inverse=True, return_counts=True)
        n, known, share = len(right), len(sizes), float(right.mean())
        if known in (1, n):
            return apart
        hits = np.bincount(place, weights=right)
        variance = known / (known - 1) * float(((hits - share * sizes) ** 2).sum()) / n**2
        if variance <= share * (1 - share) / apart:
            return apart
        return max(share * (1 - share) / variance, float(known))


def sampling_of(items: Index, groups: Sequence[str], window: int, stride: int) -> Sampling:
    """Of inputs cut from ``items`` (M,), which have ``groups`` (one for each item, or none at all).

    An item whose group is empty stands for itself.
    """
    names = {group: number for number, group in enumerate(sorted(set(groups) - {""}))}
    own = np.array(
        [names.get(group, len(names) + number) for number, group in enumerate(groups)], dtype=np.int64
    )
    return Sampling(items, own[items] if groups else items, window, stride)


def parts_used(
    items: Index, parts: NDArray[np.uint8], groups: Sequence[str], files: Sequence[str]
) -> dict[str, dict[str, int]]:
    """For each part that has any: ``inputs``, the ``items`` they are cut from, their ``groups`` where there are.

    ``own_folder`` is how many of the items came in a folder that is called as the part, where ``files`` are known.
    """
    found = {}
    for part in Part:
        of_part = np.unique(items[parts == part]).tolist()
        if not of_part:
            continue
        counts = {"inputs": int((parts == part).sum()), "items": len(of_part)}
        if any(groups):
            counts["groups"] = len({groups[item] or item for item in of_part})
        if files:
            counts["own_folder"] = sum(_folder_says(files[item]) == part for item in of_part)
        found[part.label] = counts
    return found


def _folder_says(file: str) -> Part | None:
    folders = file.lower().split("/")[:-1]
    return next((PART_FOLDERS[name] for name in folders if name in PART_FOLDERS), None)
