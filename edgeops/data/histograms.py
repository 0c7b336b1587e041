"""How the values of each feature of a table are distributed, by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeops.data.dataset import Dataset
from edgeops.data.recordings import Recordings

BINS = 24
MOST_FEATURES = 48
MOST_CLASSES = 10


@dataclass(frozen=True, eq=False)
class Histogram:
    """One feature: ``counts`` (classes, bins) items, of ``labels``, in equal bins from ``low`` to ``high``."""

    feature: str
    low: float
    high: float
    labels: tuple[str, ...]
    counts: NDArray[np.int64]


def histograms(dataset: Dataset) -> list[Histogram]:
    """Of the first 48 features of a table (N, features), and its ten most frequent classes; one is read at a time.

    Empty for what is no table.
    """
    if dataset.kind != "table" or isinstance(dataset.inputs, Recordings) or len(dataset.item_shape) != 1:
        return []
    sizes = np.bincount(dataset.targets, minlength=len(dataset.labels))
    shown = sorted(np.argsort(-sizes, kind="stable")[:MOST_CLASSES].tolist())
    found = []
    for column in range(min(dataset.item_shape[0], MOST_FEATURES)):
        values = np.asarray(dataset.inputs[:, column], np.float64)
        low, high = float(values.min()), float(values.max())
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
        counts = [np.histogram(values[dataset.targets == target], edges)[0] for target in shown]
        found.append(
            Histogram(
                dataset.columns[column] if dataset.columns else f"column {column}",
                low,
                high,
                tuple(dataset.labels[target] for target in shown),
                np.stack(counts).astype(np.int64),
            )
        )
    return found
