"""What a model was measured at, each figure with its 95% interval; from metrics as a run records them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgeops.drift.estimate import share_of
from edgeops.reports.figures import UNKNOWN, Figure, of_estimate

FEW_INDEPENDENT = 30
_Z = 1.959964  # of a 95% interval
_UNITS = {"image": "images", "audio": "recordings", "series": "recordings", "table": "rows"}


def share_figure(share: float, n: int, effective_n: float | None = None) -> Figure:
    """A share that was measured on ``n`` items, which say as much as ``effective_n`` independent ones."""
    if not n:
        return UNKNOWN
    return of_estimate(share_of(share, n if effective_n is None else effective_n), "measured", n)


def accuracy(metrics: Mapping[str, Any]) -> Figure:
    """Accuracy on the test part."""
    return share_figure(metrics["accuracy"], metrics["n"], metrics.get("effective_n"))


def recall(metrics: Mapping[str, Any], index: int) -> Figure:
    """How many items of a class were recognised; unknown where there was none."""
    counts = metrics["confusion"][index]
    n = sum(counts)
    return share_figure(counts[index] / n if n else 0.0, n, _of_class(metrics, index))


def false_alarms(metrics: Mapping[str, Any]) -> Figure:
    """The share of normal items that were taken for anomalies."""
    right = recall(metrics, 0)
    if right.value is None or right.low is None or right.high is None:
        return UNKNOWN
    return Figure(1 - right.value, 1 - right.high, 1 - right.low, "measured", right.n)


def area(metrics: Mapping[str, Any]) -> Figure:
    """Area under the ROC curve."""
    found, (n, m) = float(metrics["auc"]), (sum(row) for row in metrics["confusion"])
    normal, anomalous = _of_class(metrics, 0), _of_class(metrics, 1)
    ends = _area_interval(found, n if normal is None else normal, m if anomalous is None else anomalous)
    return Figure(found, *ends, "measured", n + m)


def share(figure: Figure) -> str:
    """``0.950 (0.931..0.965)``, or a dash."""
    if figure.value is None or figure.low is None or figure.high is None:
        return "-"
    return f"{figure.value:.3f} ({figure.low:.3f}..{figure.high:.3f})"


def inputs_of(counts: Mapping[str, int], kind: str) -> str:
    """``1,200 windows of 13 recordings``, ``400 images of 5 groups``; ``counts`` as a run records them of a part."""
    unit = _UNITS.get(kind, "items")
    if counts["inputs"] == counts["items"]:
        words = _count(counts["inputs"], unit)
    else:
        words = f"{_count(counts['inputs'], 'windows')} of {_count(counts['items'], unit)}"
    groups = counts.get("groups", 0)
    if groups and groups < counts["items"]:
        words += f"{',' if ' of ' in words else ''} of {_count(groups, 'groups')}"
    return words


def scarce(counts: Mapping[str, int], kind: str) -> str:
    """What is too few to say how good a model is: ``3 recordings``; empty where there are enough."""
    groups = counts.get("groups", 0)
    if counts["items"] < FEW_INDEPENDENT:
        return _count(counts["items"], _UNITS.get(kind, "items"))
    return _count(groups, "groups") if 0 < groups < 2 else ""


def _count(n: int, unit: str) -> str:
    return f"{n:,} {unit.removesuffix('s') if n == 1 else unit}"


def _of_class(metrics: Mapping[str, Any], index: int) -> float | None:
    known = metrics.get("class_effective_n")
    return None if known is None else float(known[index])


def _area_interval(area: float, n: float, m: float) -> tuple[float, float]:
    """95% interval of an area under the ROC curve of n against m items (Newcombe 2006, method 5).

    Its ends are the areas a with |area - a| = z * sqrt(V(a)), where V(a) = a * (1 - a) * (1 + (k - 1) *
    ((1 - a) / (2 - a) + a / (1 + a))) / (n * m) and k = (n + m) / 2; found by halving.
    """

    def within(a: float) -> bool:
        inner = (1 - a) / (2 - a) + a / (1 + a)
        spread = a * (1 - a) * (1 + ((n + m) / 2 - 1) * inner) / (n * m)
        return abs(area - a) <= _Z * math.sqrt(spread)

    ends = []
    for outer in (0.0, 1.0):
        inside, outside = area, outer
        for _ in range(50):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if within(middle) else (inside, middle)
        ends.append(inside)
    return ends[0], ends[1]
